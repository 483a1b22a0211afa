"""A run that broke halfway, and what has changed by the time that somebody goes on with it.

Of six people two were messaged, two may have been (the answer got lost) and two were not. It is run once; every test
has its own copy of what it left, and the API forgets what the tests before had sent.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
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
_CAMPAIGN = "broke-halfway"
_BATCHES = {"batch_size": 2, "concurrency": 1}
_FAULTS: list[dict[str, Any]] = [
    {"on": _SEND, "nth": [2], "do": "drop_after_accept"},
    {"on": _SEND, "nth": [3], "do": "status", "status": 401},
]


def _break(cli: Cli, simulator: Simulator) -> None:
    """Run the job until the API has it stopped."""
    cli.use(simulator)
    cli.people(6)
    cli.job(campaign=_CAMPAIGN, limits=_BATCHES)
    simulator.set_faults(_FAULTS)
    assert run(cli).code == 77
    assert cli.statuses(RUN) == _BROKEN
    simulator.set_faults([])


@dataclass(frozen=True, slots=True)
class Broken:
    """What the run left behind: a home, and an API that remembers four messages."""

    api: Simulator
    home: Path

    def again(self, home: Path) -> Stretch:
        """Let everything be as it was, in *home*; return the messages of the run and the requests from now on."""
        with closing(sqlite3.connect(self.api.state, timeout=10)) as db, db:
            (keys,) = db.execute("SELECT count(*) FROM idempotency").fetchone()
            assert keys >= 2
            db.execute(
                "DELETE FROM idempotency WHERE rowid NOT IN (SELECT rowid FROM idempotency ORDER BY rowid LIMIT 2)"
            )
            db.execute("DELETE FROM message WHERE rowid NOT IN (SELECT rowid FROM message ORDER BY rowid LIMIT 4)")
        self.api.set_faults([])
        shutil.copytree(self.home, home, dirs_exist_ok=True)
        return Stretch(self.api, len(self.api.requests()), 0)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    """The run that broke, and the one simulator of those tests that leave it alive."""
    with Simulator(key=KEY) as api:
        cli = Cli(tmp_path_factory.mktemp("run"))
        _break(cli, api)
        kept = tmp_path_factory.mktemp("kept") / "home"
        shutil.move(cli.home, kept)  # a copy is refused as long as the first is there
        yield Broken(api, kept)


@pytest.fixture
def here(cli: Cli, broken: Broken) -> Stretch:
    """The run that broke, in this user's home."""
    cli.use(broken.api)
    return broken.again(cli.home)


def _complete(cli: Cli, here: Stretch, *, people: int = 6, run_dir: str = RUN) -> None:
    prove(cli, here, run_dir=run_dir)
    assert cli.statuses(run_dir) == {"accepted": people}
    assert len(here.messages()) == people


def _age(run_dir: Path, *, by_us: int, restarted: bool = False) -> None:
    """Let the journal's claims be older, and the machine restarted since."""
    with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db, db:
        for batch, process, since_us, boot_us, server_us, _ in db.execute("SELECT * FROM claim").fetchall():
            row = (batch, process, since_us - by_us, boot_us - by_us, server_us - by_us)
            db.execute("REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(row)))
        if restarted:
            db.execute("UPDATE process SET boot = 'the start before this one'")


# ---- the list, the job, the program -------------------------------------------------------------------------------


def test_a_list_that_was_edited_meanwhile_changes_nothing_for_those_who_are_planned(cli: Cli, here: Stretch) -> None:
    old = [row["to"] for row in cli.manifest(RUN)]
    cli.people([old[0], old[2], old[4], "+14155550151", "+14155550152"])  # some are gone, two are new
    refused = run(cli)
    assert (refused.code, refused.stdout) == (78, "")
    assert [word for word in (f"broadcaster resume {RUN}", "--extend") if word not in refused.stderr] == []
    assert here.requests() == []
    assert cli("resume", RUN).code == 0
    _complete(cli, here)
    extended = run(cli, "--extend")
    assert extended.code == 0, extended.stderr
    assert [each["recipient"] for each in here.messages()][6:] == ["+14155550151", "+14155550152"]
    _complete(cli, here, people=8)


def test_an_edited_job_extends_nothing_but_can_be_edited_back(cli: Cli, here: Stretch) -> None:
    cli.job(campaign=_CAMPAIGN, limits=_BATCHES, message={"template_id": None, "text": "Another text"})
    refused = run(cli, "--extend")
    assert (refused.code, refused.stdout) == (78, "")
    assert "message" in refused.stderr
    assert here.requests() == []
    cli.job(campaign=_CAMPAIGN, limits={"batch_size": 1, "concurrency": 3}, safety={"halt_count": 1})  # how, not what
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
    plan = cli.home / RUN / "plan.json"
    if what == "journal":
        with closing(sqlite3.connect(cli.home / RUN / "journal.sqlite")) as db:
            db.execute("PRAGMA user_version = 99")
    else:
        changed = {"version": 2} if what == "plan" else {"campaign": "written-otherwise"}
        plan.write_text(json.dumps({**json.loads(plan.read_bytes()), "checksum": None, **changed}))
    ended = cli("resume", RUN)
    assert (ended.code, ended.stdout) == (code, "")
    assert says in ended.stderr
    assert here.sends() == []


# ---- the account --------------------------------------------------------------------------------------------------


def test_the_same_key_at_another_address_is_another_account(cli: Cli, here: Stretch) -> None:
    by_name = here.simulator.url.replace("127.0.0.1", "localhost")
    refused = cli("resume", RUN, env={"SENT_BASE_URL": by_name})
    assert (refused.code, refused.stdout) == (78, "")
    assert "address" in refused.stderr
    assert here.sends() == []


def test_a_rotated_key_gets_the_answer_that_was_lost(cli: Cli, sim: Simulator) -> None:
    _break(cli, sim)
    with restarted(cli, sim, key="sk_live_rotated_56") as same:
        assert cli("resume", RUN).code == 0
        assert sum(each["replayed"] for each in same.requests()) == 1
        _complete(cli, same.from_start())


def test_the_same_campaign_of_another_account_is_another_campaign(cli: Cli, here: Stretch) -> None:
    with Simulator(key=KEY) as other:
        cli.use(other)
        assert cli("run", "job.toml", "--yes", "--run-dir", "runs/theirs").code == 0
        _complete(cli, other.from_start(), run_dir="runs/theirs")
    assert here.requests() == []
    assert cli.statuses(RUN) == _BROKEN


# ---- time ---------------------------------------------------------------------------------------------------------

LATER: dict[str, tuple[dict[str, Any], int]] = {
    "after 22 hours and a restart of the machine": ({"by_us": 22 * _HOUR_US, "restarted": True}, 0),
    "after 23 hours, the margin of a day": ({"by_us": 23 * _HOUR_US}, 4),
    "with a clock that was set back over a restart": ({"by_us": -_HOUR_US, "restarted": True}, 4),
}


@pytest.mark.parametrize("name", LATER)
def test_what_is_in_doubt_is_asked_again_only_while_the_api_remembers(cli: Cli, here: Stretch, name: str) -> None:
    times, code = LATER[name]
    _age(cli.home / RUN, **times)
    ended = cli("resume", RUN)
    assert ended.code == code, ended.stderr
    prove(cli, here)
    assert len(here.messages()) == 6  # the others are sent in any case
    assert cli.statuses(RUN) == ({"accepted": 4, "in_doubt": 2} if code else {"accepted": 6})
    assert len(here.sends()) == (1 if code else 2)


# ---- machines and directories -------------------------------------------------------------------------------------


def test_a_run_that_was_copied_to_a_second_machine_may_be_finished_on_both(
    cli: Cli, here: Stretch, broken: Broken, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever comes second is told that somebody else had sent it; what was in doubt is known from this journal."""
    there = Cli(tmp_path_factory.mktemp("there"))
    there.use(broken.api)
    for name in ("runs", "people.csv", "job.toml"):  # but not what is known beside the runs
        copy = shutil.copytree if (cli.home / name).is_dir() else shutil.copy
        copy(cli.home / name, there.home / name)
    first, second = (each("resume", RUN, "--json") for each in (cli, there))
    assert (first.code, first.json["batches"]["accepted_by_an_earlier_launch"]) == (0, 0)
    assert "earlier launch" not in first.stderr
    assert (second.code, second.json["batches"]["accepted_by_an_earlier_launch"]) == (0, 1)
    assert "the API says that an earlier launch" in second.stderr  # while it runs
    assert "1 batches had been sent by an earlier launch" in second.stderr  # and when it ends
    for each in (cli, there):
        _complete(each, here)


def test_two_directories_launched_at_the_same_moment_message_everybody_once(cli: Cli, broken: Broken) -> None:
    fresh = broken.api.from_here()
    cli.use(broken.api)
    cli.people(6)
    cli.job(campaign=campaign(), limits={"batch_size": 1})
    started = [cli.start("run", "job.toml", "--yes", "--run-dir", f"runs/{name}") for name in ("one", "two")]
    assert [each.result().code for each in started] == [0, 0]
    for name in ("one", "two"):
        _complete(cli, fresh, run_dir=f"runs/{name}")


def test_a_second_directory_finishes_what_broke_in_the_first_and_both_know_it(cli: Cli, here: Stretch) -> None:
    assert cli("run", "job.toml", "--yes", "--run-dir", "runs/second").code == 0
    assert cli("resume", RUN).code == 0
    for run_dir in (RUN, "runs/second"):
        _complete(cli, here, run_dir=run_dir)


@pytest.mark.parametrize(
    ("since_us", "lost"),
    [(-24 * _HOUR_US, True), (_HOUR_US, False)],
    ids=["a day later, although the first is lost", "by a clock that was set back"],
)
def test_the_same_plan_from_a_second_directory_is_refused(
    cli: Cli, here: Stretch, since_us: int, *, lost: bool
) -> None:
    with closing(sqlite3.connect(cli.home / ".state/broadcaster/campaigns.sqlite")) as db, db:
        db.execute("UPDATE campaign SET first_claim_us = first_claim_us + ?", (since_us,))
        ((first,),) = db.execute("SELECT run_dir FROM campaign").fetchall()
    if lost:
        shutil.rmtree(cli.home / RUN)
    second = cli("run", "job.toml", "--yes", "--run-dir", "runs/second")
    assert (second.code, second.stdout) == (78, "")
    assert str(first) in second.stderr
    assert "campaign name" in second.stderr
    assert here.sends() == []
    assert cli.statuses("runs/second") == {"pending": 6}
