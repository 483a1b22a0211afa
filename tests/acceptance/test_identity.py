"""What makes "at most once" true beyond one run: one directory for a campaign, one account, one process."""

import shutil
import signal

from support.cli import KEY, Cli, matches, once, restarted, rows, sends, wait_until
from support.simulator import Simulator


def test_the_same_plan_from_a_second_directory_is_all_replays(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 2})
    assert cli("run", "job.toml", "--yes").code == 0
    second = cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/again", "--json")
    assert second.code == 0, second.stderr
    assert "earlier launch" in second.stderr
    assert second.json["batches"]["accepted_by_an_earlier_launch"] == 3
    assert len(sends(sim)) == 6
    once(sim.messages())
    for run_dir in ("runs/acceptance", "elsewhere/again"):
        matches(cli.home / run_dir, sim.messages())


def test_a_second_directory_ends_when_the_keys_of_the_first_may_be_forgotten(cli: Cli) -> None:
    """It begins in time, and would go on beyond the day: from then on the API takes a replay for a new message."""
    with Simulator(key=KEY, idempotency_ttl=4) as sim:
        cli.use(sim)
        cli.people(40)
        cli.job(limits={"batch_size": 1, "concurrency": 1}, api={"idempotency_window": "4s"})
        assert cli("run", "job.toml", "--yes").code == 0
        sim.set_faults([{"on": "POST /v3/messages", "do": "slow", "delay_s": 0.25}])
        second = cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/again")
        once(sim.messages())
    assert second.code == 78
    assert f"'broadcaster resume {cli.home}/runs/acceptance'" in second.stderr
    assert cli.statuses("elsewhere/again")["pending"] > 0


def test_another_list_for_the_same_campaign_is_refused_in_a_second_directory(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    cli.people(4)
    before = len(sends(sim))
    second = cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/again")
    assert (second.code, second.stdout) == (78, "")
    assert f"broadcaster resume {cli.home}/runs/acceptance" in second.stderr
    assert "'acceptance'" in second.stderr
    assert len(sends(sim)) == before
    assert cli.statuses("elsewhere/again") == {"pending": 4}


def test_a_copied_run_directory_is_refused_while_the_first_is_there(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 401}])
    assert cli("run", "job.toml", "--yes").code == 77
    shutil.copytree(cli.home / "runs/acceptance", cli.home / "elsewhere/copy")
    copied = cli("resume", "elsewhere/copy")
    assert (copied.code, copied.stdout) == (78, "")
    assert "copy" in copied.stderr
    assert len(sim.messages()) == 1
    shutil.move(cli.home / "runs/acceptance", cli.home / "elsewhere/moved")
    assert cli("resume", "elsewhere/moved").code == 0  # moving is allowed
    once(sim.messages())
    assert len(sim.messages()) == 3


def test_a_key_of_another_account_is_refused(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 401}])
    assert cli("run", "job.toml", "--yes").code == 77
    with restarted(cli, sim, same_account=False) as other:
        refused = cli("resume", "runs/acceptance")
        assert (refused.code, refused.stdout) == (78, "")
        assert "account" in refused.stderr
        assert [each["path"] for each in other.requests()] == ["/v3/me"]
    assert cli.statuses() == {"accepted": 1, "pending": 2}


def test_a_rotated_key_of_the_same_account_goes_on(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 401}])
    assert cli("run", "job.toml", "--yes").code == 77
    with restarted(cli, sim, key="sk_live_rotated_55") as same:
        ended = cli("resume", "runs/acceptance")
        assert ended.code == 0, ended.stderr
        assert len(same.messages()) == 3
        once(same.messages())


def test_two_runs_on_one_directory_the_second_names_the_first(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    sim.set_faults([{"on": "POST /v3/messages", "do": "slow", "delay_s": 30}])
    first = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: sends(sim), what="the first request")
    for command in (("run", "job.toml", "--yes"), ("resume", "runs/acceptance")):
        second = cli(*command)
        assert (second.code, second.stdout) == (75, "")
        assert f"process {first.pid} " in second.stderr, command
    status = cli("status", "runs/acceptance", "--json")
    assert (status.code, f"process {first.pid} " in status.json["holder"]) == (0, True)
    first.signal(signal.SIGKILL)
    assert first.result().code == -signal.SIGKILL
    assert len(sends(sim)) == 1
    with restarted(cli, sim) as again:
        ended = cli("run", "job.toml", "--yes")  # the lock went with its holder
        assert ended.code == 0, ended.stderr
        matches(cli.home / "runs/acceptance", again.messages())


def test_a_directory_without_its_plan_is_planned_anew(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    (cli.home / "runs/acceptance/plan.json").unlink()
    cli.people(3)
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    matches(cli.home / "runs/acceptance", sim.messages())
    assert len(sim.messages()) == 3


def test_a_lost_plan_is_made_again_from_the_same_list_and_sends_nothing(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    (cli.home / "runs/acceptance/plan.json").unlink()
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert len(sends(sim)) == 1
    matches(cli.home / "runs/acceptance", sim.messages())


def test_a_journal_never_speaks_for_another_plan(cli: Cli, sim: Simulator) -> None:
    """Its batches have numbers: of a new list the first would count as sent, and these people would be lost."""
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    (cli.home / "runs/acceptance/plan.json").unlink()
    cli.people(3, start=20)
    ended = cli("run", "job.toml", "--yes")
    assert (ended.code, ended.stdout) == (78, "")
    assert "journal.sqlite" in ended.stderr
    assert len(sends(sim)) == 1
    assert {row["to"] for row in rows(cli.home / "runs/acceptance")} == {each["recipient"] for each in sim.messages()}


def test_limits_may_change_between_two_launches(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2})
    assert cli("plan", "job.toml").code == 0
    cli.job(limits={"batch_size": 2, "concurrency": 1, "requests_per_minute": 6000})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert len(sim.messages()) == 4
