"""When a run goes so wrong that it must stop: a count and a share, both passed, over enough settled deliveries.

What passes the limits are refusals, and, as receipts come in, messages that did not arrive. Some of these say more than
others: when money, template or sender stop a message they stop the next one as well, so that a few of them are enough
(:func:`stopped_by`).
"""

from collections.abc import Mapping

from broadcaster.core.remedy import OF_THE_ACCOUNT, Cause

_ENOUGH = 100  # settled deliveries below which a share means nothing
_FEW = 3  # messages that the account itself stops
_PART = 0.10  # of the messages that anything is known of


def must_halt(*, rejected: int, settled: int, largest_batch: int, halt_count: int, halt_share: float) -> bool:
    """Return whether the rejected deliveries pass both limits.

    Args:
        rejected: deliveries that the API refused, and those that by their receipts did not arrive.
        settled: deliveries that are accepted or rejected.
        largest_batch: deliveries of the largest batch; so many must have settled, and at least 100.
        halt_count: limit in deliveries.
        halt_share: limit as a share of *settled*.
    """
    return settled >= max(_ENOUGH, largest_batch) and rejected > halt_count and rejected > halt_share * settled


def stopped_by(causes: Mapping[Cause, int], *, told: int) -> Cause | None:
    """Return what of the account stops messages now, the most frequent first, or ``None``.

    Three messages are enough, if they are more than a tenth of those that receipts speak of.

    Args:
        causes: messages that did not arrive, by cause.
        told: messages that any receipt speaks of.
    """
    found = {cause: count for cause, count in causes.items() if cause in OF_THE_ACCOUNT}
    worst = max(found, key=lambda cause: found[cause], default=None)
    if worst is None or found[worst] < _FEW or found[worst] <= _PART * told:
        return None
    return worst
