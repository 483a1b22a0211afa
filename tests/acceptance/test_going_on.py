"""Running a job again: later, finished, extended, on another day."""

import shlex
import sqlite3
from contextlib import closing

from support.cli import Cli, matches
from support.simulator import Simulator


def test_a_second_run_sends_nothing_and_says_so(cli: Cli, sim: Simulator) -> None:
    cli.people(7)
    cli.job(limits={"batch_size": 3})
    first = cli("run", "job.toml", "--yes", "--json")
    assert first.code == 0
    matches(cli.home / "runs/acceptance", sim.messages())
    before, manifest = len(sim.requests()), (cli.home / "runs/acceptance/manifest.parquet").read_bytes()
    second = cli("run", "job.toml", "--json")  # nobody needs to be asked: there is nothing to send
    assert second.code == 0, second.stderr
    assert "nothing was sent" in second.stderr
    assert len(sim.requests()) == before
    assert (cli.home / "runs/acceptance/manifest.parquet").read_bytes() == manifest
    assert second.json["deliveries"] == first.json["deliveries"]
    again = cli("resume", "runs/acceptance", "--json")
    assert (again.code, len(sim.requests())) == (0, before)


def test_resume_finishes_what_was_only_planned(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    (cli.home / "people.csv").unlink()  # the list is not read again
    (cli.home / "job.toml").unlink()
    refused = cli("resume", "runs/acceptance")
    assert refused.code == 2  # nothing was ever sent: somebody has to confirm
    assert "--yes" in refused.stderr
    assert sim.messages() == []
    wrong = cli("resume", "runs/acceptance", "--yes", "--expect-recipients", "5")
    assert (wrong.code, sim.messages()) == (5, [])
    ended = cli("resume", "runs/acceptance", "--yes", "--expect-recipients", "4", "--json")
    assert (ended.code, ended.json["complete"]) == (0, True)
    matches(cli.home / "runs/acceptance", sim.messages())


def test_extend_sends_to_the_added_rows_only(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    cli.people(["+14155550151", *[row["to"] for row in cli.manifest()], "+14155550152"])
    refused = cli("run", "job.toml", "--yes")
    assert refused.code == 78
    assert len(sim.messages()) == 3
    ended = cli("run", "job.toml", "--yes", "--extend", "--json", "--expect-recipients", "5")
    assert ended.code == 0, ended.stderr
    assert [each["recipient"] for each in sim.messages()][3:] == ["+14155550151", "+14155550152"]
    matches(cli.home / "runs/acceptance", sim.messages())
    assert [(row["part"], row["input_row"], row["to"]) for row in cli.manifest()][3:] == [
        (1, 0, "+14155550151"), (1, 4, "+14155550152"),
    ]  # fmt: skip
    assert cli("verify", "runs/acceptance").code == 0
    again = cli("run", "job.toml", "--yes", "--extend")
    assert (again.code, len(sim.messages())) == (0, 5)
    assert cli("run", "job.toml", "--yes").code == 0  # the extended plan is this list's plan
    assert not (cli.home / "runs/acceptance/plan-2.json").exists()


def test_an_extension_is_asked_for_like_a_first_plan(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    cli.people(4)
    refused = cli("run", "job.toml", "--extend")  # no terminal, no --yes
    assert refused.code == 2
    assert "--yes" in refused.stderr
    assert len(sim.messages()) == 2
    assert not (cli.home / "runs/acceptance/plan-1.json").exists()


def test_a_date_in_the_campaign_makes_a_run_of_its_own(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job(campaign="alert-{date}")
    assert cli("run", "job.toml", "--yes", "--date", "2026-11-01").code == 0
    assert cli("run", "job.toml", "--yes", "--date", "2026-11-02").code == 0
    assert len(sim.messages()) == 4
    assert sorted(path.name for path in (cli.home / "runs").iterdir()) == ["alert-2026-11-01", "alert-2026-11-02"]


def test_an_unfinished_earlier_date_is_gone_on_with(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job(campaign="alert-{date}")
    assert cli("plan", "job.toml", "--date", "2020-02-29").code == 0
    assert cli("run", "job.toml", "--dry-run", "--json").json["campaign"] == "alert-2020-02-29"
    ended = cli("run", "job.toml", "--yes", "--json")
    assert (ended.code, ended.json["campaign"]) == (0, "alert-2020-02-29")
    assert len(sim.messages()) == 2
    assert cli("plan", "job.toml", "--date", "2020-03-01").code == 0
    today = cli("run", "job.toml", "--yes", "--new-date", "--json")
    assert today.code == 0
    assert today.json["campaign"] not in {"alert-2020-02-29", "alert-2020-03-01"}
    assert cli.statuses("runs/alert-2020-03-01") == {"pending": 2}


def test_the_command_that_goes_on_can_be_pasted_into_a_shell(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job("my job.toml", limits={"batch_size": 1, "concurrency": 1})
    planned = cli("plan", "my job.toml", "--run-dir", "my runs/a")
    to_send = shlex.split(planned.stderr.splitlines()[-1].partition(": broadcaster ")[2])
    assert to_send == ["run", "my job.toml", "--run-dir", "my runs/a"]
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 402}])
    stopped = cli(*to_send, "--yes")
    assert stopped.code == 5
    to_go_on = shlex.split(stopped.stderr.splitlines()[-1].partition(": broadcaster ")[2])
    assert to_go_on == ["resume", "my runs/a"]
    assert cli(*to_go_on).code == 0
    assert len(sim.messages()) == 2


def test_a_run_that_another_machine_worked_on_says_so(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 402}])
    assert "last worked on by" not in cli("run", "job.toml", "--yes").stderr
    with closing(sqlite3.connect(cli.home / "runs/acceptance/journal.sqlite")) as db, db:
        db.execute("UPDATE process SET host = 'the-other-machine'")
    ended = cli("resume", "runs/acceptance")
    assert ended.code == 0
    assert "last worked on by the-other-machine" in ended.stderr
    assert "last worked on by" not in cli("resume", "runs/acceptance").stderr


def test_a_plan_for_a_later_date_waits_for_its_day(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(campaign="digest-{date}")
    assert cli("plan", "job.toml", "--date", "2099-01-01").code == 0
    ended = cli("run", "job.toml", "--yes", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["campaign"] != "digest-2099-01-01"
    assert len(sim.messages()) == 3
    assert (cli.home / "runs/digest-2099-01-01/plan.json").exists()
