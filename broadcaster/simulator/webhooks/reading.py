"""From the body of a webhook's creation or change to its fields, or to the complaints about it. Pure."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeGuard

from broadcaster.simulator.validate import Complaints
from broadcaster.simulator.webhooks.catalogue import FAMILIES, is_event

_URL = re.compile(r"https?://[^\s/?#]+\S*", re.ASCII)
_LONGEST_NAME = 255
_RANGES = {"retry_count": range(1, 6), "timeout_seconds": range(5, 121)}
_FIELDS = {"retry_count": "retry_count", "timeout_seconds": "timeout_s"}


def read_fields(document: Mapping[str, object], *, new: bool) -> dict[str, Any]:
    """Return what a document says about a webhook, by the names of its fields; only what is given.

    Args:
        document: the request's JSON.
        new: it is to be created, and must have a name.

    Raises:
        Refusal: 400 with a ``VALIDATION_*`` code and ``details``.
    """
    complaints, found = Complaints(), dict[str, Any]()
    _read_name(document, found, complaints, new=new)
    _read_url(document, found, complaints)
    for given, name in _FIELDS.items():
        _read_number(document.get(given), given, name, found, complaints)
    types = document.get("event_types")
    if types is not None and _is_names(
        types, complaints, "event_types", known=lambda name: name in FAMILIES or is_event(name)
    ):
        found["event_types"] = tuple(types)
    _read_filters(document, found, complaints)
    if not isinstance(document.get("sender_profile"), dict | None):
        complaints.add("VALIDATION_001", "sender_profile", "'sender_profile' must be an object")
    complaints.settle()
    return found


def _read_name(document: Mapping[str, object], found: dict[str, Any], complaints: Complaints, *, new: bool) -> None:
    name = document.get("display_name")
    if name is None:
        if new:
            complaints.add("VALIDATION_004", "display_name", "'display_name' is required")
    elif not isinstance(name, str) or not 0 < len(name.strip()) <= _LONGEST_NAME:
        complaints.add("VALIDATION_001", "display_name", f"must be a string of 1 to {_LONGEST_NAME} characters")
    else:
        found["display_name"] = name


def _read_url(document: Mapping[str, object], found: dict[str, Any], complaints: Complaints) -> None:
    url = document.get("endpoint_url")
    if url is None:
        return
    if not isinstance(url, str) or not _URL.fullmatch(url):
        complaints.add("VALIDATION_001", "endpoint_url", "must be an http or https URL")
    else:
        found["endpoint_url"] = url


def _read_number(value: object, given: str, name: str, found: dict[str, Any], complaints: Complaints) -> None:
    allowed = _RANGES[given]
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        complaints.add("VALIDATION_001", given, f"'{given}' must be a whole number")
    elif value not in allowed:
        complaints.add("VALIDATION_005", given, f"must be from {allowed.start} to {allowed.stop - 1}")
    else:
        found[name] = value


def _read_filters(document: Mapping[str, object], found: dict[str, Any], complaints: Complaints) -> None:
    if "event_filters" not in document:
        return
    filters = document["event_filters"]
    if not isinstance(filters, dict | None):
        complaints.add("VALIDATION_001", "event_filters", "'event_filters' must be an object")
        return
    for family, events in (filters or {}).items():
        field = f"event_filters.{family}"
        if family not in FAMILIES:
            complaints.add("VALIDATION_006", field, f"must be one of {', '.join(FAMILIES)}")
            continue
        _is_names(events, complaints, field, known=partial(_belongs, family))
    found["event_filters"] = filters


def _belongs(family: str, name: str) -> bool:
    return is_event(name if "." in name else f"{family}.{name}") and name.partition(".")[0] in {family, name}


def _is_names(
    value: object, complaints: Complaints, field: str, *, known: Callable[[str], bool]
) -> TypeGuard[list[str]]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        complaints.add("VALIDATION_001", field, "must be an array of strings")
        return False
    unknown = [name for name in value if not known(name)]
    if unknown:
        complaints.add("VALIDATION_006", field, f"{unknown[0]!r} is no event type")
    return not unknown
