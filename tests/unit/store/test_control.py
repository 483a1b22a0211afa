"""``control.json``: there whole or not at all, refused when damaged; and who reads which decisions of a journal."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.plans import T0, claim, make_plan, people, record

from broadcaster.core.control import Control, Order, followed
from broadcaster.core.values import Decided
from broadcaster.core.words import Decision, Steering
from broadcaster.errors import ExitCode, RunPaused, StoreDamaged, StoreError
from broadcaster.store.control import read_control, require_going, write_control
from broadcaster.store.doubts import deliveries_in_doubt
from broadcaster.store.facts import Facts, tally
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

PAUSE = Order(what=Steering.PAUSE, who="Ada Löwe@desk", at_us=T0)
GO = Order(what=Steering.GO, who="bo@desk", at_us=T0 + 1)
RATE = Order(what=Steering.RATE, who="ada@desk", at_us=T0 + 2, per_minute=120)


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.create()
    return made


@pytest.mark.parametrize(
    "orders", [[], [PAUSE], [PAUSE, GO], [RATE], [PAUSE, RATE]], ids=["none", "pause", "go", "rate", "pause and rate"]
)
def test_what_is_written_is_read_back(run_dir: RunDir, orders: list[Order]) -> None:
    write_control(run_dir, followed(orders))

    assert read_control(run_dir) == followed(orders)


def test_a_run_of_which_nobody_ordered_anything_has_no_orders(run_dir: RunDir) -> None:
    assert read_control(run_dir) == Control()
    assert require_going(run_dir) == Control()


def test_the_file_is_its_owners_alone_and_nothing_else_is_left(run_dir: RunDir) -> None:
    write_control(run_dir, followed([PAUSE]))

    assert run_dir.control.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in run_dir.path.iterdir()] == ["control.json"]


def test_a_paused_run_is_refused_with_who_paused_it_and_how_it_goes_on(run_dir: RunDir) -> None:
    write_control(run_dir, followed([RATE, PAUSE]))

    with pytest.raises(RunPaused) as refused:
        require_going(run_dir)
    assert refused.value.exit_code is ExitCode.STOPPED
    assert f"{run_dir.path} is paused by Ada Löwe@desk since 2025-12-01 " in refused.value.sentence
    assert f"'broadcaster go {run_dir.path}'" in refused.value.sentence
    write_control(run_dir, followed([RATE, PAUSE, GO]))
    assert require_going(run_dir).rate == RATE


GOOD: dict[str, Any] = {
    "version": 1,
    "switch": {"what": "pause", "who": "ada", "at_us": T0},
    "rate": {"what": "rate", "requests_per_minute": 60, "who": "ada", "at_us": T0},
}
WRONG: dict[str, dict[str, Any]] = {
    "another version": {"version": 2},
    "an unknown order": {"switch": {**GOOD["switch"], "what": "stop"}},
    "a rate for a switch": {"switch": GOOD["rate"]},
    "a switch for a rate": {"rate": GOOD["switch"]},
    "nobody": {"switch": {**GOOD["switch"], "who": ""}},
    "a name with a line break": {"switch": {**GOOD["switch"], "who": "ada\nroot"}},
    "a name without end": {"switch": {**GOOD["switch"], "who": "a" * 201}},
    "a name that is a number": {"switch": {**GOOD["switch"], "who": 7}},
    "a time that is none": {"switch": {**GOOD["switch"], "at_us": "noon"}},
    "a time before all times": {"switch": {**GOOD["switch"], "at_us": -1}},
    "a time after all times": {"switch": {**GOOD["switch"], "at_us": 1 << 60}},
    "true for a time": {"switch": {**GOOD["switch"], "at_us": True}},
    "a rate of nothing": {"rate": {**GOOD["rate"], "requests_per_minute": 0}},
    "a rate beyond all": {"rate": {**GOOD["rate"], "requests_per_minute": 100_001}},
    "half a request": {"rate": {**GOOD["rate"], "requests_per_minute": 1.5}},
    "a rate without a number": {"rate": {"what": "rate", "who": "ada", "at_us": T0}},
}
DAMAGES: dict[str, bytes] = {
    "empty": b"",
    "half a file": json.dumps(GOOD).encode()[:40],
    "no text": b"\xff\xfe\x00pause",
    "a number": b"7",
    "a list": b"[]",
    "nothing": b"null",
    "an endless depth": b"[" * 50_000,
    "far too long": json.dumps(GOOD).encode() + b" " * (1 << 16),
    **{what: json.dumps({**GOOD, **changed}).encode() for what, changed in WRONG.items()},
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_with_what_to_do(run_dir: RunDir, content: bytes) -> None:
    run_dir.control.write_bytes(content)

    with pytest.raises(
        StoreDamaged, match="nobody knows whether the run is paused; write it anew with 'broadcaster go"
    ):
        read_control(run_dir)


def test_a_directory_in_its_place_is_a_store_error(run_dir: RunDir) -> None:
    run_dir.control.mkdir()

    with pytest.raises(StoreError, match=r"control\.json: Is a directory"):
        read_control(run_dir)
    with pytest.raises(StoreError, match=r"control\.json"):
        write_control(run_dir, followed([PAUSE]))


def test_a_reader_never_sees_half_a_file_while_others_write(run_dir: RunDir) -> None:
    write_control(run_dir, followed([PAUSE]))
    ended = threading.Event()

    def look() -> Iterator[Control]:
        while not ended.is_set():
            yield read_control(run_dir)

    seen: set[Control] = set()
    reader = threading.Thread(target=lambda: seen.update(look()))
    reader.start()
    for _ in range(30):
        write_control(run_dir, followed([PAUSE, GO, RATE]))
        write_control(run_dir, followed([PAUSE]))
    ended.set()
    reader.join()

    assert seen <= {followed([PAUSE]), followed([PAUSE, GO, RATE])}


def test_an_order_survives_somebody_who_takes_the_lock_and_sweeps(run_dir: RunDir) -> None:
    """Half-done files are swept by whoever takes the run's lock, but not those of an order."""
    ended = threading.Event()

    def sweep() -> None:
        while not ended.is_set():
            with run_dir.locked():
                pass

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for _ in range(20):
            with run_dir.steering():
                write_control(run_dir, followed([PAUSE]))
    finally:
        ended.set()
        sweeper.join()
    assert read_control(run_dir) == followed([PAUSE])


def test_two_who_change_orders_at_once_lose_neither(run_dir: RunDir) -> None:
    def add(order: Order) -> None:
        with run_dir.steering():
            write_control(run_dir, read_control(run_dir).after(order))

    for _ in range(10):
        run_dir.control.unlink(missing_ok=True)
        both = [threading.Thread(target=add, args=(order,)) for order in (PAUSE, RATE)]
        for each in both:
            each.start()
        for each in both:
            each.join()
        assert read_control(run_dir) == followed([PAUSE, RATE])


# ---- in the journal -------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(tmp_path, people(6), {"limits": {"batch_size": 2}})


def decided(order: Order) -> Decided:
    note = "" if order.per_minute is None else str(order.per_minute)
    return Decided(at_us=order.at_us, who=order.who, what=order.what, batch=None, note=note)


SKIP = Decided(at_us=T0 + 9, who="ada@desk", what=Decision.SKIP, batch=1, note="the offer is over")
RESEND = Decided(at_us=T0 + 10, who="ada@desk", what=Decision.RESEND, batch=2)
READERS: dict[str, Callable[[Plan], list[Any]]] = {
    "decisions about batches": lambda plan: _read(plan, lambda journal: list(journal.decisions())),
    "orders": lambda plan: _read(plan, lambda journal: list(journal.orders())),
    "what is waived": lambda plan: sorted(each for each in Facts.read(plan).waived),
    "what is in doubt": lambda plan: [each.batch.id for each in deliveries_in_doubt(plan, Facts.read(plan))],
    "the counts": lambda plan: [tally(plan, Facts.read(plan)).in_doubt],
}
FINDS: dict[str, tuple[list[Any], list[Any], list[Any]]] = {  # always, when there are decisions, when there are orders
    "decisions about batches": ([], [SKIP, RESEND], []),
    "orders": ([], [], [PAUSE, RATE, GO]),
    "what is waived": ([], [1], []),
    "what is in doubt": ([0], [], []),
    "the counts": ([2], [], []),
}


def _read(plan: Plan, look: Callable[[JournalReader], list[Any]]) -> list[Any]:
    with JournalReader(plan.run_dir.journal) as journal:
        return look(journal)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("with_orders", [False, True], ids=["no orders", "orders"])
@pytest.mark.parametrize("with_decisions", [False, True], ids=["no decisions", "decisions"])
def test_nobody_takes_an_order_for_a_decision_nor_a_decision_for_an_order(
    plan: Plan, name: str, *, with_orders: bool, with_decisions: bool
) -> None:
    facts: list[Any] = [claim(0)]
    facts += [decided(PAUSE), decided(RATE)] if with_orders else []
    facts += [SKIP, RESEND] if with_decisions else []
    facts += [decided(GO)] if with_orders else []
    record(plan, *facts)
    always, of_decisions, of_orders = FINDS[name]

    expected = [*always, *(of_decisions if with_decisions else []), *(of_orders if with_orders else [])]
    assert READERS[name](plan) == expected


def test_an_order_that_was_never_one_of_ours_is_damage(plan: Plan) -> None:
    record(plan, Decided(at_us=T0, who="ada", what=Decision.SKIP, batch=None))

    with pytest.raises(StoreDamaged, match="'skip' is no order"):
        _read(plan, lambda journal: list(journal.orders()))
