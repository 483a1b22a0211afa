"""What the pages call things: states, events, times. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from broadcaster.tracking.standing import Standing


class Label(NamedTuple):
    """``tone`` is a colour's name; ``meaning`` is a sentence."""

    word: str
    tone: str
    meaning: str


LABELS: Mapping[Standing, Label] = MappingProxyType(
    {
        Standing.PLANNED: Label("Planned", "quiet", "Nothing has been sent yet."),
        Standing.PREPARING: Label("Preparing", "busy", "A process works on it and has not begun to send."),
        Standing.SENDING: Label("Sending", "busy", ""),
        Standing.PAUSED: Label("Paused", "warn", "Nothing is sent until somebody lets it go on."),
        Standing.INTERRUPTED: Label(
            "Interrupted", "warn", "Its process ended without a word. What was in flight is in doubt; nothing is lost."
        ),
        Standing.STOPPED: Label("Stopped", "warn", "It ended before everything was sent."),
        Standing.HALTED: Label("Halted", "bad", "A safety limit stopped it."),
        Standing.IN_DOUBT: Label("In doubt", "bad", "It is over, and of some nobody knows whether they were sent."),
        Standing.REJECTED: Label("Some rejected", "warn", "The API refused some; failed.csv says why."),
        Standing.FINISHED: Label("Finished", "good", "Every delivery was accepted or excluded."),
        Standing.PURGED: Label("Purged", "quiet", "Its personal data were removed; the counts stay."),
        Standing.UNREADABLE: Label("Unreadable", "bad", ""),
    }
)

_GO_ON = ("To go on:", "broadcaster resume {}")
DECIDE = ("What is in doubt, and what can be done:", "broadcaster resolve {}")
NEXT: Mapping[Standing, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        Standing.PLANNED: (("To send it:", "broadcaster resume {}"),),
        Standing.INTERRUPTED: (_GO_ON,),
        Standing.STOPPED: (_GO_ON,),
        Standing.HALTED: (_GO_ON,),
        Standing.IN_DOUBT: (DECIDE,),
        Standing.REJECTED: (("To try again whatever may be tried:", "broadcaster retry-failed {}"),),
    }
)
"""What to type next, by state: words, and a command with a place for the directory."""

_WAITS: Mapping[str, str] = MappingProxyType(
    {
        "BUSINESS_002": "the API asks for fewer requests (BUSINESS_002)",
        "CONFLICT_001": "the API is still working on the request (CONFLICT_001)",
        "SERVICE_001": "the API is not available at the moment (SERVICE_001)",
        "breaker": "the API fails; one request at a time tries it",
        "look_up": "a look-up before the first message is tried again",
        "lost": "an answer was lost; the same request goes again",
        "unsent": "no connection; the same request goes again",
    }
)
_SECONDS = (60.0, 3600.0, 86_400.0)  # of a minute, an hour, a day


def sentence(told: Mapping[str, Any]) -> str:
    """Return an event in words; the word itself where it is none of ours."""
    event = str(told["event"])
    match event:
        case "planned":
            words = f"Planned: {_number(told, 'recipients')} recipients, {_number(told, 'excluded')} rows excluded"
        case "started":
            words = f"Started: {_number(told, 'pending')} to send"
        case "waiting":
            times = told.get("times")
            often = f", {times:,} times" if type(times) is int and times > 1 else ""
            code = str(told.get("code", ""))
            words = f"Waiting: {_WAITS.get(code, code)}{often}"
        case "paused":
            words = "Paused"
        case "going":
            words = "Goes on"
        case "rate":
            words = f"Limit: {_number(told, 'limit')} requests a minute"
        case "canary":
            words = f"Canary: {told.get('text', '')}"
        case "noticed":
            words = f"Noticed: {told.get('code', '')}"
        case "finished" | "halted" | "stopped":
            why = told.get("why")
            words = f"{event.capitalize()} with exit code {told.get('exit_code', '?')}{f': {why}' if why else ''}"
        case _:
            words = event
    return words


def _number(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return f"{value:,}" if type(value) is int else "?"


def moment(at_s: float, *, now_s: float) -> str:
    """Return a moment in UTC: its time of day, with the date unless that is today's."""
    then, now = (datetime.fromtimestamp(each, tz=UTC) for each in (at_s, now_s))
    return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M:%S}"


def ago(seconds: float) -> str:
    """Return how long ago something was, in words that do not change every second."""
    minute, hour, day = _SECONDS
    if seconds < minute:
        return "just now"
    if seconds < hour:
        return _several(seconds / minute, "minute")
    if seconds < 2 * day:
        return _several(seconds / hour, "hour")
    return _several(seconds / day, "day")


def _several(number: float, noun: str) -> str:
    return f"{number:.0f} {noun}{'' if round(number) == 1 else 's'} ago"


def duration(seconds: float) -> str:
    """Return how long something takes, in words that do not change every second."""
    minute, hour, day = _SECONDS
    if seconds < minute:
        return "less than a minute"
    if seconds < 1.5 * hour:
        return f"about {seconds / minute:.0f} min"
    return f"about {seconds / hour:.1f} h" if seconds < 2 * day else f"about {seconds / day:.0f} days"


def percent(part: int, whole: int) -> str:
    """Return a share; 100 % is all, and nothing less."""
    if part >= whole:
        return "100 %"
    return f"{min(part * 100 / whole, 99.9):.1f} %"
