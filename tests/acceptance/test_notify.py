"""Whoever is to be told hears how a run ended, once for each launch; that it fails changes nothing."""

import base64
import json
import signal
import sqlite3
import stat
import threading
from contextlib import closing
from typing import Any

import pytest
from standardwebhooks import Webhook
from support import exposition
from support.cli import KEY, Cli, sends, told_no_secrets, wait_until
from support.receiver import Delivery, receiving
from support.simulator import Simulator

RUN = "runs/acceptance"
REFUSED = {"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 400, "body": json.dumps({
    "success": False, "data": None,
    "error": {"code": "VALIDATION_002", "message": "wrong", "details": {"to.0": ["wrong"]}},
})}  # fmt: skip

NO_BALANCE = {"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 402, "body": json.dumps({
    "success": False, "data": None, "error": {"code": "BUSINESS_003", "message": "no balance", "details": None},
})}  # fmt: skip


def told(deliveries: list[Delivery]) -> list[dict[str, Any]]:
    for each in deliveries:
        told_no_secrets(each.body.decode(), key=KEY)
    return [each.json for each in deliveries]


def prepare(cli: Cli, url: str, *, people: int = 4, **tables: Any) -> None:
    cli.people(people)
    cli.job(notify={"url": url}, limits={"batch_size": 1, "concurrency": 1}, **tables)


def events(cli: Cli) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (cli.home / RUN / "events.jsonl").read_text().splitlines()]


def test_the_end_of_every_launch_is_told(cli: Cli, sim: Simulator) -> None:
    """Some rejected, then a retry of them, then a run that halts, then its resumption."""
    with receiving() as endpoint:
        prepare(cli, endpoint.url)
        sim.set_faults([REFUSED])
        assert cli("run", "job.toml", "--yes").code == 3
        sim.set_faults([])
        assert cli("retry-failed", RUN, "--yes").code == 0
        prepare(cli, endpoint.url, people=9, campaign="halting")
        sim.set_faults([NO_BALANCE])
        assert cli("run", "job.toml", "--yes").code == 5
        sim.set_faults([])
        cli("resume", "runs/halting")
        found = told(endpoint.arrived())
    assert [(each["event"], each["exit_code"], each["run"], each["what_to_do"]) for each in found[:3]] == [
        ("finished", 3, "acceptance", f"broadcaster retry-failed {RUN}"),
        ("finished", 0, "acceptance", None),
        ("halted", 5, "halting", "broadcaster resume runs/halting"),
    ]
    assert found[0]["deliveries"] == {"accepted": 3, "rejected": 1, "in_doubt": 0, "pending": 0, "excluded": 0}
    assert found[1]["deliveries"] == {"accepted": 4, "rejected": 0, "in_doubt": 0, "pending": 0, "excluded": 0}
    assert "balance" in found[2]["why"]
    assert {each["mode"] for each in found} == {"live"}
    assert len(found) == 4


def test_doubt_is_told_with_what_can_be_done(cli: Cli, sim: Simulator) -> None:
    with receiving() as endpoint:
        prepare(cli, endpoint.url, api={"idempotency_window": "1s"}, safety={"give_up_after": "2s"})
        sim.set_faults([{"on": "POST /v3/messages", "nth": list(range(4, 40)), "do": "drop_after_accept"}])
        ended = cli("run", "job.toml", "--yes")
        (found,) = told(endpoint.arrived(1))
    assert ended.code in {4, 75}, ended.stderr
    assert found["exit_code"] == ended.code
    assert found["deliveries"]["in_doubt"] == 1
    assert found["complete"] is False
    assert found["what_to_do"] in {f"broadcaster resolve {RUN}", f"broadcaster resume {RUN}"}


def test_a_key_that_is_refused_and_a_journal_that_is_damaged_are_told(cli: Cli, sim: Simulator) -> None:
    with receiving() as endpoint:
        prepare(cli, endpoint.url)
        sim.set_faults([{"on": "POST /v3/messages", "nth": [3], "do": "status", "status": 401}])
        assert cli("run", "job.toml", "--yes").code == 77
        (first,) = told(endpoint.arrived(1))
        with closing(sqlite3.connect(cli.home / RUN / "journal.sqlite")) as db, db:
            db.execute("UPDATE outcome SET code = 'FORGED'")
        sim.set_faults([])
        ended = cli("resume", RUN)
        deliveries = told(endpoint.arrived())
    assert (first["event"], first["exit_code"]) == ("stopped", 77)
    assert ended.code == 74, ended.stderr
    assert [each["exit_code"] for each in deliveries[1:]] in ([74], [])  # it may be found before anything is tried


def test_a_campaign_without_a_job_file_has_the_address_from_the_environment(cli: Cli, sim: Simulator) -> None:
    del sim
    cli.people(2)
    secret = "whsec_" + base64.b64encode(b"n" * 24).decode()
    with receiving() as endpoint:
        env = {"SENT_NOTIFY_URL": endpoint.url, "SENT_NOTIFY_SECRET": secret}
        words = (
            "--campaign",
            "acceptance",
            "--template-id",
            "3f2504e0-4f89-41d3-9a0c-0305e82c3302",
            "--phone",
            "phone",
        )
        assert cli("send", "people.csv", *words, "--channel", "sms", "--yes", env=env).code == 0
        (delivery,) = endpoint.arrived(1)
    assert Webhook(secret).verify(delivery.body.decode(), dict(delivery.headers))["event"] == "finished"


@pytest.mark.parametrize("answer", [404, 302], ids=["refused", "redirected"])
def test_an_address_that_does_not_take_it_is_one_line_without_its_secret(cli: Cli, sim: Simulator, answer: int) -> None:
    del sim
    with receiving(lambda _: answer) as endpoint:
        prepare(cli, f"{endpoint.url}/T0K3N?key=T0K3N")
        ended = cli("run", "job.toml", "--yes", "--json")
        assert len(endpoint.arrived()) == 1
    assert ended.code == 0
    assert ended.json["complete"] is True
    (line,) = [line for line in ended.stderr.splitlines() if "told" in line]
    assert line.startswith(f"Warning: 127.0.0.1 was not told how the run ended: it answered {answer}")
    for shown in (ended.stdout, ended.stderr, cli("status", RUN).stdout, cli("plan", "job.toml").stderr):
        assert "T0K3N" not in shown
    assert stat.S_IMODE((cli.home / RUN).stat().st_mode) == 0o700
    with_it = [path.name for path in (cli.home / RUN).iterdir() if b"T0K3N" in path.read_bytes()]
    assert with_it == ["plan.json"]  # for `resume`


def test_ctrl_c_ends_the_telling_and_leaves_the_exit_code_alone(cli: Cli, sim: Simulator) -> None:
    del sim
    over = threading.Event()

    def hang(_: int) -> int:
        over.wait(60)
        return 200

    with receiving(hang) as endpoint:
        prepare(cli, endpoint.url)
        started = cli.start("run", "job.toml", "--yes", "--json")
        endpoint.arrived(1)
        started.signal(signal.SIGINT)
        ended = started.result()
        over.set()
    assert ended.code == 0, ended.stderr
    assert ended.json["complete"] is True
    assert ended.stderr.endswith("Warning: the notification was given up\n")


def test_a_run_that_was_stopped_by_hand_is_told_once_at_most(cli: Cli, sim: Simulator) -> None:
    with receiving(lambda _: 503) as endpoint:
        prepare(cli, endpoint.url, people=9)
        sim.set_faults([{"on": "POST /v3/messages", "nth": [3], "do": "slow", "delay_s": 1.0}])
        started = cli.start("run", "job.toml", "--yes")
        wait_until(lambda: len(sends(sim)) >= 3, what="a slow request")
        started.signal(signal.SIGINT)
        ended = started.result()
        (found,) = told(endpoint.arrived())
    assert ended.code == 75
    assert (found["event"], found["exit_code"], found["what_to_do"]) == ("stopped", 75, f"broadcaster resume {RUN}")
    assert "Warning: 127.0.0.1 was not told how the run ended: it answered 503\n" in ended.stderr


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("SENT_NOTIFY_URL", "http://example.com/T0K3N", "SENT_NOTIFY_URL: http is only allowed for this machine"),
        ("SENT_NOTIFY_SECRET", "T0K3N", "SENT_NOTIFY_SECRET is no signing secret"),
    ],
)
def test_an_environment_that_is_not_usable_is_a_line_and_never_shown(
    cli: Cli, sim: Simulator, variable: str, value: str, sentence: str
) -> None:
    del sim
    with receiving() as endpoint:
        prepare(cli, endpoint.url)
        ended = cli("run", "job.toml", "--yes", env={variable: value})
        assert endpoint.arrived() == []
    assert ended.code == 0
    assert sentence in ended.stderr
    assert "T0K3N" not in ended.stderr


def test_events_and_figures_tell_of_every_launch_and_of_nobody(cli: Cli, sim: Simulator) -> None:
    prepare(cli, "")
    sim.set_faults([REFUSED, {"on": "POST /v3/messages", "nth": [3], "do": "status", "status": 503}])
    assert cli("plan", "job.toml").code == 0
    assert cli("run", "job.toml", "--yes").code == 3
    sim.set_faults([])
    assert cli("retry-failed", RUN, "--yes").code == 0
    found = [each for each in events(cli) if each["event"] != "progress"]
    assert [each["event"] for each in found] == [
        "planned", "started", "waiting", "finished", "planned", "started", "finished",
    ]  # fmt: skip
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    assert (found[0]["recipients"], found[0]["kind"], found[4]["kind"]) == (4, "first", "retry")
    assert (found[1]["pending"], found[3]["accepted"], found[3]["rejected"], found[3]["exit_code"]) == (4, 3, 1, 3)
    assert (found[6]["accepted"], found[6]["pending"], found[6]["exit_code"]) == (4, 0, 0)
    figures = exposition.read((cli.home / RUN / "metrics.prom").read_text())
    common = {("campaign", "acceptance"), ("mode", "live")}
    assert figures["broadcaster_deliveries"].samples[frozenset(common | {("status", "accepted")})] == 4
    assert figures["broadcaster_requests_total"].samples[frozenset(common)] == 3  # whose key, the template, one batch
    for name in ("events.jsonl", "metrics.prom"):
        text = (cli.home / RUN / name).read_text()
        told_no_secrets(text, key=KEY)
        assert "Name" not in text
        assert stat.S_IMODE((cli.home / RUN / name).stat().st_mode) == 0o600
