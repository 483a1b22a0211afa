"""``doctor``: every check is told, and the exit code is that of a run which would meet the first that failed."""

import pytest
from support.cli import KEY, NOTICE, PENDING, Cli, sends
from support.simulator import Simulator


def checks(cli: Cli, *arguments: str, code: int) -> dict[str, str]:
    """Run it, expect *code*, and return the states by check."""
    ended = cli("doctor", *arguments, "--json")
    assert ended.code == code, ended.stderr
    return {each["check"]: each["state"] for each in ended.json["checks"]}


def test_all_is_well_and_nobody_is_messaged(cli: Cli, sim: Simulator) -> None:
    cli.job(message={"template_id": NOTICE})
    ended = cli("doctor", "job.toml")
    assert ended.code == 0
    lines = [line.split()[:2] for line in ended.stdout.splitlines()]
    assert lines == [[each, "ok"] for each in ("key", "disk", "account", "clock", "template")]
    assert "200 requests a minute" not in ended.stdout, "the job has no limit"
    assert not sends(sim)
    assert not (cli.home / "runs").exists()


def test_without_a_key_the_disk_is_looked_at_all_the_same(cli: Cli) -> None:
    assert checks(cli, code=2) == {"key": "failed", "disk": "ok"}


@pytest.mark.usefixtures("sim")
def test_a_key_that_is_refused(cli: Cli) -> None:
    cli.environment["SENT_DM_API_KEY"] = f"{KEY}-other"
    assert checks(cli, code=77) == {"key": "ok", "disk": "ok", "account": "failed", "clock": "skipped"}


def test_an_api_that_does_not_answer(cli: Cli, sim: Simulator) -> None:
    sim.kill()
    cli.job(message={"template_id": NOTICE})
    found = checks(cli, "job.toml", code=75)
    assert found["account"] == "failed"
    assert found["template"] == "skipped"


@pytest.mark.usefixtures("sim")
@pytest.mark.parametrize("template", [PENDING, "00000000-0000-4000-8000-000000000000"], ids=["pending", "unknown"])
def test_a_template_that_cannot_be_sent(cli: Cli, template: str) -> None:
    cli.job(message={"template_id": template})
    found = checks(cli, "job.toml", code=2)
    assert found == {"key": "ok", "disk": "ok", "account": "ok", "clock": "ok", "template": "failed"}


@pytest.mark.usefixtures("sim")
def test_runs_on_a_place_that_cannot_be_written(cli: Cli) -> None:
    cli.write("runs", "a file where the directory would be")
    assert checks(cli, code=74)["disk"] == "failed"


@pytest.mark.usefixtures("sim")
def test_the_first_version_of_the_api_tells_nothing_of_accounts(cli: Cli) -> None:
    cli.job(message={"template_id": NOTICE, "channels": None}, api={"version": "v1"})
    assert checks(cli, "job.toml", code=2)["key"] == "failed", "it needs the id of a sender"
    cli.environment["SENT_SENDER_ID"] = "00000000-0000-4000-8000-000000000001"
    assert checks(cli, "job.toml", code=0)["account"] == "skipped"
