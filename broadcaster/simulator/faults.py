"""Scripted faults: which request goes wrong, and how.

A rule looks at every HTTP request as it is received, before anything else does. Repeatable: counts start when the rules
are set, time with the first request after that, and chance is drawn from the seed, the rule's place in the list and the
request's number.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase


class Kind(StrEnum):
    """What a rule does to a request."""

    STATUS = "status"  # answer with a status; not executed
    DROP_BEFORE = "drop_before"  # close the connection; not executed
    STATUS_AFTER_ACCEPT = "status_after_accept"  # execute, then answer with another status
    DROP_AFTER_ACCEPT = "drop_after_accept"  # execute, then close the connection
    RESET_BEFORE = "reset_before"  # reset the connection (RST); not executed
    RESET_AFTER_ACCEPT = "reset_after_accept"  # execute, then reset the connection
    TRUNCATE = "truncate"  # execute, announce the whole body, send half of it
    SLOW = "slow"  # wait before answering; the key stays at work meanwhile
    HTML = "html"  # execute, then answer 200 with a page
    EMPTY_BODY = "empty_body"  # execute, then answer without a body
    CUT_JSON = "cut_json"  # execute, then send half of the JSON as if it were all
    WRONG_SHAPE = "wrong_shape"  # the 202 is JSON of another form, see `shape`
    BLOAT = "bloat"  # the 202 is longer by `size` bytes
    OMIT_ROWS = "omit_rows"  # the 202 lacks its last rows
    EXTRA_ROW = "extra_row"  # the 202 has a row nobody asked for
    FOREIGN_ROW = "foreign_row"  # the 202's first row is about another number
    DUPLICATE_ID = "duplicate_id"  # the 202 gives two rows one message id


NOT_EXECUTED = frozenset({Kind.STATUS, Kind.DROP_BEFORE, Kind.RESET_BEFORE})
UNANSWERED = frozenset({Kind.DROP_BEFORE, Kind.DROP_AFTER_ACCEPT, Kind.RESET_BEFORE, Kind.RESET_AFTER_ACCEPT})
RESETS = frozenset({Kind.RESET_BEFORE, Kind.RESET_AFTER_ACCEPT})
SHAPES = ("null", "object", "names")
"""Forms of a wrong answer: no data, recipients as an object by number, rows with other property names."""


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
    spread_s: float = 0.0  # slow: up to so much more, by chance
    when: str = "after"  # slow: wait after executing, or "before"
    rows: int = 1  # omit_rows: how many
    to: str = "+14155550199"  # extra_row, foreign_row: the number
    shape: str = SHAPES[0]  # wrong_shape: one of SHAPES
    size: int = 6_000_000  # bloat: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a fault happens. All given conditions must hold; without any, it always happens."""

    fault: Fault
    on: str = "* *"  # "METHOD /path", either may hold wildcards
    nth: frozenset[int] | None = None  # 1-based, among the requests that `on` matches
    every: int | None = None  # every so many of them
    share: float | None = None  # this part of them, by chance
    times: int | None = None  # at most so often
    burst: int = 1  # once it fires, so many of the requests that `on` matches in a row
    from_s: float = 0.0  # not before so many seconds after the first request
    until_s: float | None = None  # and before so many
    period_s: float | None = None  # from_s and until_s count anew every so many seconds

    def is_open(self, at_s: float) -> bool:
        """Whether the rule may fire *at_s* seconds after the first request."""
        at_s = at_s if self.period_s is None else at_s % self.period_s
        return self.from_s <= at_s and (self.until_s is None or at_s < self.until_s)


class Script:
    """Rules with their counters. The first rule that fires wins; the others still count the request.

    ``name`` says which profile is played, ``custom`` for rules of no profile.
    """

    def __init__(self, rules: tuple[Rule, ...] = (), *, seed: int = 0, name: str = "custom") -> None:
        self.seed = seed
        self.name = name
        self._courses: list[_Course] = []
        self._began_s: float | None = None
        self.replace(rules, name=name)

    def __len__(self) -> int:
        return len(self._courses)

    def __repr__(self) -> str:
        return f"<Script {self.name}: {len(self._courses)} rules, seed {self.seed}>"

    def replace(self, rules: tuple[Rule, ...], *, name: str = "custom", seed: int | None = None) -> None:
        """Play *rules* from now on, with another *seed* if one is given; counts, time and chance start afresh."""
        self.seed = self.seed if seed is None else seed
        self.name = name
        self._began_s = None
        self._courses = [_Course(rule, seed=f"{self.seed}/{at}") for at, rule in enumerate(rules)]

    def pick(self, method: str, path: str, *, now_s: float = 0.0) -> Fault | None:
        """Return what happens to the request just received; call it once for each.

        Args:
            method: of the request.
            path: of the request, without the query.
            now_s: on any clock that never goes back; only differences count.
        """
        if not self._courses:
            return None
        if self._began_s is None:
            self._began_s = now_s
        at_s = now_s - self._began_s
        fired = [course for course in self._courses if course.meets(method, path, at_s)]  # all see every request
        return fired[0].win() if fired else None


class _Course:
    """One rule and how far it has come."""

    def __init__(self, rule: Rule, *, seed: str) -> None:
        self._rule = rule
        self._on_method, _, self._on_path = rule.on.partition(" ")
        self._seen = 0
        self._fired = 0
        self._burst_left = 0
        self._starts = False
        self._drawn = 0.0
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def meets(self, method: str, path: str, at_s: float) -> bool:
        """Count a request; tell whether the rule fires on it."""
        rule = self._rule
        if not (fnmatchcase(method, self._on_method) and fnmatchcase(path, self._on_path)):
            return False
        self._seen += 1
        self._drawn = drawn = self._chance.random()  # for every request, or `times` would shift what follows
        if self._burst_left:
            self._burst_left -= 1
            return True
        self._starts = (
            (rule.nth is None or self._seen in rule.nth)
            and (rule.every is None or self._seen % rule.every == 0)
            and (rule.share is None or drawn < rule.share)
            and (rule.times is None or self._fired < rule.times)
            and rule.is_open(at_s)
        )
        return self._starts

    def win(self) -> Fault:
        """Return the fault: no earlier rule fired on the request just met. Only this counts for `times`."""
        rule = self._rule
        if self._starts:
            self._fired += 1
            self._burst_left = rule.burst - 1
            self._starts = False
        if not rule.fault.spread_s:
            return rule.fault
        # The same draw, stretched: below `share` it is as even as the whole.
        part = self._drawn / rule.share if rule.share and self._drawn < rule.share else self._drawn
        return replace(rule.fault, delay_s=rule.fault.delay_s + part * rule.fault.spread_s)
