"""A run that broke halfway, and what has changed by the time that somebody goes on with it.

Of six people two were messaged, two may have been (the answer got lost) and two were not.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, restarted
from support.proof import RUN, campaign, prove, run
from support.simulator import Simulator, Stretch

from broadcaster.store.rows import checksum

_SEND = "POST /v3/messages"
_BROKEN = {"accepted": 2, "in_doubt": 2, "pending": 2}
_HOUR_US = 3_600_000_000
_FAULTS: list[dict[str, Any]] = [
    {"on": _SEND, "nth": [2], "do": "drop_after_accept"},
    {"on": _SEND, "nth": [3], "do": "status", "status": 401},
]
_BATCHES = {"batch_size": 2, "concurrency": 1}


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    """The one simulator of those tests that leave it alive."""
    with Simulator(key=KEY) as simulator:
        yield simulator


@pytest.fixture
def here(cli: Cli, api: Simulator) -> Stretch:
    """What the simulator, well again, hears from this test."""
    cli.use(api)
    api.set_faults([])
    return api.from_here()


def _break(cli: Cli, simulator: Simulator) -> str:
    """Run the job until the API has it stopped; return the campaign's name."""
    name = campaign()
    cli.people(6)
    cli.job(campaign=name, limits=_BATCHES)
    simulator.set_faults(_FAULTS)
    assert run(cli).code == 77
    assert cli.statuses(RUN) == _BROKEN
    simulator.set_faults([])
    return name


def _complete(cli: Cli, here: Stretch, *, people: int = 6, run_dir: str = RUN) -> None:
    prove(cli, here, run_dir=run_dir)
    assert cli.statuses(run_dir) == {"accepted": people}
    assert len(here.messages()) == people


def _age(run_dir: Path, *, by_us: int, restarted: bool = False, told: bool = True) -> None:
    """Let the journal's claims be older; *restarted*: the machine was, *told*: the API had told its time."""
    with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db, db:
        for batch, process, since_us, boot_us, server_us, _ in db.execute("SELECT * FROM claim").fetchall():
            row = (batch, process, since_us - by_us, boot_us - by_us, server_us - by_us if told else None)
            db.execute("REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(row)))
        if restarted:
            db.execute("UPDATE process SET boot = 'the start before this one'")


# ---- the list, the job, the program -------------------------------------------------------------------------------


def test_a_list_that_was_edited_meanwhile_changes_nothing_for_those_who_are_planned(cli: Cli, here: Stretch) -> None:
    _break(cli, here.simulator)
    old = [row["to"] for row in cli.manifest(RUN)]
    cli.people([old[0], old[2], old[4], "+14155550151", "+14155550152"])  # some are gone, two are new
    before = len(here.requests())
    refused = run(cli)
    assert (refused.code, refused.stdout) == (78, "")
    assert [word for word in (f"broadcaster resume {RUN}", "--extend") if word not in refused.stderr] == []
    assert len(here.requests()) == before
    assert cli("resume", RUN).code == 0
    _complete(cli, here)
    extended = run(cli, "--extend")
    assert extended.code == 0, extended.stderr
    assert [each["recipient"] for each in here.messages()][6:] == ["+14155550151", "+14155550152"]
    _complete(cli, here, people=8)


def test_an_edited_job_goes_on_with_nothing_but_can_be_edited_back(cli: Cli, here: Stretch) -> None:
    name = _break(cli, here.simulator)
    before = len(here.requests())
    cli.job(campaign=name, limits=_BATCHES, message={"template_id": None, "text": "Another text"})
    for flags in ((), ("--extend",)):
        refused = run(cli, *flags)
        assert (refused.code, refused.stdout) == (78, ""), flags
        assert "message" in refused.stderr
    assert len(here.requests()) == before
    cli.job(campaign=name, limits={"batch_size": 1, "concurrency": 3}, safety={"halt_count": 1})  # how, not what
    assert run(cli).code == 0
    _complete(cli, here)


FORMATS = {
    "a plan of a later version": ("plan", 78, "plan format 2"),
    "a journal of a later version": ("journal", 78, "journal format"),
    "bytes that this version would write in another way": ("bytes", 74, "another format"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_after_an_upgrade_nothing_is_sent_from(cli: Cli, here: Stretch, name: str) -> None:
    what, code, says = FORMATS[name]
    _break(cli, here.simulator)
    before = len(here.sends())
    plan = cli.home / RUN / "plan.json"
    if what == "journal":
        with closing(sqlite3.connect(cli.home / RUN / "journal.sqlite")) as db:
            db.execute("PRAGMA user_version = 99")
    else:
        changed = {"version": 2} if what == "plan" else {"campaign": "written-otherwise"}
        plan.write_text(json.dumps({**json.loads(plan.read_bytes()), **changed}))
    ended = cli("resume", RUN)
    assert (ended.code, ended.stdout) == (code, "")
    assert says in ended.stderr
    assert len(here.sends()) == before


# ---- the account --------------------------------------------------------------------------------------------------


def test_what_is_in_doubt_is_never_asked_of_another_account(cli: Cli, sim: Simulator) -> None:
    _break(cli, sim)
    with restarted(cli, sim, same_account=False) as other:
        refused = run(cli)
        assert (refused.code, refused.stdout) == (78, "")
        assert "account" in refused.stderr
        assert [each["path"] for each in other.requests()] == ["/v3/me"]
    assert cli.statuses(RUN) == _BROKEN


def test_the_same_key_at_another_address_is_another_account(cli: Cli, here: Stretch) -> None:
    _break(cli, here.simulator)
    before = len(here.sends())
    by_name = here.simulator.url.replace("127.0.0.1", "localhost")
    refused = cli("resume", RUN, env={"SENT_BASE_URL": by_name})
    assert (refused.code, refused.stdout) == (78, "")
    assert "address" in refused.stderr
    assert len(here.sends()) == before


def test_a_rotated_key_gets_the_answer_that_was_lost(cli: Cli, sim: Simulator) -> None:
    _break(cli, sim)
    with restarted(cli, sim, key="sk_live_rotated_56") as same:
        assert cli("resume", RUN).code == 0
        assert sum(each["replayed"] for each in same.requests()) == 1
        _complete(cli, same.from_start())


def test_the_same_campaign_of_another_account_is_another_campaign(cli: Cli, here: Stretch) -> None:
    _break(cli, here.simulator)
    with Simulator(key=KEY) as other:
        cli.use(other)
        assert cli("run", "job.toml", "--yes", "--run-dir", "runs/theirs").code == 0
        _complete(cli, other.from_start(), run_dir="runs/theirs")
    cli.use(here.simulator)
    assert cli("resume", RUN).code == 0
    _complete(cli, here)


# ---- time ---------------------------------------------------------------------------------------------------------

LATER: dict[str, tuple[dict[str, Any], int]] = {
    "after 22 hours": ({"by_us": 22 * _HOUR_US}, 0),
    "after 22 hours and a restart of the machine": ({"by_us": 22 * _HOUR_US, "restarted": True}, 0),
    "after 23 hours, the margin of a day": ({"by_us": 23 * _HOUR_US}, 4),
    "after 23 hours and a restart of the machine": ({"by_us": 23 * _HOUR_US, "restarted": True, "told": False}, 4),
    "with a clock that was set back over a restart": ({"by_us": -_HOUR_US, "restarted": True}, 4),
}


@pytest.mark.parametrize("name", LATER)
def test_what_is_in_doubt_is_asked_again_only_while_the_api_remembers(cli: Cli, here: Stretch, name: str) -> None:
    times, code = LATER[name]
    _break(cli, here.simulator)
    before = len(here.sends())
    _age(cli.home / RUN, **times)
    ended = cli("resume", RUN)
    assert ended.code == code, ended.stderr
    prove(cli, here)
    assert len(here.messages()) == 6  # the others are sent in any case
    assert cli.statuses(RUN) == ({"accepted": 4, "in_doubt": 2} if code else {"accepted": 6})
    assert len(here.sends()) == before + (1 if code else 2)


# ---- machines and directories -------------------------------------------------------------------------------------


def _second_machine(cli: Cli, tmp_path: Path) -> Cli:
    """A user elsewhere with a copy of the list, the job and the run."""
    there = Cli(tmp_path / "second")
    shutil.copytree(cli.home / "runs", there.home / "runs")
    for name in ("people.csv", "job.toml"):
        shutil.copy(cli.home / name, there.home / name)
    there.environment |= {name: value for name, value in cli.environment.items() if name.startswith("SENT_")}
    return there


def test_a_run_that_was_copied_to_a_second_machine_may_be_finished_on_both_at_once(
    cli: Cli, here: Stretch, tmp_path: Path
) -> None:
    _break(cli, here.simulator)
    there = _second_machine(cli, tmp_path)
    started = [each.start("resume", RUN) for each in (cli, there)]
    assert [each.result().code for each in started] == [0, 0]
    for each in (cli, there):
        _complete(each, here)


def test_whoever_comes_second_is_told_that_an_earlier_launch_had_sent_it(
    cli: Cli, here: Stretch, tmp_path: Path
) -> None:
    _break(cli, here.simulator)
    there = _second_machine(cli, tmp_path)
    first = cli("resume", RUN, "--json")
    assert first.json["batches"]["accepted_by_an_earlier_launch"] == 0
    assert "earlier launch" not in first.stderr
    second = there("resume", RUN, "--json")
    assert second.code == 0
    assert second.json["batches"]["accepted_by_an_earlier_launch"] == 1  # the other was known to be in doubt
    assert "the API says that an earlier launch" in second.stderr  # while it runs
    assert "1 batches had been sent by an earlier launch" in second.stderr  # and when it ends
    _complete(there, here)


def test_two_directories_launched_at_the_same_moment_message_everybody_once(cli: Cli, here: Stretch) -> None:
    cli.people(6)
    cli.job(campaign=campaign(), limits={"batch_size": 1})
    started = [cli.start("run", "job.toml", "--yes", "--run-dir", f"runs/{name}") for name in ("one", "two")]
    assert [each.result().code for each in started] == [0, 0]
    for name in ("one", "two"):
        _complete(cli, here, run_dir=f"runs/{name}")


def test_a_second_directory_finishes_what_broke_in_the_first_and_both_know_it(cli: Cli, here: Stretch) -> None:
    _break(cli, here.simulator)
    assert cli("run", "job.toml", "--yes", "--run-dir", "runs/second").code == 0
    assert cli("resume", RUN).code == 0
    for run_dir in (RUN, "runs/second"):
        _complete(cli, here, run_dir=run_dir)


MOMENTS = {"a day later": -24 * _HOUR_US, "before the first, by a clock that was set back": _HOUR_US}


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("lost", [False, True], ids=["", "the first is lost"])
def test_the_same_plan_from_a_second_directory_is_refused(cli: Cli, here: Stretch, name: str, *, lost: bool) -> None:
    cli.people(2)
    cli.job(campaign=campaign())
    assert run(cli).code == 0
    with closing(sqlite3.connect(cli.home / ".state/broadcaster/campaigns.sqlite")) as db, db:
        db.execute("UPDATE campaign SET first_claim_us = first_claim_us + ?", (MOMENTS[name],))
    if lost:
        shutil.rmtree(cli.home / RUN)
    second = cli("run", "job.toml", "--yes", "--run-dir", "runs/second")
    assert (second.code, second.stdout) == (78, "")
    assert f"{cli.home}/{RUN}" in second.stderr
    assert "campaign name" in second.stderr
    assert len(here.sends()) == 1
    assert cli.statuses("runs/second") == {"pending": 2}
