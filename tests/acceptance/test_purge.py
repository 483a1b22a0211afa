"""``purge``: no byte of a finished run's directory names anybody any more, its counts stay, and it is over for good."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, ORDER, Cli, numbers, rows, sends, wait_until
from support.simulator import Simulator
from support.terminal import Terminal

RUN = "runs/acceptance"
COUNTS = {"accepted": 5, "rejected": 1, "in_doubt": 0, "pending": 0, "excluded": 2}


def finish(cli: Cli, sim: Simulator) -> list[str]:
    """Send to seven people, one of whom is refused and one suppressed; one row has no number."""
    to = numbers(7)
    lines = [f"{number},Forename{at},Code-{at}" for at, number in enumerate([*to, "0800 SECRET"])]
    cli.write("people.csv", "\n".join(["phone,first_name,code", *lines, ""]))
    cli.write("never.csv", f"phone\n{to[6]}\n")
    cli.job(
        recipients={"id": "code", "suppress": ["never.csv"]},
        message={"template_id": ORDER, "parameters": {"name": "{first_name}", "order_id": "{code}"}},
    )
    error = {"code": "VALIDATION_002", "message": f"{to[2]} is wrong", "details": {"to.0": [f"{to[2]} is wrong"]}}
    body = json.dumps({"success": False, "data": None, "error": error})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [3], "do": "status", "status": 400, "body": body}])
    ended = cli("run", "job.toml", "--yes", "--json")
    assert ended.code == 3, ended.stderr
    assert ended.json["deliveries"] == COUNTS
    return to


def personal(to: list[str]) -> list[bytes]:
    """What must not be found: numbers, however written, names, ids, parameters."""
    words = [each for number in to for each in (number[1:], number[2:])]
    return [each.encode() for each in (*words, "Forename", "Code-", "SECRET", "first_name", "is wrong")]


def found_in(directory: Path, words: list[bytes]) -> list[tuple[str, bytes]]:
    return [
        (path.name, word)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
        for word in words
        if word in path.read_bytes()
    ]


def test_no_byte_names_anybody_and_the_counts_stay(cli: Cli, sim: Simulator) -> None:
    to = finish(cli, sim)
    directory = cli.home / RUN
    assert found_in(directory, personal(to))  # or the search below would prove nothing
    before = rows(directory)
    purged = cli("purge", RUN, "--yes", "--json")
    assert purged.code == 0, purged.stderr
    assert purged.json["summary"]["deliveries"] == COUNTS
    assert (purged.json["done"], purged.json["left"]) == (True, [])
    assert found_in(directory, personal(to)) == []
    assert sorted(path.name for path in directory.iterdir()) == [
        "manifest.parquet", "purged.json", "report.html", "run.lock", "summary.json",
    ]  # fmt: skip
    kept = ("input_row", "status", "reason", "channel", "message_id", "http_status", "settled_at", "part")
    assert [{name: row[name] for name in kept} for row in rows(directory)] == [
        {name: row[name] for name in kept} for row in before
    ]
    for row in rows(directory):
        assert [word for word in personal(to) if word in repr(row).encode()] == []
    shown = cli("status", RUN)
    assert shown.code == 0
    for line in ("complete, purged at", "accepted   5", "rejected   1", "excluded   2"):
        assert line in shown.stdout, line
    machine = cli("status", RUN, "--json").json
    assert (machine["deliveries"], machine["complete"], bool(machine["purged_at"])) == (COUNTS, True, True)


@pytest.fixture
def purged(cli: Cli, sim: Simulator) -> Cli:
    finish(cli, sim)
    assert cli("purge", RUN, "--yes").code == 0
    return cli


REFUSED: dict[str, tuple[str, ...]] = {
    "resume": ("resume", RUN, "--yes"),
    "retry-failed": ("retry-failed", RUN, "--yes"),
    "verify": ("verify", RUN),
    "manifest": ("manifest", RUN),
    "run": ("run", "job.toml", "--yes"),
    "run --extend": ("run", "job.toml", "--yes", "--extend"),
    "run --dry-run": ("run", "job.toml", "--dry-run"),
    "plan": ("plan", "job.toml"),
    "run from another directory": ("run", "job.toml", "--yes", "--run-dir", "elsewhere/again"),
}


def test_a_purged_run_is_over_for_every_command(purged: Cli, sim: Simulator) -> None:
    """Also for the very same plan from elsewhere, inside the window in which its keys would protect."""
    before = len(sends(sim))
    for name, words in REFUSED.items():
        refused = purged(*words)
        assert (refused.code, refused.stdout) == (78, ""), name
        assert "purged" in refused.stderr, name
    assert len(sends(sim)) == before
    assert not (purged.home / RUN / "plan.json").exists()
    again = purged("purge", RUN, "--yes")
    assert again.code == 0


def test_another_campaign_of_the_same_list_is_not_held_up(purged: Cli, sim: Simulator) -> None:
    purged.job(campaign="another")
    ended = purged("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert sim.messages()


def test_the_embedded_simulators_state_goes_as_well(cli: Cli) -> None:
    to = cli.people(5)
    cli.job()
    assert cli("run", "job.toml", "--yes", "--simulate").code == 0
    directory = cli.home / "runs/acceptance.simulated"
    assert (directory / "simulator.sqlite").exists()
    assert cli("purge", "runs/acceptance.simulated", "--yes").code == 0
    assert found_in(directory, [number[1:].encode() for number in to]) == []


def test_a_retry_and_an_extension_are_purged_with_the_run(cli: Cli, sim: Simulator) -> None:
    to = finish(cli, sim)
    sim.set_faults([])
    assert cli("retry-failed", RUN, "--yes").code == 0
    more = numbers(2, start=30)
    cli.write("people.csv", f"phone,first_name,code\n{more[0]},Forename8,Code-8\n{more[1]},Forename9,Code-9\n")
    assert cli("run", "job.toml", "--yes", "--extend").code == 0
    assert (cli.home / RUN / "plan-2.parquet").exists()
    assert cli("purge", RUN, "--yes").code == 0
    assert found_in(cli.home / RUN, personal([*to, *more])) == []
    assert cli.statuses() == {"accepted": 8, "excluded": 2}


UNFINISHED: dict[str, tuple[dict[str, Any], str]] = {
    "pending": ({"do": "status", "status": 402}, "2 deliveries are pending"),
    "in doubt": ({"do": "omit_rows", "rows": 1}, "1 in doubt"),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_run_that_has_not_ended_is_not_purged(cli: Cli, sim: Simulator, name: str) -> None:
    fault, says = UNFINISHED[name]
    cli.people(4)
    cli.job(limits={"batch_size": 2, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], **fault}])
    assert cli("run", "job.toml", "--yes").code in {4, 5}
    refused = cli("purge", RUN, "--yes")
    assert (refused.code, refused.stdout) == (75, "")
    assert says in refused.stderr
    assert f"broadcaster resume {RUN}" in refused.stderr
    assert not (cli.home / RUN / "purged.json").exists()
    assert cli("verify", RUN).code == 0


def test_a_run_that_somebody_works_on_is_not_purged(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    sim.set_faults([{"on": "POST /v3/messages", "do": "slow", "delay_s": 30}])
    running = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: sends(sim), what="the first request")
    refused = cli("purge", RUN, "--yes")
    assert (refused.code, refused.stdout) == (75, "")
    assert f"process {running.pid} " in refused.stderr
    running.signal(signal.SIGKILL)
    running.result()


def test_purging_is_asked_for(cli: Cli, sim: Simulator) -> None:
    finish(cli, sim)
    refused = cli("purge", RUN)
    assert (refused.code, "--yes" in refused.stderr) == (2, True)
    with Terminal(cli, "purge", RUN) as terminal:
        terminal.wait_for("Remove the personal data of 8 rows for good? [y/N]")
        terminal.press("\n")
        assert terminal.end() == 75
    assert cli("verify", RUN).code == 0
    with Terminal(cli, "purge", RUN) as terminal:
        terminal.wait_for("[y/N]")
        terminal.press("y\n")
        assert terminal.end() == 0
    assert not (cli.home / RUN / "journal.sqlite").exists()


def test_what_somebody_else_put_there_is_left_and_named(cli: Cli) -> None:
    cli.people(2)
    cli.job()
    with Simulator(key=KEY) as simulator:
        cli.use(simulator)
        assert cli("run", "job.toml", "--yes").code == 0
    cli.write(f"{RUN}/notes.txt", "mine")
    ended = cli("purge", RUN, "--yes")
    assert ended.code == 0
    assert "notes.txt" in ended.stderr
    assert (cli.home / RUN / "notes.txt").read_text() == "mine"


def test_only_a_run_can_be_purged(cli: Cli) -> None:
    (cli.home / "mine").mkdir()
    cli.write("mine/failed.csv", "not a run's")
    refused = cli("purge", "mine", "--yes")
    assert (refused.code, refused.stdout) == (2, "")
    assert (cli.home / "mine/failed.csv").exists()
