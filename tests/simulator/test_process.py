import json
import signal
import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.sends import SEND, notice
from support.simulator import PATIENCE_S, ROOT, Simulator


def test_it_announces_where_it_listens_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "broadcaster.simulator", "--state", str(tmp_path / "s"), "--until-stdin-closes"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = json.loads(process.stdout.readline())
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait(PATIENCE_S) == 0

    assert line["pid"] == process.pid
    assert line["url"].startswith("http://127.0.0.1:")
    assert line["state"] == str(tmp_path / "s")
    assert rest == b""


def test_the_end_of_stdin_ends_it() -> None:
    with Simulator() as sim:
        assert sim.close_stdin() == 0


def test_it_dies_with_a_parent_that_is_killed() -> None:
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'broadcaster.simulator', '--until-stdin-closes'],"
        " stdin=subprocess.PIPE)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert b"url" in parent.stdout.readline()
        parent.kill()
        # The child holds the other end of this pipe: it ends when the child is gone.
        assert parent.stdout.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    with Simulator() as sim:
        assert sim.stop(number) == 0
        assert sim.stderr() == ""


def test_a_port_in_use_is_one_sentence_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RuntimeError, match=r"^exit code 2: Cannot listen on 127\.0\.0\.1:\d+: [^\n]+\.\n$"):
            Simulator(port=port).start()


def test_a_state_file_that_cannot_be_written_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^exit code 2: Cannot write the state file [^\n]+\.\n$"):
        Simulator(tmp_path / "missing" / "simulator.sqlite").start()


def test_a_state_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be read as one\n" * 100)
    with pytest.raises(RuntimeError, match=r"^exit code 2: Cannot use the state file [^\n]+\.\n$"):
        Simulator(tmp_path / "notes.txt").start()


def test_a_state_file_of_another_format_is_refused(tmp_path: Path) -> None:
    with Simulator(tmp_path / "s") as sim:
        sim.stop()
    with closing(sqlite3.connect(tmp_path / "s")) as connection, connection:
        connection.execute("UPDATE meta SET value = '0' WHERE name = 'format'")
    with pytest.raises(RuntimeError, match=r"^exit code 2: The state file .* is of format 0"):
        Simulator(tmp_path / "s").start()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"faults": "nowhere.json"}, "cannot read nowhere.json", id="a file that is not there"),
        pytest.param({"faults": "[{"}, "no valid JSON", id="broken JSON"),
        pytest.param({"faults": '[{"do": "explode"}]'}, "'do' must be one of", id="an unknown fault"),
        pytest.param({"faults": '[{"do": "html", "nht": 1}]'}, "'nht' is unknown", id="a misspelt condition"),
        pytest.param({"faults": '[{"do": "status"}]'}, "'status' is required", id="a status fault without one"),
        pytest.param({"faults": '[{"do": "html", "every": 0}]'}, "'every' must be 1 or more", id="every zeroth"),
        pytest.param({"templates": '[{"id": "a"}]'}, "needs id, name and body", id="half a template"),
        pytest.param({"profile_id": "me"}, "--profile-id must be a UUID", id="a profile that is no UUID"),
        pytest.param({"account": "[]"}, "--account must be a JSON object", id="an account that is a list"),
        pytest.param({"failed_share": 1.5}, "--failed-share must be from 0 to 1", id="more than everything"),
        pytest.param({"lifecycle_speed": -1}, "--lifecycle-speed must be 0 or more", id="time that runs backwards"),
        pytest.param({"balance": -1}, "--balance must be 0 or more", id="a debt"),
        pytest.param({"config": '{"balance": [1]}'}, "--balance must be 0 or more", id="a balance that is a list"),
        pytest.param({"quiet_hours": "9-5"}, "'9-5' is not like 21:00-08:00", id="quiet hours of another form"),
        pytest.param({"config": '{"ports": 1}'}, "'ports' is unknown", id="an unknown option in the configuration"),
        pytest.param({"config": '{"port": "x"}'}, "'port' must be of type int", id="an option of a wrong type"),
    ],
)
def test_an_unusable_option_is_named_in_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RuntimeError, match=r"^exit code 2: [^\n]+\n$") as caught:
        Simulator(**options).start()
    assert sentence in str(caught.value)


def test_options_can_come_from_a_file_and_flags_win(tmp_path: Path) -> None:
    config = tmp_path / "simulator.json"
    config.write_text(json.dumps({"refuse-number": ["+14155550100"], "requests_per_minute": 1, "in-flight-wait": 1}))
    with Simulator(config=config, requests_per_minute=0) as sim:
        assert [sim.call("POST", SEND, notice()).code for _ in range(2)] == ["VALIDATION_002"] * 2


def test_the_accepted_key_comes_from_the_environment() -> None:
    with Simulator(key="sk_test_another") as sim:
        assert sim.call("GET", "/v3/me").status == 200
        assert sim.call("GET", "/v3/me", key="simulator").status == 401


def test_a_restart_keeps_account_messages_and_log(tmp_path: Path) -> None:
    with Simulator(tmp_path / "s") as sim:
        account = sim.call("GET", "/v3/me").json["data"]["id"]
        message = sim.call("POST", SEND, notice()).json["data"]["recipients"][0]["message_id"]
        sim.kill()
    with Simulator(tmp_path / "s") as sim:
        assert sim.call("GET", "/v3/me").json["data"]["id"] == account
        assert sim.call("GET", f"/v3/messages/{message}").status == 200
        assert [row["message_id"] for row in sim.messages()] == [message]
        assert [row["path"] for row in sim.requests()] == ["/v3/me", SEND, "/v3/me", f"/v3/messages/{message}"]


def test_two_accounts_are_two(tmp_path: Path) -> None:
    with Simulator(tmp_path / "a") as one, Simulator(tmp_path / "b") as two:
        assert one.call("GET", "/v3/me").json["data"]["id"] != two.call("GET", "/v3/me").json["data"]["id"]


def test_processes_that_start_together_on_a_new_file_agree_on_the_account(tmp_path: Path) -> None:
    simulators = [Simulator(tmp_path / "s") for _ in range(3)]
    try:
        with ThreadPoolExecutor() as pool:
            accounts = set(pool.map(lambda sim: sim.start().call("GET", "/v3/me").json["data"]["id"], simulators))
    finally:
        for simulator in simulators:
            simulator.close()
    assert len(accounts) == 1


def test_nothing_is_kept_in_memory_mode_but_it_works() -> None:
    with Simulator(":memory:") as sim:
        assert sim.call("POST", SEND, notice(), idempotency_key="k").status == 202
        assert sim.call("GET", "/_simulator/messages", key=None).json == {"count": 1}
    assert not Path(":memory:").exists()


def test_the_state_file_is_private_and_never_holds_the_key(tmp_path: Path) -> None:
    with Simulator(tmp_path / "s", key="sk_live_CANARY") as sim:
        sim.call("POST", SEND, notice(), idempotency_key="k")
        sim.call("GET", "/v3/me", key="sk_live_WRONG_CANARY")
        assert (tmp_path / "s").stat().st_mode & 0o077 == 0
        assert not [path for path in tmp_path.iterdir() if b"CANARY" in path.read_bytes()]
        assert sim.stop() == 0
        assert "CANARY" not in sim.stderr()
    assert b"CANARY" not in (tmp_path / "s").read_bytes()


def test_a_client_that_dies_in_the_middle_of_its_body_harms_nobody() -> None:
    with Simulator() as sim:
        port = int(sim.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /v3/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert sim.call("POST", SEND, notice()).status == 202
        assert len(sim.messages()) == 1
        assert sim.stderr() == ""


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde", id="a body that is not gzip"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", id="a broken chunk"),
        pytest.param(b"x-api-key: CANARY\x00\r\n\r\n", id="a key with a zero byte"),
    ],
)
def test_malformed_http_is_a_400_and_its_bytes_are_never_repeated_on_stderr(rest: bytes) -> None:
    with Simulator() as sim:
        with socket.create_connection(("127.0.0.1", int(sim.url.rpartition(":")[2])), timeout=PATIENCE_S) as client:
            client.sendall(b"POST /v3/messages HTTP/1.1\r\nHost: x\r\nx-api-key: CANARY\r\n" + rest)
            assert client.recv(100).split()[1] == b"400"
        assert sim.call("GET", "/v3/me").status == 200
        assert sim.stderr() == ""


def test_a_body_beyond_all_measure_is_refused_in_the_envelope() -> None:
    with Simulator() as sim:
        reply = sim.call("POST", SEND, b" " * (64 * 1024 * 1024 + 1))
        assert (reply.status, reply.code) == (413, "VALIDATION_001")
        assert [row["status"] for row in sim.requests()] == [413]


def test_it_loads_nothing_of_the_package_it_judges() -> None:
    program = (
        "import sys, broadcaster.simulator.__main__\n"
        "print([name for name in sys.modules if name.startswith('broadcaster')"
        " and not name.startswith('broadcaster.simulator') and name != 'broadcaster'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
