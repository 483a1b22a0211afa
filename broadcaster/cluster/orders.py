"""Live orders of a shared run: given by anybody who reaches its address, followed by whoever sends.

Theory of operation. What holds is ``control.json``, as in a run directory of one machine; whoever orders replaces it.
What was *followed* is written down as an object for each order, named by its moment: several who follow the same order
write the same object, so that it is in the run's story once. A store has no lock: of two who order different things in
the same moment the later one may take back the other's, and is told what holds.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from broadcaster.app.control import Steered
from broadcaster.cluster.census import take_census
from broadcaster.cluster.meta import META, read_meta
from broadcaster.cluster.objects import done_name
from broadcaster.cluster.storage import Storage
from broadcaster.core.control import Control, Order, changes, followed
from broadcaster.core.shards import cut_shards
from broadcaster.core.values import Decided
from broadcaster.core.words import Steering
from broadcaster.errors import ConfigError, StoreDamaged
from broadcaster.store.control import control_bytes, parse_control, require_unpaused
from broadcaster.store.head import Head
from broadcaster.store.rundir import RunDir

CONTROL = "control.json"
_FOLLOWED = "orders"  # what the names of orders that were followed begin with
_DISK = "file://"


def read_orders(storage: Storage) -> Control:
    """Return the orders that hold for a shared run; none when nobody ordered anything.

    Raises:
        StoreDamaged: they cannot be read.
        StoreError: the store does not do what it is asked.
    """
    content = storage.read(CONTROL)
    if content is None:
        return Control()
    return parse_control(content, path=f"{storage.name}/{CONTROL}", run=storage.name)


def require_orders_to_go(storage: Storage) -> None:
    """Raise :class:`RunPaused` while a shared run is paused, and what :func:`read_orders` raises."""
    require_unpaused(read_orders(storage), run=storage.name)


def steer_shared(storage: Storage, order: Order) -> Steered:
    """Order something of a shared run; whoever sends follows within a few seconds.

    Raises:
        ConfigError: there is no such run, or everything in it is settled.
        StoreDamaged: a rate is ordered, and nobody can tell whether the run is paused.
        StoreError: the store does not do what it is asked.
    """
    batches = _batches(storage)
    with _alone(storage):
        known, was_damaged = _known(storage, order)
        changed = was_damaged or changes(known, order)
        # A finished run has nothing to pause. A pause that outlived its end may go.
        if not (changed and order.what is Steering.GO) and _is_settled(storage, batches):
            raise ConfigError(
                f"everything in {storage.name} is settled and nobody works on it: there is nothing that "
                f"'broadcaster {order.what}' could change"
            )
        if changed:
            known = known.after(order)
            storage.replace(CONTROL, control_bytes(known))
    senders = take_census(storage, batches=batches).senders  # takes a while in a store that is far away
    return Steered(control=known, changed=changed, was_damaged=was_damaged, holder=str(senders[0]) if senders else None)


def note_followed(storage: Storage, order: Order) -> None:
    """Write down that an order was followed; durable when it returns, and to say it twice changes nothing."""
    storage.create(f"{_FOLLOWED}/{order.at_us:020}-{order.what}.json", control_bytes(Control().after(order)))


def followed_orders(storage: Storage) -> list[Order]:
    """Return the orders that were followed, in their order.

    Raises:
        StoreDamaged: one cannot be read.
    """
    found: list[Order] = []
    for name, content in storage.read_many(storage.names(_FOLLOWED)):
        held = parse_control(content or b"", path=f"{storage.name}/{name}", run=storage.name)
        found += [each for each in (held.switch, held.rate) if each is not None]
    return found


def decided(storage: Storage) -> list[Decided]:
    """Return the orders that were followed, as the journal has decisions."""
    return [
        Decided(
            at_us=each.at_us,
            who=each.who,
            what=each.what,
            batch=None,
            note="" if each.per_minute is None else str(each.per_minute),
        )
        for each in followed_orders(storage)
    ]


def known_orders(storage: Storage) -> Control:
    """Return what holds after all orders that were followed so far."""
    return followed(followed_orders(storage))


def _known(storage: Storage, order: Order) -> tuple[Control, bool]:
    try:
        return read_orders(storage), False
    except StoreDamaged:
        if order.what is Steering.RATE:
            raise
        return Control(), True


def _is_settled(storage: Storage, batches: int) -> bool:
    if not storage.exists(META):
        return False
    names = set(storage.names("shards"))
    return all(done_name(shard.index) in names for shard in cut_shards(batches, of=read_meta(storage).shards))


def _batches(storage: Storage) -> int:
    """Return how many batches a shared plan has; raise :class:`ConfigError` where no plan is."""
    part = batches = 0
    while (content := storage.read(name := RunDir(Path()).head(part).name)) is not None:
        batches += Head.from_json(content, path=Path(f"{storage.name}/{name}")).batches
        part += 1
    if not part:
        raise ConfigError(
            f"{storage.name} holds no shared run; put one there: broadcaster plan JOB.toml --run-dir {storage.name}"
        )
    return batches


@contextlib.contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    """Let nobody else on this machine order anything meanwhile, where the run is a directory."""
    with contextlib.ExitStack() as stack:
        if storage.url.startswith(_DISK):
            stack.enter_context(RunDir(Path(storage.url.removeprefix(_DISK))).steering())
        yield
