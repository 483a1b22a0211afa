"""``pause``, ``go``, ``rate``: orders to whoever works on a run, now or later.

Nothing is sent here, and no journal is written: the process that works on the run does that when it follows an order.
"""

from dataclasses import dataclass
from pathlib import Path

from broadcaster.core.control import Control, Order, changes
from broadcaster.core.words import Steering
from broadcaster.errors import ConfigError, StoreDamaged
from broadcaster.store.control import read_control, write_control
from broadcaster.store.facts import Facts, tally
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What an order did.

    Attributes:
        control: what holds now.
        changed: whether the order changed anything.
        was_damaged: ``control.json`` could not be read and was written anew: a rate that it held is gone.
        holder: the process that follows it; ``None`` when nobody works on the run.
    """

    control: Control
    changed: bool
    was_damaged: bool
    holder: str | None


def steer(path: Path, order: Order) -> Steered:
    """Order something of the run at *path*; whoever works on it follows within a second.

    An order that changes nothing is not written down: the earlier one stands.

    Raises:
        ConfigError: there is no such run, or everything in it is settled.
        BelongsToAnother: the run was purged.
        StoreDamaged: a rate is ordered, and ``control.json`` does not tell whether the run is paused.
        StoreError: the disk refuses.
    """
    run_dir = RunDir(path)
    run_dir.require_planned()
    holder = run_dir.holder() if run_dir.is_in_use() else None
    with run_dir.steering():
        known, was_damaged = _known(run_dir, order)
        changed = was_damaged or changes(known, order)
        # A finished run has nothing to pause. A pause that outlived its end may go: 'retry-failed' would heed it.
        if holder is None and not (changed and order.what is Steering.GO):
            _require_unfinished(run_dir, order)
        if changed:
            known = known.after(order)
            write_control(run_dir, known)
    return Steered(control=known, changed=changed, was_damaged=was_damaged, holder=holder)


def _known(run_dir: RunDir, order: Order) -> tuple[Control, bool]:
    try:
        return read_control(run_dir), False
    except StoreDamaged:
        if order.what is Steering.RATE:
            raise
        return Control(), True


def _require_unfinished(run_dir: RunDir, order: Order) -> None:
    plan = Plan.open(run_dir)
    facts = Facts.read(plan, whole=False)
    if not (facts.claims or tally(plan, facts).pending):
        raise ConfigError(
            f"everything in {run_dir.path} is settled and nobody works on it: there is nothing that "
            f"'broadcaster {order.what}' could change"
        )
