"""When to leave an API alone that fails, and when to ask it again: arithmetic only; waiting is the engine's.

A breaker is *closed* (everybody passes), *open* (nobody does, for a while that grows) or *half open*: one request, the
probe, may leave, and what becomes of it decides. It only slows a run down: nothing here refuses anything for good.

An *answer* is whatever shows that the API lives, a refusal or "slower" included; a *failure* is a lost or unsent
request, or an error of the server. Times are seconds of one monotonic clock.
"""

import math
from dataclasses import dataclass, replace

_SLOTS = 6  # parts that a span is counted in; the oldest is forgotten whole


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    A share below a half is the retry budget's matter: most requests still get through.

    Attributes:
        span_s: how far back results count for the share.
        least: results in the span before a share means anything. Twenty are six seconds at 200 requests a minute, and
            more than eight senders can lose to one event and its repetition.
        share: of failures among those results that opens.
        in_a_row: failures without an answer between them that open, however few results there are. By the tenth, a
            sender that is alone has come to its longest waits by itself.
        rounds: as many failures in a row from every sender. The first round of all may be one event, such as a restart
            or a connection that breaks; the second was sent after it.
        open_s: how long it opens first; doubled with every probe that fails.
        longest_s: how long it opens at most: an API that is back is found within a minute.
    """

    span_s: float = 30.0
    least: int = 20
    share: float = 0.5
    in_a_row: int = 10
    rounds: int = 2
    open_s: float = 5.0
    longest_s: float = 60.0

    def among(self, senders: int) -> "BreakerPolicy":
        """Return the policy of so many senders: what one event does to all of them opens nothing."""
        return replace(self, in_a_row=max(self.in_a_row, self.rounds * senders))


@dataclass(frozen=True, slots=True)
class _Count:
    """Results of one part of the span."""

    slot: int
    results: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of the API's health. A new one is closed.

    Attributes:
        counts: recent results, oldest first; empty while open.
        in_a_row: failures since the last answer.
        open_until_s: nobody leaves before; ``None`` when closed.
        open_s: how long it opened last.
        probe: the number of the one request that tries; ``None`` when nobody does.
    """

    counts: tuple[_Count, ...] = ()
    in_a_row: int = 0
    open_until_s: float | None = None
    open_s: float = 0.0
    probe: int | None = None

    @property
    def closed(self) -> bool:
        """Whether everybody passes."""
        return self.open_until_s is None


def left_s(breaker: Breaker, *, now_s: float) -> float:
    """Return how long nobody may leave; 0 when closed, and while a probe decides."""
    return 0.0 if breaker.open_until_s is None else max(0.0, breaker.open_until_s - now_s)


def may_pass(breaker: Breaker, *, now_s: float) -> bool:
    """Return whether a request may leave now: always when closed, as the only one when half open."""
    return breaker.closed or (breaker.probe is None and left_s(breaker, now_s=now_s) == 0)


def passed(breaker: Breaker, number: int, *, now_s: float) -> Breaker:
    """Let request *number* leave; unless closed, it is the probe until it is :func:`heard` or :func:`freed`.

    Raises:
        ValueError: it may not leave now.
    """
    if not may_pass(breaker, now_s=now_s):
        raise ValueError("The breaker lets nobody pass")
    return breaker if breaker.closed else replace(breaker, probe=number)


def holds(breaker: Breaker, number: int) -> bool:
    """Return whether the pass that *number* was given is still good."""
    return breaker.closed or breaker.probe == number


def heard(breaker: Breaker, number: int, *, answered: bool, now_s: float, policy: BreakerPolicy) -> Breaker:
    """Return the breaker after the result of request *number*.

    The probe's answer closes it, and the probe's failure opens it for longer. While it is not closed, other results are
    of requests that left before it opened: they say nothing of the present.
    """
    if breaker.closed:
        counted = _counted(breaker, results=1, failures=0 if answered else 1, now_s=now_s, policy=policy)
        return counted if answered or not _fails(counted, policy) else _opened(policy.open_s, now_s=now_s)
    if number != breaker.probe:
        return breaker
    return Breaker() if answered else _opened(min(policy.longest_s, 2 * breaker.open_s), now_s=now_s)


def answered(breaker: Breaker, count: int, *, now_s: float, policy: BreakerPolicy) -> Breaker:
    """Return a closed breaker after *count* answers at once; nothing else can follow from answers."""
    return _counted(breaker, results=count, failures=0, now_s=now_s, policy=policy)


def slot_end_s(now_s: float, *, policy: BreakerPolicy) -> float:
    """Return until when results count as those of *now_s* do."""
    return (_slot(now_s, policy) + 1) * policy.span_s / _SLOTS


def freed(breaker: Breaker, number: int) -> Breaker:
    """Return the breaker after request *number* ended and nothing was heard: if it was the probe, another may try."""
    return replace(breaker, probe=None) if breaker.probe == number else breaker


def _slot(now_s: float, policy: BreakerPolicy) -> int:
    return math.floor(now_s / policy.span_s * _SLOTS)


def _counted(breaker: Breaker, *, results: int, failures: int, now_s: float, policy: BreakerPolicy) -> Breaker:
    slot = _slot(now_s, policy)
    recent = [each for each in breaker.counts if each.slot > slot - _SLOTS]
    last = recent.pop() if recent and recent[-1].slot == slot else _Count(slot)
    recent.append(_Count(slot, last.results + results, last.failures + failures))
    return Breaker(counts=tuple(recent), in_a_row=breaker.in_a_row + failures if failures else 0)


def _fails(breaker: Breaker, policy: BreakerPolicy) -> bool:
    results = sum(each.results for each in breaker.counts)
    failures = sum(each.failures for each in breaker.counts)
    return breaker.in_a_row >= policy.in_a_row or (results >= policy.least and failures >= policy.share * results)


def _opened(seconds: float, *, now_s: float) -> Breaker:
    return Breaker(open_until_s=now_s + seconds, open_s=seconds)
