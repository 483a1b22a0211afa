"""The kinds of value that a job file has, each with the sentence that a wrong one is answered with.

A type here checks one value. What several keys mean together stands with the models.
"""

import codecs
import re
from collections.abc import Callable
from datetime import datetime, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from broadcaster.core.windows import WindowError, parse_window
from broadcaster.core.words import Channel
from broadcaster.core.zones import parse_instant, zone
from broadcaster.job.regions import REGIONS
from broadcaster.job.settings import notify_url_fault
from broadcaster.job.template import parse_template

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h)")
_CAMPAIGN = re.compile(r"(?:[A-Za-z0-9_-]|\{date\})(?:[A-Za-z0-9._-]|\{date\})*")
_CAMPAIGN_LENGTH = 100
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d", re.ASCII)
_OTHER_MODES = (".simulated", ".sandbox")  # what the run directories of other modes end in


def refuse(sentence: str) -> PydanticCustomError:
    """Return the error that makes *sentence* the whole answer to a wrong value."""
    return PydanticCustomError("sentence", "{sentence}", {"sentence": sentence})


def refuse_table(sentence: str) -> PydanticCustomError:
    """Return the error that is about the table as a whole and not about the key where it was noticed."""
    return PydanticCustomError("table", "{sentence}", {"sentence": sentence})


def _only(predicate: Callable[[str], object]) -> AfterValidator:
    """Return the check of a text whose description says what is allowed."""

    def check(value: str) -> str:
        if not predicate(value):
            raise PydanticCustomError("not_allowed", "not allowed")
        return value

    return AfterValidator(check)


def seconds(text: str) -> float | None:
    """Return a duration such as 250ms, 4s, 10m or 24h in seconds; ``None``: it is none, or nothing."""
    found = _DURATION.fullmatch(text)
    return None if found is None or int(found[1]) == 0 else int(found[1]) * _UNITS_S[found[2]]


def _seconds(value: Any) -> float:
    found = seconds(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("not_allowed", "not allowed")
    return found


def _written(duration_s: float) -> str:
    return f"{duration_s:.0f}s" if duration_s.is_integer() else f"{duration_s * 1000:.0f}ms"


def _is_campaign(text: str) -> bool:
    return bool(_CAMPAIGN.fullmatch(text)) and len(text) <= _CAMPAIGN_LENGTH and not text.lower().endswith(_OTHER_MODES)


def _is_timezone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ValueError, OSError, KeyError):  # an impossible name, a directory of the zone database, an unknown zone
        return False


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)  # refuses codecs that are not for text
        return bool(codecs.getincrementaldecoder(name))  # lists are read a block at a time
    except LookupError:
        return False


def _is_delimiter(mark: str) -> bool:
    return len(mark) == 1 and mark.isascii() and not mark.isalnum() and mark not in '"\r\n\0'


def _paths(value: Any) -> str | tuple[str, ...]:
    """Accept a path or several; a list becomes a tuple so that the job stays frozen."""
    if isinstance(value, str) and value.strip():
        return value
    return _path_list(value, least=1)


def _path_list(value: Any, *, least: int = 0) -> tuple[str, ...]:
    paths = tuple(value) if isinstance(value, list | tuple) else None
    if paths is None or len(paths) < least or not all(isinstance(path, str) and path.strip() for path in paths):
        raise PydanticCustomError("not_allowed", "not allowed")
    return paths


def _channels(value: Any) -> tuple[Channel, ...]:
    words = list(value) if isinstance(value, list | tuple) else None
    if words is None or not all(isinstance(word, str) and word in {*Channel, "sent"} for word in words):
        raise PydanticCustomError("not_allowed", "not allowed")
    channels = tuple(Channel.AUTO if word == "sent" else Channel(word) for word in words) or (Channel.AUTO,)
    if len(set(channels)) < len(channels):
        raise refuse(f"{', '.join(words)}: a channel stands there twice")
    if Channel.AUTO in channels and len(channels) > 1:
        raise refuse(f"{', '.join(words)}: when the API picks, no other channel can be named")
    return channels


def _template(value: str) -> str:
    try:
        parse_template(value)
    except ValueError as error:
        raise refuse(str(error)) from None
    return value


def _notify_url(value: str) -> str:
    """Refuse what is no address to notify, without a word of it: it may hold a secret."""
    if value and (why := notify_url_fault(value)) is not None:
        raise refuse(why)
    return value


def _variable(value: str) -> str:
    """Refuse what is no name of a variable, without a word of it: it may be the key itself."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise refuse("it is the name of a variable of the environment, such as ACME_KEY, and not the key itself")
    return value


def _instant(value: Any) -> str:
    """Accept a moment as text or as TOML's own; it is kept as it was written, so that the offset stays."""
    text = value.isoformat() if isinstance(value, datetime) else value
    if not isinstance(text, str) or not text:
        raise PydanticCustomError("not_allowed", "not allowed")
    if parse_instant(text) is None:
        raise refuse(
            f"{text!r} is no moment with an explicit offset; write it such as 2026-12-01T09:00+01:00, with Z for UTC"
        )
    return text.strip()


def _local_time(value: Any) -> str:
    text = value.isoformat(timespec="minutes") if isinstance(value, time) and not value.second else value
    if not isinstance(text, str) or not _CLOCK.fullmatch(text):
        raise PydanticCustomError("not_allowed", "not allowed")
    return text.zfill(len("00:00"))


def _unknown_zone(text: str) -> str:
    if text not in {"exclude", "strictest"} and (not text.startswith("UTC") or zone(text) is None):
        raise PydanticCustomError("not_allowed", "not allowed")
    return text


def _window(text: str) -> str:
    if text:
        try:
            parse_window(text)
        except WindowError as error:
            raise refuse(str(error)) from None
    return text


def whole(low: int, high: int | None = None) -> Any:
    """Return what pydantic is to know of a whole number between two bounds, both allowed."""
    text = f"a whole number from {low} to {high}" if high is not None else f"a whole number, {low} or more"
    return Field(strict=True, ge=low, le=high, description=text)


def share(low: float, high: float | None = None) -> Any:
    """Return what pydantic is to know of a number between two bounds, both allowed."""
    text = f"a number from {low:g} to {high:g}" if high is not None else f"a number, {low:g} or more"
    return Field(strict=True, ge=low, le=high, allow_inf_nan=False, description=text)


def choice(*words: str) -> Any:
    """Return what pydantic is to know of one of a few words."""
    return Field(description=" or ".join(f'"{word}"' for word in words))


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(_written),
    Field(description="a duration such as 250ms, 4s, 10m or 24h"),
]
"""Seconds; written with a unit in the file and in dumps."""

NotifyUrl = Annotated[
    str,
    AfterValidator(_notify_url),
    Field(strict=True, repr=False, description="an address such as https://example.com/hook"),
]
Text = Annotated[str, Field(strict=True, min_length=1, description="text, not empty")]
Column = Annotated[str, _only(str.strip), Field(strict=True, description="the name of a column")]
Campaign = Annotated[
    str,
    _only(_is_campaign),
    Field(
        strict=True,
        description=(
            f'1 to {_CAMPAIGN_LENGTH} letters, digits, ".", "_", "-" or "{{date}}", beginning with no dot '
            'and not ending in ".simulated" or ".sandbox": it names the run directory'
        ),
    ),
]
ProfileName = Annotated[
    str,
    _only(re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}").fullmatch),
    Field(
        strict=True, description='1 to 64 letters, digits, ".", "_" or "-", as in the list: it names the run directory'
    ),
]
Variable = Annotated[
    str,
    AfterValidator(_variable),
    Field(strict=True, description="the name of a variable of the environment such as ACME_KEY"),
]
Timezone = Annotated[
    str, _only(_is_timezone), Field(strict=True, description="an IANA time zone such as UTC or Europe/Berlin")
]
Region = Annotated[
    str, _only(REGIONS.__contains__), Field(strict=True, description="a two-letter region code such as US or GB")
]
Encoding = Annotated[str, _only(_is_encoding), Field(strict=True, description="an encoding such as utf-8 or cp1252")]
Delimiter = Annotated[str, _only(_is_delimiter), Field(strict=True, description="one mark such as , ; | or a tab")]
Paths = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_paths),
    Field(description="a file or a list of files, relative to the job file"),
]
PathList = Annotated[
    tuple[str, ...], BeforeValidator(_path_list), Field(description="a list of files, relative to the job file")
]
Channels = Annotated[
    tuple[Channel, ...],
    BeforeValidator(_channels),
    Field(description='a list of "sms", "whatsapp", "rcs", "mms"; [] or ["auto"] when the API picks'),
]
Uuid = Annotated[
    str,
    _only(re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch),
    Field(strict=True, description="a UUID such as 7ba7b820-9dad-11d1-80b4-00c04fd430c8"),
]
Template = Annotated[
    str, AfterValidator(_template), Field(strict=True, description='text, with "{column}" where a column is to stand')
]
Moment = Annotated[
    str, BeforeValidator(_instant), Field(description="a moment with its offset such as 2026-12-01T09:00+01:00")
]
LocalTime = Annotated[str, BeforeValidator(_local_time), Field(description='a time of the day such as "10:00"')]
UnknownZone = Annotated[
    str,
    AfterValidator(_unknown_zone),
    Field(strict=True, description='"exclude", "strictest" or an offset such as "UTC-5" or "UTC+5:30"'),
]
WindowText = Annotated[
    str, AfterValidator(_window), Field(strict=True, description='hours such as "Mon-Fri 09:00-20:00, Sat 10:00-14:00"')
]
