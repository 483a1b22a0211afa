"""``broadcaster serve`` between the simulator's real webhooks and its file, killed and started again.

The simulator is the truth: what it shows of its messages is what the file of receipts must say in the end.
"""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, numbers, wait_until
from support.endpoint import endpoint, kept, listening, truth
from support.simulator import Simulator

from broadcaster.store.receipts import history

OVER = {"DELIVERED", "READ", "FAILED", "BLOCKED", "FILTERED", "CANCELLED"}
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def events(shown: dict[str, Any]) -> list[str]:
    """What became of a message, as far as webhooks tell: there is none for PROCESSED."""
    return [each["status"] for each in shown["events"] if each["status"] != "PROCESSED"]


def receipts(path: Path) -> int:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM receipt WHERE message_id <> 'ours'").fetchone()[0])


def told(states: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return {message_id: state[name] for message_id, state in states.items()}


# ---- the whole way --------------------------------------------------------------------------------------------------


def test_states_equal_the_apis_truth_after_disorder_repetition_and_a_kill(cli: Cli) -> None:
    """Three hundred people; every event twice, half of them late, a third of the routes fail, and we die in between."""
    people = 300
    options: dict[str, Any] = {
        "lifecycle_speed": 15,
        "webhook_duplicates": 1,
        "webhook_disorder": 0.5,
        "webhook_retry_s": 0.2,
        "failed_share": 0.3,
        "read_share": 0.3,
        "seed": 5,
    }
    file = cli.home / "runs" / "receipts.sqlite"
    with Simulator(key=KEY, **options) as simulator, endpoint(cli, simulator) as it:
        cli.use(simulator)
        cli.people(people)
        cli.job(message={"channels": []}, limits={"batch_size": 100})
        assert cli("run", "job.toml", "--yes").code == 0
        wait_until(lambda: len(kept(file)) > people / 3, what="a third of the people have a receipt")
        # Nothing fails while nobody listens: ten failures in a row would switch the endpoint off, as Sent does.
        simulator.process.send_signal(signal.SIGSTOP)
        it.catch_up()
        it.kill()
        before = kept(file)
        it.start()
        simulator.process.send_signal(signal.SIGCONT)

        def all_is_told() -> bool:
            shown = truth(simulator)
            over = len(shown) == people and {each["status"] for each in shown.values()} <= OVER
            return over and receipts(file) == sum(len(events(each)) for each in shown.values())

        wait_until(all_is_told, what="every event has arrived, and is kept once")
        assert it.is_on()
        shown, states = truth(simulator), kept(file)
        said = it.stop()
    assert set(told(shown, "status").values()) >= {"DELIVERED", "READ", "FAILED"}
    assert told(states, "status") == told(shown, "status")
    # Two failures of one message may fall into one second of this fast world; then either route may be named.
    clear = {message_id for message_id, each in shown.items() if each["status"] != "FAILED"}
    assert {name: states[name]["channel"] for name in clear} == {name: shown[name]["channel"] for name in clear}
    assert all(states[name]["reason"] is None for name in clear)
    assert all(states[name]["reason"].startswith("DELIVERY_") for name in set(shown) - clear)
    assert "were repeated" in said
    assert set(before) <= set(states)  # what was there at the kill
    rerouted = [name for name, each in shown.items() if "FAILED" in events(each) and each["status"] == "DELIVERED"]
    assert rerouted
    for name in rerouted:
        assert sorted(each.status for each in history([file], name)) == sorted(events(shown[name]))


def test_what_was_not_acknowledged_at_a_kill_comes_again(cli: Cli) -> None:
    (cli.home / "runs").mkdir()
    file = cli.home / "runs" / "receipts.sqlite"
    with (
        Simulator(key=KEY, lifecycle_speed=0, webhook_retry_s=0.3) as simulator,
        endpoint(cli, simulator, "runs") as it,
    ):
        cli.use(simulator)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # what arrives cannot be written
            cli.people(5)
            cli.job()
            assert cli("run", "job.toml", "--yes").code == 0
            wait_until(
                lambda: [bool(each["processing_started_at"]) for each in it.log()] == [True] * 5, what="all are sent"
            )
            simulator.process.send_signal(signal.SIGSTOP)
            it.kill()
            other.execute("ROLLBACK")
        assert kept(file) == {}
        it.start()
        simulator.process.send_signal(signal.SIGCONT)
        wait_until(lambda: len(kept(file)) == 5, what="what was sent again is there")
        assert told(kept(file), "status") == told(truth(simulator), "status")
        wait_until(lambda: {each["delivery_status"] for each in it.log()} == {"DELIVERED"}, what="all are acknowledged")
        assert all(each["delivery_attempts"] > 1 for each in it.log())
        it.stop()


def test_a_run_has_its_receipts_in_its_own_directory_if_it_is_served_alone(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    with endpoint(cli, sim, "runs/acceptance") as it:
        assert cli("run", "job.toml", "--yes").code == 0
        own = cli.home / "runs" / "acceptance" / "receipts.sqlite"
        wait_until(lambda: len(kept(own)) == 3, what="three people have a receipt")
        assert "receipts kept" in it.stop()
    assert not (cli.home / "runs" / "receipts.sqlite").exists()
    assert set(kept(own)) == {each["message_id"] for each in sim.messages()}
    assert all(number.encode() not in own.read_bytes() for number in numbers(3))


def test_two_processes_can_serve_one_file(cli: Cli, sim: Simulator) -> None:
    with endpoint(cli, sim) as one, endpoint(cli, sim) as other:
        cli.people(20)
        cli.job()
        assert cli("run", "job.toml", "--yes").code == 0
        file = cli.home / "runs" / "receipts.sqlite"
        wait_until(lambda: len(kept(file)) == 20, what="twenty people have a receipt")
        one.stop()
        other.stop()


# ---- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        pytest.param([], {}, "set SENT_WEBHOOK_SECRET to the signing secret", id="no secret"),
        pytest.param([], {"SENT_WEBHOOK_SECRET": "CANARY"}, "no signing secret", id="a secret that is none"),
        pytest.param([], {"SENT_WEBHOOK_SECRET_FILE": "nowhere"}, "cannot be read", id="a file that is not there"),
        pytest.param(["nowhere"], {"SENT_WEBHOOK_SECRET": SECRET}, "no such directory", id="no directory"),
        pytest.param(["one/a", "two/b"], {"SENT_WEBHOOK_SECRET": SECRET}, "different directories", id="runs apart"),
        pytest.param(["--tolerance", "5"], {}, "not a duration such as 300s", id="a tolerance without a unit"),
        pytest.param(["--port", "70000"], {}, "70000", id="a port that is none"),
        pytest.param(["--host", "192.0.2.1"], {"SENT_WEBHOOK_SECRET": SECRET}, "cannot listen", id="another's address"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(
    cli: Cli, arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    for name in ("one/a", "two/b"):
        (cli.home / name).mkdir(parents=True)
        (cli.home / name / "plan.json").touch()
    ended = cli("serve", *arguments, env=environment)
    assert ended.code == 2
    assert sentence in ended.stderr
    assert "CANARY" not in ended.stderr
    assert ended.stdout == ""


def test_a_port_that_is_taken_is_a_sentence(cli: Cli) -> None:
    first = cli.start("serve", "--port", "0", env={"SENT_WEBHOOK_SECRET": SECRET})
    port = listening(first)
    ended = cli("serve", "--port", str(port), env={"SENT_WEBHOOK_SECRET": SECRET})
    first.signal(signal.SIGINT)
    assert first.result().code == 0
    assert ended.code == 2
    assert f"port {port}: Address already in use" in ended.stderr


def test_a_file_that_is_something_else_is_left_alone(cli: Cli) -> None:
    file = cli.write("runs/receipts.sqlite", b"something else" * 1000)
    ended = cli("serve", "--port", "0", env={"SENT_WEBHOOK_SECRET": SECRET})
    assert ended.code == 74
    assert "is damaged" in ended.stderr
    assert file.read_bytes() == b"something else" * 1000
