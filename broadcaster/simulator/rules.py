"""From JSON or TOML to fault rules, or to the sentence that says which rule makes no sense. Pure."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from broadcaster.simulator.faults import SHAPES, Fault, FaultError, Kind, Rule


def load_rules(document: object) -> tuple[Rule, ...]:
    """Return the rules of a JSON list, for example ``[{"on": "POST /v3/messages", "nth": [1, 5], "do": "truncate"}]``.

    Raises:
        FaultError: an entry is not a rule.
    """
    if not isinstance(document, list):
        raise FaultError("faults must be a JSON list of rules")
    return tuple(_load(entry, at) for at, entry in enumerate(document))


_WHEN_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "on": (str,),
        "every": (int,),
        "share": (int, float),
        "times": (int,),
        "burst": (int,),
        "from_s": (int, float),
        "until_s": (int, float),
        "period_s": (int, float),
    }
)
_FAULT_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "status": (int,),
        "code": (str,),
        "body": (str,),
        "content_type": (str,),
        "retry_after": (str, int, float),
        "headers": (dict,),
        "delay_s": (int, float),
        "spread_s": (int, float),
        "when": (str,),
        "rows": (int,),
        "to": (str,),
        "shape": (str,),
        "size": (int,),
    }
)
_STATUSES = range(200, 600)


def _load(entry: object, at: int) -> Rule:
    if not isinstance(entry, dict):
        raise FaultError(f"fault {at} must be a JSON object")
    for name, value in entry.items():
        expected = _WHEN_TYPES.get(name) or _FAULT_TYPES.get(name)
        if expected is None and name not in {"do", "nth"}:
            raise FaultError(f"fault {at}: {name!r} is unknown")
        if expected is not None and (not isinstance(value, expected) or isinstance(value, bool)):
            raise FaultError(f"fault {at}: {name!r} must be {' or '.join(kind.__name__ for kind in expected)}")
    if entry.get("do") not in set(Kind):
        raise FaultError(f"fault {at}: 'do' must be one of {', '.join(Kind)}")
    _check_values(entry, at)
    given = {item.name: entry[item.name] for item in fields(Fault) if item.name in entry}
    conditions = {name: entry[name] for name in _WHEN_TYPES if name in entry}
    return Rule(fault=Fault(kind=Kind(entry["do"]), **given), nth=_nth(entry.get("nth"), at), **conditions)


def _check_values(entry: Mapping[str, Any], at: int) -> None:
    if entry["do"] == Kind.STATUS and "status" not in entry:
        raise FaultError(f"fault {at}: 'status' is required")
    if entry.get("status", _STATUSES.start) not in _STATUSES:
        raise FaultError(f"fault {at}: 'status' must be from 200 to 599")
    if entry.get("when", "after") not in {"before", "after"}:
        raise FaultError(f"fault {at}: 'when' must be before or after")
    _check_amounts(entry, at)
    if entry.get("shape", SHAPES[0]) not in SHAPES:
        raise FaultError(f"fault {at}: 'shape' must be one of {', '.join(SHAPES)}")
    if " " not in str(entry.get("on", "* *")):
        raise FaultError(f"fault {at}: 'on' must be a method and a path, as in 'POST /v3/messages'")


def _check_amounts(entry: Mapping[str, Any], at: int) -> None:
    for name in ("every", "burst"):
        if entry.get(name, 1) < 1:
            raise FaultError(f"fault {at}: {name!r} must be 1 or more")
    for name in ("delay_s", "spread_s", "from_s", "until_s", "size"):
        if entry.get(name, 0) < 0:
            raise FaultError(f"fault {at}: {name!r} must not be negative")
    if entry.get("period_s", 1) <= 0:
        raise FaultError(f"fault {at}: 'period_s' must be more than 0")


def _nth(value: object, at: int) -> frozenset[int] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise FaultError(f"fault {at}: 'nth' must be a number or a list of numbers")
    return frozenset(numbers)
