"""Page by page: the numbers in a list's query, and the ``pagination`` of its answer. Pure."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from broadcaster.simulator.envelope import Refusal

_USUAL_SIZE = 20
_LARGEST_SIZE = 100
_DIGITS = 10  # more is no page of anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list is asked for."""

    number: int  # from 1
    size: int

    @property
    def start(self) -> int:
        """How many entries come before it."""
        return (self.number - 1) * self.size

    def describe(self, total: int) -> dict[str, object]:
        """Return the ``pagination`` of an answer out of *total* entries."""
        pages = math.ceil(total / self.size)
        return {
            "page": self.number,
            "page_size": self.size,
            "total_count": total,
            "total_pages": pages,
            "has_more": self.number < pages,
            "cursors": None,
        }


def read_page(query: Mapping[str, str]) -> Page:
    """Return the page that a query asks for.

    Raises:
        Refusal: 400 ``VALIDATION_005``.
    """
    number, size = _number(query, "page", usual=1), _number(query, "page_size", usual=_USUAL_SIZE)
    return Page(number=number, size=min(size, _LARGEST_SIZE))


def read_id(params: Mapping[str, str]) -> str:
    """Return the ``{id}`` of a path, lower case.

    Raises:
        Refusal: 400 ``VALIDATION_001``.
    """
    try:
        return str(uuid.UUID(params["id"]))
    except ValueError:
        raise Refusal(code="VALIDATION_001", details={"id": ["must be a valid UUID"]}) from None


def _number(query: Mapping[str, str], name: str, *, usual: int) -> int:
    """A positive whole number of the query, small enough for the ledger."""
    given = query.get(name)
    if given is None:
        return usual
    if not (given.isascii() and given.isdigit() and len(given) < _DIGITS and int(given) > 0):
        raise Refusal(code="VALIDATION_005", details={name: ["must be a positive number"]})
    return int(given)
