"""Requests against the limit: when each one left, by the journal."""

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.job.model import Limits
from broadcaster.report.figures import Rate
from broadcaster.report.times import busiest, rolling
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan

_TOO_MANY = 429


def measure_rate(plan: Plan, facts: Facts) -> Rate:
    """Return how fast the run asked, compared with what the job allows. *facts* are whole.

    A request counts at the moment it left; of the last one of a batch that took several, at its answer.
    """
    limits = limits_of(plan)
    moments, batches, refused = _requests(plan, facts)
    order = np.argsort(moments, kind="stable")
    moments, batches = moments[order], batches[order]
    messages_limit = limits.messages_per_minute or None
    return Rate(
        requests=len(moments),
        refused=refused,
        limit=limits.requests_per_minute,
        busiest=busiest(moments),
        messages_limit=messages_limit,
        busiest_messages=busiest(moments, _weights(plan, facts, batches)) if messages_limit else None,
        over_time=rolling(moments),
    )


def limits_of(plan: Plan) -> Limits:
    """Return the limits of the part that was planned last."""
    return Limits.model_validate(plan.parts[-1].head.limits)


def _requests(plan: Plan, facts: Facts) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the moment and the batch of every request that left, and how many were too many."""
    details = facts.settled.details
    nothing = np.zeros(0, dtype=np.int64)
    if details is None or not plan.run_dir.journal.exists():
        return nothing, nothing, 0
    answered = pc.is_valid(details["http"]).to_numpy()
    first = pc.fill_null(details["first_us"], details["settled_us"]).to_numpy()
    last = np.where(details["attempts"].to_numpy() > 1, details["settled_us"].to_numpy(), first)
    with JournalReader(plan.run_dir.journal) as journal:
        others = list(journal.departures())
    moments = np.array([us for _, us, _ in others], dtype=np.int64)
    batches = np.array([batch for batch, _, _ in others], dtype=np.int64)
    return (
        np.concatenate([last[answered], moments]),
        np.concatenate([facts.settled.batches[answered], batches]),
        sum(http == _TOO_MANY for _, _, http in others),
    )


def _weights(plan: Plan, facts: Facts, batches: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many messages each of *batches* asks for."""
    sizes = plan.sizes()
    found = np.zeros(len(batches), dtype=np.int64)
    planned = batches >= 0
    found[planned] = sizes[batches[planned]]
    found[~planned] = [facts.children[batch].deliveries for batch in batches[~planned].tolist()]
    return found
