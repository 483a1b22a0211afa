"""Scripted faults: which request goes wrong, and how.

A rule looks at every HTTP request as it is received, before anything else does. Repeatable: counts start when the rules
are set, and chance is drawn from the seed, the rule's place in the list and the request's number.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType


class Kind(StrEnum):
    """What a rule does to a request."""

    STATUS = "status"  # answer with a status; not executed
    DROP_BEFORE = "drop_before"  # close the connection; not executed
    STATUS_AFTER_ACCEPT = "status_after_accept"  # execute, then answer with another status
    DROP_AFTER_ACCEPT = "drop_after_accept"  # execute, then close the connection
    TRUNCATE = "truncate"  # execute, announce the whole body, send half of it
    SLOW = "slow"  # wait before answering; the key stays at work meanwhile
    HTML = "html"  # execute, then answer 200 with a page
    EMPTY_BODY = "empty_body"  # execute, then answer without a body
    OMIT_ROWS = "omit_rows"  # the 202 lacks its last rows
    EXTRA_ROW = "extra_row"  # the 202 has a row nobody asked for
    FOREIGN_ROW = "foreign_row"  # the 202's first row is about another number
    DUPLICATE_ID = "duplicate_id"  # the 202 gives two rows one message id


class FaultError(ValueError):
    """A rule makes no sense. The text says which one and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What to do to one request."""

    kind: Kind
    status: int | None = None  # status, status_after_accept, html, empty_body: the HTTP status
    code: str | None = None  # the error code in the envelope; by default the one that fits the status
    body: str | None = None  # instead of the envelope, as it is
    content_type: str | None = None
    retry_after: str | int | float | None = None  # written as it is: seconds, a date, or nonsense
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 1.0
    when: str = "after"  # slow: wait after executing, or "before"
    rows: int = 1  # omit_rows: how many
    to: str = "+14155550199"  # extra_row, foreign_row: the number


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a fault happens. All given conditions must hold; without any, it always happens."""

    fault: Fault
    on: str = "* *"  # "METHOD /path", either may hold wildcards
    nth: frozenset[int] | None = None  # 1-based, among the requests that `on` matches
    every: int | None = None  # every so many of them
    share: float | None = None  # this part of them, by chance
    times: int | None = None  # at most so often


class Script:
    """Rules with their counters. The first rule that fires wins; the others still count the request."""

    def __init__(self, rules: tuple[Rule, ...] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self._courses: list[_Course] = []
        self.replace(rules)

    def __repr__(self) -> str:
        return f"<Script {len(self._courses)} rules, seed {self._seed}>"

    def replace(self, rules: tuple[Rule, ...]) -> None:
        """Play *rules* from now on; counts and chance start afresh."""
        self._courses = [_Course(rule, seed=f"{self._seed}/{at}") for at, rule in enumerate(rules)]

    def pick(self, method: str, path: str) -> Fault | None:
        """Return what happens to the request just received; call it once for each."""
        fired = [course.rule.fault for course in self._courses if course.meets(method, path)]
        return fired[0] if fired else None


class _Course:
    """One rule and how far it has come."""

    def __init__(self, rule: Rule, *, seed: str) -> None:
        self.rule = rule
        self._seen = 0
        self._fired = 0
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def meets(self, method: str, path: str) -> bool:
        """Count a request; tell whether the rule fires on it."""
        rule = self.rule
        on_method, _, on_path = rule.on.partition(" ")
        if not (fnmatchcase(method, on_method) and fnmatchcase(path, on_path)):
            return False
        self._seen += 1
        drawn = self._chance.random()  # drawn for every request, or `times` would shift what follows
        fires = (
            (rule.nth is None or self._seen in rule.nth)
            and (rule.every is None or self._seen % rule.every == 0)
            and (rule.share is None or drawn < rule.share)
            and (rule.times is None or self._fired < rule.times)
        )
        self._fired += fires
        return fires


def load_rules(document: object) -> tuple[Rule, ...]:
    """Return the rules of a JSON list, for example ``[{"on": "POST /v3/messages", "nth": [1, 5], "do": "truncate"}]``.

    Raises:
        FaultError: an entry is not a rule.
    """
    if not isinstance(document, list):
        raise FaultError("faults must be a JSON list of rules")
    return tuple(_load(entry, at) for at, entry in enumerate(document))


_WHEN_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"on": (str,), "every": (int,), "share": (int, float), "times": (int,)}
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
        "when": (str,),
        "rows": (int,),
        "to": (str,),
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


def _check_values(entry: Mapping[str, object], at: int) -> None:
    if entry["do"] == Kind.STATUS and "status" not in entry:
        raise FaultError(f"fault {at}: 'status' is required")
    if entry.get("status", _STATUSES.start) not in _STATUSES:
        raise FaultError(f"fault {at}: 'status' must be from 200 to 599")
    if entry.get("when", "after") not in {"before", "after"}:
        raise FaultError(f"fault {at}: 'when' must be before or after")
    if entry.get("every", 1) == 0:
        raise FaultError(f"fault {at}: 'every' must not be 0")
    if " " not in str(entry.get("on", "* *")):
        raise FaultError(f"fault {at}: 'on' must be a method and a path, as in 'POST /v3/messages'")


def _nth(value: object, at: int) -> frozenset[int] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise FaultError(f"fault {at}: 'nth' must be a number or a list of numbers")
    return frozenset(numbers)
