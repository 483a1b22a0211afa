"""What people order of the rate of one run, where many senders share its account's limit.

Theory of operation. The account's pool (:mod:`broadcaster.core.leases`) stays what it is. A run of which somebody
ordered a rate has a second pool of its own, and a turn is given where both have room: so one run can be slowed down
beside others. A rate above the account's limit raises that limit for all, until the API says otherwise. Reads no clock.
"""

from dataclasses import replace

from broadcaster.core.leases import Lane, Pool, ask, reopened, stand, withdrawn
from broadcaster.core.pacing import Limit, Rate, Standing


def ordered(per_minute: int, *, before: Pool | None = None, now_s: float) -> Pool:
    """Return the pool of one run, which a person at the controls limits to so many requests a minute.

    It is asked besides the account's; see :func:`ask_both`. What the API said while another order held (*before*) holds
    no longer; what was given does.
    """
    standing = Standing(asked=per_minute, live=per_minute)
    fresh = Pool(standing=standing, requests=Lane(rate=Rate.of(per_minute), at_s=now_s), messages=Lane(rate=Rate.of(0)))
    if before is None:
        return fresh
    return reopened(replace(before, standing=replace(before.standing, learned=None)), fresh, now_s=now_s)


def allowing(pool: Pool, most: int | None, *, anew: bool, now_s: float) -> Pool:
    """Return an account's pool after people ordered a rate of some of its runs, or took such an order back.

    What is less than the account's limit slows down that run alone. What is more is believed until the API says
    otherwise.

    Args:
        pool: of the account.
        most: the highest rate that is in force, of all runs; ``None`` where nobody ordered any.
        anew: it was ordered just now, and what the API said before holds no longer.
        now_s: the present.
    """
    standing = replace(pool.standing, live=None)
    if not standing.asked:
        return pool
    if anew and most is not None and most > pool.standing.in_force[0]:
        standing = replace(standing, learned=None)
    live = most if most is not None and most > standing.in_force[0] else None
    return stand(pool, replace(standing, live=live), now_s=now_s)


def lower(mine: Limit, of_all: Limit) -> Limit:
    """Return the limits in force for a run that has one of its own: whichever of requests is lower."""
    per_minute, limit = mine.requests_per_minute, of_all.requests_per_minute
    if per_minute is None or (limit is not None and limit <= per_minute):
        return of_all
    return replace(of_all, requests_per_minute=per_minute, source=mine.source, slowed=mine.slowed or of_all.slowed)


def ask_both(
    mine: Pool, pool: Pool, *, who: str, messages: int, patient: bool, now_s: float
) -> tuple[Pool, Pool, float]:
    """Do what :func:`ask` does for a turn that is given only where a run's own pool and its account's have room.

    Whoever waits for the run's own keeps no place in the account's line: other runs pass.
    """
    after, left_s = ask(mine, who=who, messages=messages, patient=patient, now_s=now_s)
    if left_s > 0:
        return after, withdrawn(pool, who=who), left_s
    pool, left_s = ask(pool, who=who, messages=messages, patient=patient, now_s=now_s)
    return (mine if left_s > 0 else after), pool, left_s
