"""The facts of a shard's owners, one after the other, as if one process had written them all.

Theory of operation. An owner that was overtaken may still write: what was on its way when the shard was taken. Its
successor never saw these *late* parts, and acted as if they were not there; part 0 of each owner says what it saw. So
of what came late only this counts: that messages were accepted, where no other word about the batch exists, and which
attempts were made. A late claim was never sent. A late refusal may have been overtaken by the successor's own attempt,
and a late division has parts whose numbers the successor may have given to others: without them the batch is in doubt,
which is what it was to the successor. Of several outcomes of one batch the first counts, with all that came with it.

Nor does everybody who took a shard become a successor. One that was overtaken before its part 0 was there, because it
stood still or the store was slow, never claimed anything, and what it saw was seen at another moment than what others
acted on: it may appear at any time later, and must not change what the facts have said until then.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

from broadcaster.cluster.objects import (
    Fact,
    beat_name,
    epoch_name,
    home,
    last_parts,
    part_name,
    unpack,
    unpack_seen,
)
from broadcaster.cluster.storage import Storage
from broadcaster.core.words import State
from broadcaster.errors import StoreDamaged
from broadcaster.store.rows import KINDS, Statement

_OUTCOME, _ANSWER = KINDS["outcome"], KINDS["answer"]
_LATE = frozenset({KINDS["attempt"], KINDS["process"], KINDS["end"]})  # what counts whenever it comes
_STATE = 1  # column of outcome


def fold(storage: Storage, shard: int) -> Iterator[list[Statement]]:
    """Yield the facts of a shard as statements for a journal, a part at a time.

    Raises:
        StoreDamaged: a part is missing or damaged; the sentence names it.
        StoreError: the store does not do what it is asked.
    """
    names = storage.names(home(shard))
    last = last_parts(names)
    _require_claims(storage, shard, last, names)
    seen = _seen(storage, shard, last)
    successors = _successors(seen)
    for known in ({epoch: _told(storage, shard, epoch) for epoch in last}, *(seen[each] for each in successors)):
        for epoch in known.keys() & last.keys():
            last[epoch] = max(last[epoch], known[epoch])  # a part that the listing does not have: it is asked for
    settled: set[int] = set()
    late: list[Fact] = []
    for epoch, number, facts in _parts(storage, shard, last):
        successor = next((each for each in successors if each > epoch), None)
        if successor is None or number <= seen[successor].get(epoch, 0):
            yield [statement for fact in facts if _is_first(fact, settled) for statement in fact]
        else:
            yield [statement for fact in facts for statement in fact if statement[0] in _LATE]
            late += [found for fact in facts if (found := _accepted(fact))]
    yield [statement for fact in late if _is_first(fact, settled) for statement in fact]


def _require_claims(storage: Storage, shard: int, epochs: Iterable[int], names: Sequence[str]) -> None:
    """Raise where a claim of a shard is gone: it is what keeps its earlier owner from sending."""
    for name in {epoch_name(shard, epoch) for epoch in epochs}.difference(names):
        if not storage.exists(name):
            raise StoreDamaged(f"{storage.name}/{name} is missing; restore it from a copy, nothing is sent without it")


def _told(storage: Storage, shard: int, epoch: int) -> int:
    """Return how many parts an owner has told that it wrote; it may have written more."""
    try:
        told = json.loads(storage.read(beat_name(shard, epoch)) or b"{}")["parts"]
    except (ValueError, LookupError, TypeError):
        return 0
    return told if isinstance(told, int) else 0


def _seen(storage: Storage, shard: int, last: Iterable[int]) -> dict[int, dict[int, int]]:
    """Return, per owner, what it saw of those before it."""
    epochs = list(last)
    names = [part_name(shard, epoch, 0) for epoch in epochs]
    found = storage.read_many(names)
    return {
        epoch: unpack_seen(content, shard=shard, epoch=epoch, where=f"{storage.name}/{name}")
        for epoch, (name, content) in zip(epochs, found, strict=True)
    }


def _successors(seen: dict[int, dict[int, int]]) -> list[int]:
    """Return, in order, the owners who may have claimed something: the last one, and whom such a one saw."""
    found: list[int] = []
    for epoch in sorted(seen, reverse=True):
        if not found or epoch in seen[found[-1]]:
            found.append(epoch)
    return found[::-1]


def _parts(storage: Storage, shard: int, last: dict[int, int]) -> Iterator[tuple[int, int, Sequence[Fact]]]:
    """Yield owner, number and facts of every part, in order.

    They are asked for by number: a listing of a directory may have the second of two new files without the first.
    """
    wanted = [(epoch, number) for epoch in last for number in range(1, last[epoch] + 1)]
    found = storage.read_many([part_name(shard, epoch, number) for epoch, number in wanted])
    for (epoch, number), (name, content) in zip(wanted, found, strict=True):
        yield (
            epoch,
            number,
            unpack(content, shard=shard, epoch=epoch, number=number, where=f"{storage.name}/{name}"),
        )


def _is_first(fact: Fact, settled: set[int]) -> bool:
    """Whether a fact says nothing about batches of which there is an outcome already; remember those it settles."""
    ends = {row[0] for statement, rows in fact if statement == _OUTCOME for row in rows}
    if ends & settled:
        return False
    settled |= ends  # type: ignore[arg-type]  # the first column is the batch
    return True


def _accepted(fact: Fact) -> Fact:
    """Return outcome and answer of a fact that says that messages were accepted, without what follows from it."""
    states = [row[_STATE] for statement, rows in fact if statement == _OUTCOME for row in rows]
    if set(states) != {State.ACCEPTED.value}:
        return ()
    return [statement for statement in fact if statement[0] in {_OUTCOME, _ANSWER}]
