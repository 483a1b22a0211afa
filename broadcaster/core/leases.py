"""One limit for many senders: who gets the next turn of an account, and when.

Theory of operation. A *pool* is an account's limit and everybody who waits for it. Whoever wants a turn asks, and
asks again until it is given: that keeps a place in the *line*, and room is reserved for everybody who is ahead, so that
it is first come, first served. A place that is not renewed is that of somebody who is gone. What was given is counted
in the exact sliding minute of :mod:`broadcaster.core.window`; a leaky bucket spreads it over that minute; a 429 pauses
everybody and lowers the rates (:mod:`broadcaster.core.pacing`). A pool is a value: every function returns the next one.

Times are seconds of one monotonic clock, of whoever keeps the pool. Reads no clock, waits for nothing.
"""

from dataclasses import dataclass, replace

from broadcaster.core import pacing
from broadcaster.core.pacing import Limit, Rate, Standing, bucket, is_of_requests, recovered
from broadcaster.core.window import TICK_US, WINDOW_US, wait_s

KEPT_S = 1.0  # a place in the line that was not renewed by then is free; whoever waits asks several times in that
_US = 1_000_000
_ROUNDING = 1e-9  # of an amount: what a bucket lacks by less than that is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One of the two limits, smoothed: its rate, and how full its bucket was at ``at_s``. A rate of 0 is no limit."""

    rate: Rate
    largest: int = 1
    level: float = 0.0
    at_s: float = 0.0

    def filled(self, *, now_s: float) -> float:
        """Return how full the bucket is by now."""
        if not self.rate.full:
            return 0.0
        capacity, period_s = bucket(self.rate.per_minute, largest=self.largest)
        return max(0.0, min(self.level, capacity) - (now_s - self.at_s) * capacity / period_s)

    def wait_s(self, amount: int, *, ahead: int, now_s: float) -> float:
        """Return the seconds until *amount* fits after what is *ahead*; more than the bucket holds counts as that."""
        if not self.rate.full or not amount:
            return 0.0
        capacity, period_s = bucket(self.rate.per_minute, largest=self.largest)
        lacking = self.filled(now_s=now_s) + ahead + min(amount, capacity) - capacity
        return lacking * period_s / capacity if lacking > _ROUNDING else 0.0

    def taken(self, amount: int, *, now_s: float) -> "Lane":
        """Return the lane after *amount* was taken."""
        return replace(self, level=self.filled(now_s=now_s) + amount, at_s=now_s)

    def climbed(self, *, now_s: float) -> "Lane":
        """Return the lane after the calm until now."""
        return self.become(recovered(self.rate, now_s=now_s), now_s=now_s)

    def slowed(self, *, retry_after_s: float | None, now_s: float) -> "Lane":
        """Return the lane after a 429."""
        if not self.rate.full:
            return self
        rate = recovered(self.rate, now_s=now_s)
        return self.become(pacing.slowed(rate, retry_after_s=retry_after_s, now_s=now_s), now_s=now_s)

    def become(self, rate: Rate, *, now_s: float) -> "Lane":
        """Return the lane at another rate, as full as it is."""
        return self if rate == self.rate else replace(self, rate=rate, level=self.filled(now_s=now_s), at_s=now_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somebody in the line, with what one turn of theirs takes; it is kept until ``until_s``."""

    who: str
    messages: int
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an answer of the API says of the limit.

    Attributes:
        throttled: it was a 429, or the like.
        retry_after_s: how long it asks everybody to wait.
        limit: requests per minute, by its headers.
        remaining: of them in the present minute.
    """

    throttled: bool = False
    retry_after_s: float | None = None
    limit: int | None = None
    remaining: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """An account's limit, and who waits for it.

    Attributes:
        standing: what is said of the limit of requests.
        requests, messages: the two limits.
        pause: of everybody, also where nothing is limited; only its pause is used.
        spent: the last minute: ticks in µs, with requests and messages.
        line: who waits, in order of arrival.
    """

    standing: Standing
    requests: Lane
    messages: Lane
    pause: Rate = Rate.of(1)  # noqa: RUF009 - a value
    spent: tuple[tuple[int, int, int], ...] = ()
    line: tuple[Place, ...] = ()

    @property
    def limit(self) -> Limit:
        """The limits in force, for people."""
        requests, messages = self.requests.rate, self.messages.rate
        return Limit(
            requests_per_minute=requests.per_minute or None,
            messages_per_minute=messages.per_minute or None,
            source=self.standing.in_force[1],
            slowed=requests.per_minute < requests.full or messages.per_minute < messages.full,
        )

    def paused_s(self, *, now_s: float) -> float:
        """Return how much longer nobody gets a turn because the API asked for it."""
        return max(0.0, self.pause.paused_until_s - now_s)

    def held(self, *, now_s: float) -> tuple[int, int]:
        """Return requests and messages of the last minute."""
        rows = [row for row in self.spent if row[0] > _us(now_s) - WINDOW_US]
        return sum(row[1] for row in rows), sum(row[2] for row in rows)


def opened(
    *, requests: int, messages: int, largest: int, chosen: bool = True, learned: int | None = None, now_s: float
) -> Pool:
    """Return the pool of an account of which nothing was spent.

    Args:
        requests: per minute; 0 means no limit.
        messages: the same.
        largest: the most messages of one request.
        chosen: somebody chose the limit of requests; else it is a guess, and what the API says holds.
        learned: what the API said before.
        now_s: the present.
    """
    standing = Standing(asked=requests, chosen=chosen, learned=learned)
    return Pool(
        standing=standing,
        requests=Lane(rate=Rate.of(standing.in_force[0]), at_s=now_s),
        messages=Lane(rate=Rate.of(messages), largest=max(1, largest), at_s=now_s),
    )


def reopened(pool: Pool, fresh: Pool, *, now_s: float) -> Pool:
    """Return *pool* with the limits of *fresh*: another run of the account begins, and what was spent stays spent."""
    standing = replace(fresh.standing, learned=fresh.standing.learned or pool.standing.learned)
    lanes = (
        (pool.requests, Rate.of(standing.in_force[0]), 1),
        (pool.messages, fresh.messages.rate, fresh.messages.largest),
    )
    requests, messages = (
        replace(
            lane if rate.full == lane.rate.full else lane.become(_still_paused(rate, lane.rate), now_s=now_s),
            largest=largest,
        )
        for lane, rate, largest in lanes
    )
    return replace(pool, standing=standing, requests=requests, messages=messages)


def _still_paused(rate: Rate, before: Rate) -> Rate:
    return replace(rate, paused_until_s=before.paused_until_s, calm_since_s=before.calm_since_s)


def spent_before(pool: Pool, *, requests: int, messages: int, ago_s: float, now_s: float) -> Pool:
    """Return the pool after so much was spent *ago_s* ago, as somebody else knows."""
    row = (_tick(now_s - ago_s), requests, messages)
    return replace(pool, spent=tuple(sorted((*pool.spent, row))))


def used_up(pool: Pool, *, ago_s: float, now_s: float) -> Pool:
    """Return the pool as if everything that a minute allows had been spent *ago_s* ago: nobody knows what was."""
    requests, messages = pool.standing.account, pool.messages.rate.full
    return spent_before(pool, requests=requests, messages=messages, ago_s=ago_s, now_s=now_s)


def ask(pool: Pool, *, who: str, messages: int, patient: bool, now_s: float) -> tuple[Pool, float]:
    """Return the pool after *who* asked for a turn with so many messages, and after how long to ask again.

    The turn was given where that is 0. A *patient* one keeps its place until :data:`KEPT_S` have passed without its
    asking again; the others have none, and get a turn only where nobody waits for it.
    """
    line = tuple(place for place in pool.line if place.until_s >= now_s)
    ours = next((at for at, place in enumerate(line) if place.who == who), len(line))
    pool = replace(
        pool, line=line, requests=pool.requests.climbed(now_s=now_s), messages=pool.messages.climbed(now_s=now_s)
    )
    left_s = _wait_s(pool, messages, ahead=line[:ours], now_s=now_s)
    others = (*line[:ours], *line[ours + 1 :])
    if left_s > 0:
        if patient:
            place = Place(who=who, messages=messages, until_s=now_s + KEPT_S)
            pool = replace(pool, line=(*line[:ours], place, *line[ours + 1 :]))
        return pool, left_s
    return (
        replace(
            pool,
            line=others,
            requests=pool.requests.taken(1, now_s=now_s),
            messages=pool.messages.taken(messages, now_s=now_s),
            spent=_added(pool.spent, messages, now_s=now_s),
        ),
        0.0,
    )


def _wait_s(pool: Pool, messages: int, *, ahead: tuple[Place, ...], now_s: float) -> float:
    """Return the seconds until there is room for one more turn after all those *ahead*."""
    longest, now_us = pool.paused_s(now_s=now_s), _us(now_s)
    before = len(ahead), sum(place.messages for place in ahead)
    limits = pool.standing.account, pool.messages.rate.full
    wanted = 1, messages
    for at, lane in enumerate((pool.requests, pool.messages)):
        spent = ((row[0], row[1 + at]) for row in pool.spent)
        longest = max(
            longest,
            lane.wait_s(wanted[at], ahead=before[at], now_s=now_s),
            wait_s(spent, limit=limits[at], amount=wanted[at] + before[at], now_us=now_us) if wanted[at] else 0.0,
        )
    return longest


def _added(spent: tuple[tuple[int, int, int], ...], messages: int, *, now_s: float) -> tuple[tuple[int, int, int], ...]:
    tick = _tick(now_s)
    kept = tuple(row for row in spent if row[0] > _us(now_s) - WINDOW_US)
    if kept and kept[-1][0] == tick:
        return (*kept[:-1], (tick, kept[-1][1] + 1, kept[-1][2] + messages))
    return tuple(sorted((*kept, (tick, 1, messages))))


def withdrawn(pool: Pool, *, who: str) -> Pool:
    """Return the pool without the place of *who*."""
    return replace(pool, line=tuple(place for place in pool.line if place.who != who))


def hear(pool: Pool, said: Heard, *, now_s: float) -> Pool:
    """Return the pool after an answer: a limit that it names is learned, and a 429 slows everybody down.

    Which of the two limits a 429 is about is not known, so both give way; unless it names a lower one of requests.
    """
    lower = False
    if said.limit is not None and pool.standing.asked and _may_learn(pool, said, now_s=now_s):
        lower = said.throttled and said.limit < pool.requests.rate.full
        pool = stand(pool, replace(pool.standing, learned=said.limit), now_s=now_s)
    if not said.throttled:
        return pool if said.remaining is None else _others(pool, said.remaining, now_s=now_s)
    pool = replace(pool, pause=pacing.slowed(pool.pause, retry_after_s=said.retry_after_s, now_s=now_s))
    if lower:
        return pool
    return replace(
        pool,
        requests=pool.requests.slowed(retry_after_s=said.retry_after_s, now_s=now_s),
        messages=pool.messages.slowed(retry_after_s=said.retry_after_s, now_s=now_s),
    )


def _may_learn(pool: Pool, said: Heard, *, now_s: float) -> bool:
    if not said.throttled or said.limit is None:
        return True
    requests, messages = pool.held(now_s=now_s)
    return is_of_requests(said.limit, requests=requests, messages=messages, messages_limit=pool.messages.rate.full)


def stand(pool: Pool, standing: Standing, *, now_s: float) -> Pool:
    """Put the limit in force that follows from what is said of it."""
    per_minute = standing.in_force[0]
    pool = replace(pool, standing=standing)
    if per_minute == pool.requests.rate.full:
        return pool
    return replace(pool, requests=pool.requests.become(Rate.of(per_minute), now_s=now_s))


def _others(pool: Pool, remaining: int, *, now_s: float) -> Pool:
    """Give room to whoever else uses the account, as far as the API counts them."""
    limit = pool.standing.account
    more = limit - pool.held(now_s=now_s)[0] - remaining
    if not limit or more <= 0:
        return pool
    return spent_before(pool, requests=more, messages=0, ago_s=0.0, now_s=now_s)


def _us(seconds: float) -> int:
    return round(seconds * _US)


def _tick(seconds: float) -> int:
    us = _us(seconds)
    return us - us % TICK_US
