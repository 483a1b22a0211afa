"""Simulated, sandbox and live runs of one campaign know nothing of each other."""

import shutil

from support.cli import Cli, embedded_ledger, matches, rows, sends
from support.simulator import Simulator


def test_the_demo_first_and_the_live_run_sends_all_the_same(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2})
    demo = cli("run", "job.toml", "--simulate", "--yes")
    assert demo.code == 0, demo.stderr
    assert len(embedded_ledger(cli.home / "runs/acceptance.simulated")) == 4
    assert sim.requests() == []
    live = cli("run", "job.toml", "--yes")
    assert live.code == 0, live.stderr
    assert len(sim.messages()) == 4
    matches(cli.home / "runs/acceptance", sim.messages())
    keys = [
        {row["idempotency_key"] for row in rows(cli.home / "runs" / name)}
        for name in ("acceptance", "acceptance.simulated")
    ]
    assert not keys[0] & keys[1]


def test_the_sandbox_is_asked_for_by_its_flag_and_keeps_no_message(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2})
    sandbox = cli("run", "job.toml", "--sandbox", "--yes", "--json")
    assert sandbox.code == 0, sandbox.stderr
    assert sandbox.json["mode"] == "sandbox"
    assert cli.statuses("runs/acceptance.sandbox") == {"accepted": 4}
    assert len(sends(sim)) == 2
    assert sim.messages() == []
    live = cli("run", "job.toml", "--yes")
    assert live.code == 0, live.stderr
    matches(cli.home / "runs/acceptance", sim.messages())
    assert len(sim.messages()) == 4


def test_a_simulated_run_goes_on_without_its_flag_and_never_reaches_the_api(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml", "--simulate").code == 0
    ended = cli("resume", "runs/acceptance.simulated", "--yes")
    assert ended.code == 0, ended.stderr
    assert sim.requests() == []
    matches(cli.home / "runs/acceptance.simulated", embedded_ledger(cli.home / "runs/acceptance.simulated"))


def test_a_sandbox_run_goes_on_in_the_sandbox(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml", "--sandbox").code == 0
    ended = cli("resume", "runs/acceptance.sandbox", "--yes")
    assert ended.code == 0, ended.stderr
    assert len(sends(sim)) == 1
    assert sim.messages() == []


def test_the_embedded_simulator_does_not_see_the_users_key(cli: Cli) -> None:
    cli.people(2)
    cli.job()
    cli.environment["SENT_DM_API_KEY"] = "sk_live_CANARY_of_the_user"
    ended = cli("run", "job.toml", "--simulate", "--yes")
    assert ended.code == 0, ended.stderr  # it would be refused: the simulator accepts its own


def test_a_demo_can_be_thrown_away_and_made_again(cli: Cli) -> None:
    cli.people(2)
    cli.job()
    for _ in range(2):
        ended = cli("run", "job.toml", "--simulate", "--yes")
        assert ended.code == 0, ended.stderr
        assert len(embedded_ledger(cli.home / "runs/acceptance.simulated")) == 2
        shutil.rmtree(cli.home / "runs")
