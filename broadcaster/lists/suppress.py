"""The numbers that must not be messaged, from lists of their own or from the manifests of earlier runs.

A suppression list that cannot be read is never an empty one: the run does not begin.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.resolution import SKIPPED
from broadcaster.core.words import Status
from broadcaster.errors import ListUnusable
from broadcaster.lists.columns import find_numbers_column
from broadcaster.lists.read import ListSource, expand, join, open_file
from broadcaster.phones import Digits, distinct, normalise

_MANIFEST = frozenset(
    {"to", "status", "reason", "idempotency_key"}
)  # the columns by which an earlier manifest is known
# Those by which exported contacts are known: all of them, so that nobody's own list is taken for such a file.
_CONTACTS = frozenset(
    {
        "contact_id",
        "phone",
        "country_code",
        "region_code",
        "available_channels",
        "default_channel",
        "opt_out",
        "created_at",
        "updated_at",
    }
)
_MIGRATION = _MANIFEST | {"contact_id", "opt_out"}  # of a manifest that messaged nobody


def open_suppressed(files: Sequence[str], *, base: Path, copies: Path | None = None) -> tuple[ListSource, ...]:
    """Open suppression lists; each file is a list with columns of its own.

    Args:
        files: as in :func:`broadcaster.lists.read.expand`.
        base: where relative paths start.
        copies: for what is no file of this machine.

    Raises:
        ListUnusable: a file is not there or cannot be read.
        OSError: *copies* cannot be written.
    """
    return tuple(join([open_file(place)]) for place in expand(files, base=base, copies=copies))


def suppressed_numbers(sources: Sequence[ListSource], *, phone: str | None, default_region: str | None) -> Digits:
    """Return every valid number of the lists once, in rising order.

    Of a manifest, those that may have been messaged; of contacts, exported or created, those that have opted out.

    Args:
        sources: from :func:`open_suppressed`.
        phone: the column for numbers of the job's own list, in case these have it too.
        default_region: of numbers without a country code.

    Raises:
        ListUnusable: a list cannot be read, has a row that cannot, or has not a single valid number.
    """
    return distinct(_numbers(source, phone=phone, default_region=default_region) for source in sources)


def _numbers(source: ListSource, *, phone: str | None, default_region: str | None) -> Digits:
    name = source.files[0].place.name
    column = find_numbers_column(source.columns, phone=phone, list_name=name)
    names = set(source.columns)
    needed: tuple[str, ...] = ()
    chosen, whose = _everybody, ""
    if names >= _CONTACTS or names >= _MIGRATION:
        needed, chosen, whose = ("opt_out",), _has_opted_out, " of anybody who has opted out"
    elif names >= _MANIFEST:
        needed, chosen, whose = ("status", "reason"), _may_have_been_messaged, " of anybody who may have been messaged"

    def judged() -> Iterator[Digits]:
        # A row that cannot be read may be somebody who has opted out: none is left out here.
        for batch in source.batches([column, *needed]):
            yield normalise(chosen(batch).column(0), default_region).e164

    numbers = distinct(judged())
    if not numbers.size:
        raise ListUnusable(
            f"{name}: the column {column!r} has not a single valid phone number{whose}; a suppression list that "
            "suppresses nobody is taken for a mistake"
        )
    return numbers


def _everybody(batch: Any) -> Any:
    return batch


def _has_opted_out(batch: Any) -> Any:
    return batch.filter(pc.equal(pc.utf8_lower(batch["opt_out"]), "true"))


def _may_have_been_messaged(batch: Any) -> Any:
    """Return the rows of a manifest whose number a message was, or may have been, sent to.

    Whoever was excluded there, refused, or not reached yet has got nothing from that run.
    """
    sent = pc.is_in(batch["status"], pa.array([str(Status.ACCEPTED), str(Status.IN_DOUBT)]))
    return batch.filter(pc.or_(sent, pc.equal(batch["reason"], SKIPPED[0])))
