"""Three who take one shard, of whom one stands still in the middle of it: what the facts say stays what it was."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.plans import SECOND, T0, claim
from support.shared import Watched, folded

from broadcaster.cluster.objects import Fact, pack, part_name
from broadcaster.cluster.parts import take
from broadcaster.cluster.storage import Storage
from broadcaster.core.values import Child, Outcome
from broadcaster.core.words import State
from broadcaster.store.rows import bearing, claiming, settling


def outcome(batch: int, state: State = State.ACCEPTED, *, request_id: str) -> Outcome:
    return Outcome(
        batch=batch, state=state, attempts=1, first_us=T0, settled_us=T0 + SECOND, http=202, request_id=request_id
    )


def child(number: int, *, parent: int) -> Child:
    return Child(id=number, parent=parent, positions=(0, 2), key=f"f1-{parent}-{number}", cause="VALIDATION_002")


CLAIMED: Fact = [claiming([claim(5)], process=1)]
DIVIDED: Fact = [*settling(outcome(5, State.SPLIT, request_id="old")), bearing([child(-1, parent=5)])]
DIVIDED_ANOTHER: Fact = [*settling(outcome(6, State.SPLIT, request_id="new")), bearing([child(-1, parent=6)])]
ACCEPTED_ANEW: Fact = settling(outcome(5, request_id="new"))


def write(storage: Storage, epoch: int, number: int, *facts: Fact) -> None:
    content = pack(facts, shard=0, epoch=epoch, number=number, writer="test")
    assert storage.create(part_name(0, epoch, number), content)


def said(storage: Storage, scratch: Path) -> tuple[dict[int, tuple[State, str]], dict[int, int], list[int]]:
    """Return what became of the batches, whose part each child is, and what is in doubt."""
    with folded(storage, scratch) as reader:
        return (
            {each.batch: (each.state, each.request_id) for each in reader.outcomes()},
            {each.id: each.parent for each in reader.children()},
            [each.batch for each in reader.open_claims()],
        )


def slow_to_take(storage: Storage, step: tuple[str, str, str], meanwhile: Callable[[], None]) -> None:
    """Take the shard as one does who stands still at a step, while others work."""
    when, method, name = step
    done: list[bool] = []

    def stand_still(how: str, what: str) -> None:
        if not done and how == method and name in what:
            done.append(True)
            meanwhile()

    watched = Watched(storage)
    setattr(watched, when, stand_still)
    assert take(watched, 0, idle_s=0) == 1
    assert done


STEPS = {
    "before it looks": ("after", "create", "epoch-0001"),
    "before it says what it saw": ("before", "create", "part-0001-000000"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_division_that_the_working_owner_saw_stays_a_division(
    disk: Storage, tmp_path: Path, step: tuple[str, str, str]
) -> None:
    """Its parts have been sent: the whole batch must not be left to send again because somebody else wakes up."""
    assert take(disk, 0, idle_s=0) == 0
    write(disk, 0, 1, CLAIMED)
    before: list[object] = []

    def others_work() -> None:
        write(disk, 0, 2, DIVIDED)  # late for the second owner, in time for the third
        assert take(disk, 0, idle_s=0) == 2
        write(disk, 2, 1, [claiming([claim(-1)], process=3)])
        before.append(said(disk, tmp_path / "before.sqlite"))

    slow_to_take(disk, step, others_work)

    assert before == [({5: (State.SPLIT, "old")}, {-1: 5}, [-1])]
    assert said(disk, tmp_path / "after.sqlite") == before[0]


def test_a_division_that_came_too_late_for_the_working_owner_stays_too_late(disk: Storage, tmp_path: Path) -> None:
    """Its parts were never sent, the whole batch was, and their numbers are another's."""
    assert take(disk, 0, idle_s=0) == 0
    write(disk, 0, 1, CLAIMED)
    before: list[object] = []

    def others_work() -> None:
        assert take(disk, 0, idle_s=0) == 2
        write(disk, 0, 2, DIVIDED)
        write(disk, 2, 1, ACCEPTED_ANEW, DIVIDED_ANOTHER)
        before.append(said(disk, tmp_path / "before.sqlite"))

    slow_to_take(disk, STEPS["before it looks"], others_work)

    assert before == [({5: (State.ACCEPTED, "new"), 6: (State.SPLIT, "new")}, {-1: 6}, [])]
    assert said(disk, tmp_path / "after.sqlite") == before[0]


def test_a_fourth_owner_goes_on_with_what_the_third_one_said(disk: Storage, tmp_path: Path) -> None:
    assert take(disk, 0, idle_s=0) == 0
    write(disk, 0, 1, CLAIMED)

    def others_work() -> None:
        assert take(disk, 0, idle_s=0) == 2
        write(disk, 0, 2, DIVIDED)
        write(disk, 2, 1, ACCEPTED_ANEW)

    slow_to_take(disk, STEPS["before it looks"], others_work)
    assert take(disk, 0, idle_s=0) == 3

    assert said(disk, tmp_path / "journal.sqlite") == ({5: (State.ACCEPTED, "new")}, {}, [])
