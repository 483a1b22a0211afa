"""The account's minute in its file: who shares it, what survives, who goes first, and that nothing about it fails."""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.doubles import ManualClock

from broadcaster.core.window import WINDOW_US, Ceilings
from broadcaster.store.account import registry_path
from broadcaster.store.spend import Spend, spend_path

WINDOW_S = WINDOW_US / 1_000_000
TICK_S = 0.1


class Desk:
    """A machine: its clock, its file, and the runs on it."""

    def __init__(self, path: Path, *, boot: str | None = "boot-1") -> None:
        self.path = path / "state" / "limits.sqlite"
        self.clock = ManualClock(boot=boot)
        self.clock.step(1000)
        self.opened: list[Spend] = []

    def run(self, account: str | None = "account", *, address: str = "address") -> Spend:
        spend = Spend(self.path, address=address, clock=self.clock)
        self.opened.append(spend)
        if account is not None:
            spend.belongs_to(account)
        return spend

    def close(self) -> None:
        for each in self.opened:
            each.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def _closed(desk: Desk) -> Iterator[None]:
    yield
    desk.close()


def limits(requests: int = 0, messages: int = 0) -> Ceilings:
    return Ceilings(requests=requests, messages=messages)


def fill(spend: Spend, count: int, *, ceilings: Ceilings, messages: int = 1) -> None:
    """Take so many turns, which are all given."""
    for number in range(count):
        assert spend.take(messages, ceilings=ceilings, patient=False).wait_s == 0, number


def wait_s(spend: Spend, *, ceilings: Ceilings, messages: int = 1, patient: bool = False) -> float:
    return spend.take(messages, ceilings=ceilings, patient=patient).wait_s


def test_it_lies_beside_the_registry_and_nobody_else_may_read_it(desk: Desk) -> None:
    assert spend_path() == registry_path().with_name("limits.sqlite")
    fill(desk.run(), 1, ceilings=limits(5))

    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(desk.path.parent.stat().st_mode) == 0o700


def test_without_a_first_turn_there_is_no_file(desk: Desk) -> None:
    repr(desk.run(None))
    assert not desk.path.exists()


def test_a_minute_holds_as_much_as_its_limit_and_the_wait_ends_when_there_is_room(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 2, ceilings=limits(5))
    desk.clock.step(20)
    fill(spend, 3, ceilings=limits(5))

    waits = wait_s(spend, ceilings=limits(5))
    assert waits == pytest.approx(WINDOW_S - 20, abs=TICK_S)
    desk.clock.step(waits)
    fill(spend, 2, ceilings=limits(5))
    assert wait_s(spend, ceilings=limits(5)) == pytest.approx(20, abs=TICK_S)


def test_the_limit_of_messages_counts_messages_and_look_ups_have_none(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 2, ceilings=limits(messages=100), messages=45)

    assert wait_s(spend, ceilings=limits(messages=100), messages=11) > 50
    assert wait_s(spend, ceilings=limits(messages=100), messages=0) == 0
    assert wait_s(spend, ceilings=limits(messages=100), messages=10) == 0


def test_more_than_a_whole_limit_waits_for_an_empty_minute(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 1, ceilings=limits(messages=50), messages=1)

    waits = wait_s(spend, ceilings=limits(messages=50), messages=80)
    assert waits == pytest.approx(WINDOW_S, abs=TICK_S)
    desk.clock.step(waits)
    assert wait_s(spend, ceilings=limits(messages=50), messages=80) == 0
    assert wait_s(spend, ceilings=limits(messages=50), messages=1) > 0


SHARING: dict[str, tuple[str | None, str, bool]] = {
    "the same account": ("account", "address", True),
    "another account": ("other", "address", False),
    "the same name at another address": ("account", "elsewhere", False),
    "somebody who does not know the account yet": (None, "address", True),
    "somebody who does not know the account yet, elsewhere": (None, "elsewhere", False),
}


@pytest.mark.parametrize("name", SHARING)
def test_a_full_minute_is_full_for(desk: Desk, name: str) -> None:
    account, address, full = SHARING[name]
    fill(desk.run(), 3, ceilings=limits(3))

    assert (wait_s(desk.run(account, address=address), ceilings=limits(3)) > 0) is full


def test_what_was_spent_before_the_account_was_known_counts_for_all_and_then_for_it_alone(desk: Desk) -> None:
    beginner, same, other = desk.run(None), desk.run(), desk.run("other")
    fill(beginner, 2, ceilings=limits(2))
    assert wait_s(same, ceilings=limits(2)) > 0
    assert wait_s(other, ceilings=limits(2)) > 0

    beginner.belongs_to("account")
    assert wait_s(same, ceilings=limits(2)) > 0
    assert wait_s(other, ceilings=limits(2)) == 0


def test_who_does_not_know_the_account_waits_for_the_fullest_and_not_for_the_sum_of_all(desk: Desk) -> None:
    fill(desk.run(), 2, ceilings=limits(3))
    fill(desk.run("other"), 2, ceilings=limits(3))
    beginner = desk.run(None)

    fill(beginner, 1, ceilings=limits(3))
    assert wait_s(beginner, ceilings=limits(3)) > 0


def test_who_does_not_know_the_account_is_not_stopped_by_one_that_is_allowed_more(desk: Desk) -> None:
    fill(desk.run(), 50, ceilings=limits(100))

    assert wait_s(desk.run(None), ceilings=limits(3)) == 0


@pytest.mark.parametrize("boot", [pytest.param("boot-1", id="boot clock"), pytest.param(None, id="wall clock alone")])
def test_a_process_that_is_gone_leaves_its_spend(tmp_path: Path, boot: str | None) -> None:
    desk = Desk(tmp_path, boot=boot)
    fill(desk.run(), 3, ceilings=limits(3))  # and is killed: nothing is closed, nothing is said
    desk.clock.step(10)

    assert wait_s(desk.run(), ceilings=limits(3)) == pytest.approx(WINDOW_S - 10, abs=TICK_S)
    desk.close()


RESTARTS: dict[str, tuple[float, float]] = {
    "the clock is right": (0.0, WINDOW_S - 20),
    "the clock is a little ahead": (5.0, WINDOW_S - 25),
    "the clock was set back: it counts as spent just now": (-3600.0, WINDOW_S),
}


@pytest.mark.parametrize("name", RESTARTS)
def test_what_was_spent_before_the_machine_was_started_anew_counts_by_the_wall_clock(desk: Desk, name: str) -> None:
    by_s, expected_s = RESTARTS[name]
    fill(desk.run(), 3, ceilings=limits(3))
    desk.clock.restart("boot-2")
    desk.clock.step(20)
    desk.clock.set_wall(by_s)

    spend = desk.run()
    waits = wait_s(spend, ceilings=limits(3))
    assert waits == pytest.approx(expected_s, abs=0.1)
    desk.clock.step(waits + 0.1)
    assert wait_s(spend, ceilings=limits(3)) == 0


def test_a_wall_clock_that_is_set_does_not_matter_where_there_is_another(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 3, ceilings=limits(3))
    desk.clock.step(20)
    for by_s in (-3600, 7200):
        desk.clock.set_wall(by_s)
        assert wait_s(spend, ceilings=limits(3)) == pytest.approx(WINDOW_S - 20, abs=TICK_S)


def test_where_there_is_only_a_wall_clock_and_it_is_set_back_nobody_waits_longer_than_a_minute(tmp_path: Path) -> None:
    desk = Desk(tmp_path, boot=None)
    spend = desk.run()
    fill(spend, 3, ceilings=limits(3))
    desk.clock.set_wall(-3600)

    waits = wait_s(spend, ceilings=limits(3), patient=True)
    assert 0 < waits <= WINDOW_S
    desk.clock.step(waits)
    assert wait_s(spend, ceilings=limits(3), patient=True) == 0
    desk.close()


# ---- who goes first -------------------------------------------------------------------------------------------------


def test_who_waits_for_much_is_not_overtaken_by_who_comes_later_for_little(desk: Desk) -> None:
    large, small = desk.run(), desk.run()
    ceilings = limits(messages=100)
    fill(small, 10, ceilings=ceilings, messages=5)
    desk.clock.step(30)
    fill(small, 10, ceilings=ceilings, messages=5)
    assert wait_s(large, ceilings=ceilings, messages=60, patient=True) > 0

    desk.clock.step(WINDOW_S - 30)  # there is room for five messages, but not for sixty
    assert wait_s(large, ceilings=ceilings, messages=60, patient=True) > 0
    assert wait_s(small, ceilings=ceilings, messages=5) > 0
    assert wait_s(small, ceilings=ceilings, messages=0) == 0  # it takes nothing of what is waited for


def _withdrawn(_: Desk, spend: Spend) -> None:
    spend.withdraw()


def _not_renewed(desk: Desk, _: Spend) -> None:
    desk.clock.step(1.1)


def _granted(desk: Desk, spend: Spend) -> None:
    desk.clock.step(WINDOW_S)
    assert wait_s(spend, ceilings=limits(messages=100), messages=60) == 0
    desk.clock.step(WINDOW_S)


GONE = {"it withdrew": _withdrawn, "it was not renewed": _not_renewed, "it was granted": _granted}


@pytest.mark.parametrize("name", GONE)
def test_a_wish_holds_nobody_up_any_more_when(desk: Desk, name: str) -> None:
    large, small = desk.run(), desk.run()
    fill(small, 1, ceilings=limits(messages=100), messages=50)
    assert wait_s(large, ceilings=limits(messages=100), messages=60, patient=True) > 0
    assert wait_s(small, ceilings=limits(messages=100), messages=50) > 0

    GONE[name](desk, large)
    assert wait_s(small, ceilings=limits(messages=100), messages=50) == 0


def test_who_asks_in_passing_leaves_no_wish(desk: Desk) -> None:
    large, small = desk.run(), desk.run()
    fill(small, 1, ceilings=limits(messages=100), messages=50)
    assert wait_s(large, ceilings=limits(messages=100), messages=60) > 0

    assert wait_s(small, ceilings=limits(messages=100), messages=50) == 0


def test_a_run_that_is_allowed_less_than_the_one_beside_it_is_not_starved(desk: Desk) -> None:
    fast, slow = desk.run(), desk.run()
    fill(fast, 80, ceilings=limits(100))

    fill(slow, 20, ceilings=limits(50))
    assert wait_s(fast, ceilings=limits(100)) > 0
    assert wait_s(slow, ceilings=limits(50)) > 0


def test_a_limit_of_a_run_that_ended_long_ago_is_nobodys(desk: Desk) -> None:
    fill(desk.run(), 80, ceilings=limits(100))
    desk.clock.step(62)
    slow = desk.run()
    fill(slow, 50, ceilings=limits(50))

    assert wait_s(slow, ceilings=limits(50)) > 0


# ---- what is known of the account -----------------------------------------------------------------------------------


def test_a_learned_limit_is_known_to_every_run_of_the_account_for_a_week(desk: Desk) -> None:
    beside, learner = desk.run(), desk.run()
    learner.learn(120)

    assert beside.take(1, ceilings=limits(200), patient=False).known.learned == 120
    desk.clock.step(6 * 86_400)
    assert desk.run(None).belongs_to("account").learned == 120
    assert desk.run(None).belongs_to("other").learned is None
    desk.clock.step(86_400)
    assert desk.run(None).belongs_to("account").learned is None


def test_once_a_lower_limit_is_learned_that_of_a_run_which_has_not_heard_of_it_gives_no_room(desk: Desk) -> None:
    unaware, learner = desk.run(), desk.run()
    fill(unaware, 60, ceilings=limits(100))
    learner.learn(50)

    assert wait_s(learner, ceilings=limits(50)) > 0


PAUSES: dict[str, tuple[float, str | None, float]] = {
    "a run of the account": (30, "account", 20),
    "a run that does not know its account": (30, None, 20),
    "a run of another account": (30, "other", 0),
    "a lock-out of an hour, which the API may be asked about again": (3600, "account", 50),
    "a pause that is over": (9, "account", 0),
}


@pytest.mark.parametrize("name", PAUSES)
def test_ten_seconds_after_a_429_this_long_has_to_wait(desk: Desk, name: str) -> None:
    asked_s, account, expected_s = PAUSES[name]
    desk.run().pause(asked_s)
    desk.clock.step(10)

    turn = desk.run(account).take(1, ceilings=limits(5), patient=False)
    assert [turn.wait_s, turn.known.paused_s] == pytest.approx([expected_s, expected_s])


def test_a_pause_from_a_future_that_was_set_back_is_none(desk: Desk) -> None:
    desk.run().pause(30)
    desk.clock.set_wall(-3600)

    assert wait_s(desk.run(), ceilings=limits(5)) == 0


def test_what_others_spent_elsewhere_is_taken_from_the_minute(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 10, ceilings=limits(100))

    assert spend.correct(limit=100, remaining=30, asked_at=desk.clock.now) is True
    assert spend.spent() == (70, 10)
    fill(desk.run(), 30, ceilings=limits(100))
    assert wait_s(spend, ceilings=limits(100)) > 0


def test_what_the_api_may_not_have_counted_yet_is_no_sign_of_others_nor_of_fewer(desk: Desk) -> None:
    spend = desk.run()
    asked_at = desk.clock.now
    fill(spend, 10, ceilings=limits(100))
    assert spend.correct(limit=100, remaining=40, asked_at=asked_at) is True
    desk.clock.step(1)
    asked_at = desk.clock.now
    fill(spend, 5, ceilings=limits(100))

    for remaining in (35, 40):  # with those five, or before them
        assert spend.correct(limit=100, remaining=remaining, asked_at=asked_at) is False
        assert spend.spent()[0] == 65


def test_when_the_api_serves_more_than_was_taken_for_spent_elsewhere_that_is_taken_back(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 10, ceilings=limits(100))
    spend.correct(limit=100, remaining=20, asked_at=desk.clock.now)
    desk.clock.step(1)

    assert spend.correct(limit=100, remaining=60, asked_at=desk.clock.now) is False
    assert spend.spent()[0] == 40
    spend.correct(limit=100, remaining=99, asked_at=desk.clock.now)
    assert spend.spent()[0] == 10  # what we spent ourselves is never taken back


def test_before_the_account_is_known_nothing_is_learned_of_others(desk: Desk) -> None:
    beginner = desk.run(None)

    assert beginner.correct(limit=100, remaining=0, asked_at=desk.clock.now) is False
    beginner.learn(7)
    assert desk.run(None).belongs_to("account").learned is None


# ---- the file -------------------------------------------------------------------------------------------------------


def test_old_rows_are_removed(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 3, ceilings=limits(5))
    desk.run("other", address="elsewhere").take(1, ceilings=limits(5), patient=False)
    desk.clock.step(62)
    fill(desk.run(), 1, ceilings=limits(5))

    assert rows(desk.path) == 1


def test_a_file_that_somebody_works_on_is_asked_again_a_moment_later(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 1, ceilings=limits(5))
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert 0 < wait_s(spend, ceilings=limits(5), patient=True) < 0.01
        spend.learn(3)  # nothing of this is worth waiting for
        spend.pause(30)
        spend.withdraw()
        assert spend.spent() == (0, 0)
        other.execute("ROLLBACK")

    assert wait_s(spend, ceilings=limits(5)) == 0


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _foreign_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE spent (a)")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "nonsense": lambda path: path.write_bytes(b"nonsense" * 1000),
    "cut off": _torn,
    "other tables of the same names": _foreign_tables,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_replaced_by_a_new_one(desk: Desk, name: str) -> None:
    fill(desk.run(), 3, ceilings=limits(3))
    desk.close()
    DAMAGES[name](desk.path)

    spend = desk.run()
    fill(spend, 3, ceilings=limits(3))
    assert wait_s(spend, ceilings=limits(3)) > 0
    assert wait_s(desk.run(), ceilings=limits(3)) > 0  # it is a file again, and shared


def test_a_file_that_was_replaced_by_another_run_is_not_replaced_again(desk: Desk) -> None:
    first = desk.run()
    fill(first, 1, ceilings=limits(3))
    desk.path.write_bytes(b"nonsense" * 1000)
    fill(desk.run(), 3, ceilings=limits(3))  # replaces it

    assert wait_s(first, ceilings=limits(3)) > 0


def test_the_file_of_a_newer_version_is_left_alone(desk: Desk) -> None:
    desk.path.parent.mkdir()
    with closing(sqlite3.connect(desk.path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = desk.path.read_bytes()
    spend = desk.run()
    fill(spend, 3, ceilings=limits(3))

    assert wait_s(spend, ceilings=limits(3)) > 0
    assert desk.path.read_bytes() == before


def test_where_there_can_be_no_file_the_memory_serves(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.path = tmp_path / "a file" / "limits.sqlite"
    desk.path.parent.write_text("in the way")
    spend = desk.run()
    fill(spend, 3, ceilings=limits(3))

    assert wait_s(spend, ceilings=limits(3)) > 0
    assert desk.path.parent.read_text() == "in the way"
    desk.close()


def test_a_process_that_is_killed_in_the_middle_of_a_turn_leaves_a_file_that_can_be_used(desk: Desk) -> None:
    spend = desk.run()
    fill(spend, 2, ceilings=limits(3))
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as killed:
        killed.execute("PRAGMA synchronous = OFF")
        killed.execute("PRAGMA journal_mode = PERSIST")
        killed.execute("PRAGMA cache_size = 1")
        killed.execute("BEGIN EXCLUSIVE")
        killed.execute("UPDATE spent SET requests = 1000")
        killed.execute("CREATE TABLE large AS SELECT randomblob(100000) AS it")  # so that pages are written already
        left = {each: each.read_bytes() for each in desk.path.parent.iterdir()}
    desk.close()
    for path, content in left.items():
        path.write_bytes(content)

    again = desk.run()
    fill(again, 1, ceilings=limits(3))
    assert wait_s(again, ceilings=limits(3)) > 0


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM spent").fetchone()[0])
