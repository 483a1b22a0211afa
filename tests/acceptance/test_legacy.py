"""Accounts of the API's first version: nothing protects a repeat, so nobody is ever asked for twice."""

import shutil
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support.cli import KEY, NOTICE, ORDER, ROOT, Cli, embedded_ledger, numbers, once, wait_until
from support.simulator import Simulator

SENDER = "5b0c2f60-0000-4000-8000-000000000001"
_PHONE = "POST /v1/messages/phone"


@pytest.fixture
def sim(cli: Cli) -> Iterator[Simulator]:
    """The API of an account of the first version."""
    with Simulator(key=KEY) as simulator:
        cli.use(simulator)
        cli.environment["SENT_SENDER_ID"] = SENDER
        yield simulator


def _job(cli: Cli, people: Sequence[str], **tables: Any) -> None:
    cli.people(people)
    usual: dict[str, Any] = {"message": {"template_id": NOTICE, "channels": None}, "api": {"version": "v1"}}
    for name, table in tables.items():
        usual[name] = {**usual.get(name, {}), **table}
    cli.job(**usual)


def _wait_for(sim: Simulator, mark: int) -> None:
    wait_until(lambda: len(sim.messages()) >= mark, what=f"{mark} messages")


def _reached(sim: Simulator) -> list[str]:
    return sorted(row["recipient"] for row in sim.messages())


def test_the_sample_job_says_before_it_sends_that_nothing_protects(cli: Cli) -> None:
    for folder in ("jobs", "sample_data"):
        shutil.copytree(ROOT / folder, cli.home / folder)
    job = cli.home / "jobs/legacy_v1.toml"
    job.write_text(
        job.read_text(encoding="utf-8").replace("[safety]", "[limits]\nrequests_per_minute = 0\n\n[safety]"),
        encoding="utf-8",
    )
    planned = cli("plan", "jobs/legacy_v1.toml")
    assert "Nothing protects these messages from being sent twice" in planned.stderr
    ended = cli("run", "jobs/legacy_v1.toml", "--simulate", "--yes", "--json")
    assert ended.code == 0, ended.stderr
    run_dir = cli.home / "runs/legacy-notice-2026-12.simulated"
    ledger = embedded_ledger(run_dir)
    once(ledger)
    rows = [row for row in cli.manifest("runs/legacy-notice-2026-12.simulated") if row["status"] == "accepted"]
    assert sorted(row["to"] for row in rows) == sorted(row["recipient"] for row in ledger)
    assert {(row["message_id"], row["idempotency_key"], row["http_status"]) for row in rows} == {(None, None, 204)}
    assert len(rows) == ended.json["deliveries"]["accepted"] == 55
    assert cli("verify", run_dir).code == 0


def test_nothing_is_looked_up_and_every_variable_arrives(cli: Cli, sim: Simulator) -> None:
    people = numbers(3)
    _job(cli, people, message={"template_id": ORDER, "parameters": {"name": "{first_name}", "order_id": "{code}"}})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert {(each["method"], each["path"], each["key"]) for each in sim.requests()} == {
        ("POST", "/v1/messages/phone", None)
    }
    assert [(row["recipient"], "Name" in row["body"]) for row in sim.messages()] == [(to, True) for to in people]


DOUBTS: dict[str, dict[str, Any]] = {
    "an answer that is lost after it was done": {"do": "drop_after_accept"},
    "a connection that drops before": {"do": "drop_before"},
    "a reset": {"do": "reset_after_accept"},
    "500 before": {"do": "status", "status": 500},
    "502 after": {"do": "status_after_accept", "status": 502},
    "a hotel's page": {"do": "html"},
}


@pytest.mark.parametrize("name", DOUBTS)
def test_what_has_no_clear_answer_is_in_doubt_at_once_and_never_sent_again(cli: Cli, sim: Simulator, name: str) -> None:
    people = numbers(6)
    sim.set_faults([{"on": _PHONE, "nth": [2, 5], **DOUBTS[name]}])
    _job(cli, people, limits={"concurrency": 1})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 4, ended.stderr
    assert cli.statuses() == {"accepted": 4, "in_doubt": 2}
    assert [row["to"] for row in cli.manifest() if row["status"] == "in_doubt"] == [people[1], people[4]]
    assert "resolve" in ended.stderr
    assert "To go on" not in ended.stderr, "resume would do nothing"
    asked, reached = len(sim.requests()), _reached(sim)
    assert len(reached) in {4, 6}
    for again in (("run", "job.toml", "--yes"), ("resume", "runs/acceptance", "--yes")):
        ended = cli(*again)
        assert ended.code == 4, ended.stderr
        assert "nothing was sent" in ended.stderr
    assert (len(sim.requests()), _reached(sim)) == (asked, reached)
    once(sim.messages())
    assert cli("verify", "runs/acceptance").code == 0
    told = cli("resolve", "runs/acceptance").stderr
    assert "Nothing protects this request" in told
    assert "reconcile" not in told, "there is nothing to look up"
    refused = cli("reconcile", "runs/acceptance")
    assert refused.code == 2
    assert "nothing can be asked" in refused.stderr


def test_only_a_person_lets_somebody_be_asked_for_again(cli: Cli, sim: Simulator) -> None:
    people = numbers(4)
    sim.set_faults([{"on": _PHONE, "nth": [2], "do": "drop_before"}])
    _job(cli, people, limits={"concurrency": 1})
    assert cli("run", "job.toml", "--yes").code == 4
    assert cli("resolve", "runs/acceptance", "--resend", "--yes").code in {0, 75}
    ended = cli("resume", "runs/acceptance", "--yes")
    assert ended.code == 0, ended.stderr
    assert _reached(sim) == sorted(people)
    assert cli("verify", "runs/acceptance").code == 0


def test_a_run_that_is_killed_asks_for_nobody_twice(cli: Cli) -> None:
    people = numbers(400)
    with Simulator(key=KEY) as sim:
        cli.use(sim)
        cli.environment["SENT_SENDER_ID"] = SENDER
        _job(cli, people, limits={"concurrency": 8})
        for mark in (30, 160):
            running = cli.start(*(("run", "job.toml") if mark == 30 else ("resume", "runs/acceptance")), "--yes")
            _wait_for(sim, mark)
            running.signal(signal.SIGKILL)
            running.result()
        ended = cli("resume", "runs/acceptance", "--yes")
        assert ended.code in {0, 4}, ended.stderr
        once(sim.messages())
        found = cli.statuses()
        assert found.get("in_doubt", 0) <= 2 * 2 * 8  # who was in flight at a kill, at most two groups of senders
        told = {row["to"] for row in cli.manifest() if row["status"] == "accepted"}
        doubted = {row["to"] for row in cli.manifest() if row["status"] == "in_doubt"}
        assert told | doubted == set(people)
        assert told <= set(_reached(sim)) <= told | doubted
        posts = [each for each in sim.requests() if each["method"] == "POST"]
        assert len(posts) <= len(people)
        assert cli("verify", "runs/acceptance").code == 0


def test_too_fast_and_refused_are_no_doubt(cli: Cli, sim: Simulator) -> None:
    people = numbers(5)
    error = '{"success":false,"error":{"code":"VALIDATION_002","message":"not a number"}}'
    sim.set_faults(
        [
            {"on": _PHONE, "nth": [2], "do": "status", "status": 429, "retry_after": 1},
            {"on": _PHONE, "nth": [4], "do": "status", "status": 400, "body": error},
        ]
    )
    _job(cli, people, limits={"concurrency": 1})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 3, ended.stderr
    assert cli.statuses() == {"accepted": 4, "rejected": 1}
    assert cli("retry-failed", "runs/acceptance", "--yes").code == 0
    assert _reached(sim) == sorted(people)


def test_a_migrations_manifest_is_a_list_of_contacts_to_send_to(cli: Cli, sim: Simulator) -> None:
    people = numbers(4)
    cli.people(people)
    cli.job(name="migrate.toml", kind="contacts", message=None, campaign="migration")
    assert cli("run", "migrate.toml", "--yes").code == 0
    rows = cli.manifest("runs/migration")
    stranger = "6c1d3f70-0000-4000-8000-000000000009"
    lines = [f"{row['to']},{row['contact_id']},{row['to'][-2:]}" for row in rows]
    lines += [f"{numbers(1, start=9)[0]},{rows[0]['contact_id'].upper()},again", f"{numbers(1, start=8)[0]},,nobody"]
    lines += [f"{numbers(1, start=7)[0]},{stranger},stranger"]
    cli.write("people.csv", "\n".join(["phone,contact_id,code", *lines, ""]))
    cli.job(
        recipients={"contact_id": "contact_id"},
        message={"template_id": NOTICE, "channels": None},
        api={"version": "v1"},
    )
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 3, ended.stderr
    assert [(row["status"], row["reason"]) for row in cli.manifest()] == [
        *[("accepted", None)] * 4,
        ("excluded", "duplicate"),
        ("excluded", "missing_parameter"),
        ("rejected", "RESOURCE_001"),
    ]
    assert "the same number or contact as input row 0" in ended.stderr
    assert _reached(sim) == sorted(people)
    assert {each["path"] for each in sim.requests() if "v1" in each["path"]} == {"/v1/messages/contact"}
    assert cli("verify", "runs/acceptance").code == 0
    assert cli("run", "job.toml", "--yes", "--extend").code == 2


WRONG: dict[str, tuple[dict[str, Any], dict[str, str], tuple[str, ...], str]] = {
    "a text": ({"message": {"template_id": None, "text": "hello"}}, {}, (), "templates by their id only"),
    "a channel": ({"message": {"channels": ["sms"]}}, {}, (), "picks the channel itself"),
    "no sender": ({}, {"SENT_SENDER_ID": ""}, (), "SENT_SENDER_ID is not set"),
    "a sender that is none": ({}, {"SENT_SENDER_ID": "me"}, (), "SENT_SENDER_ID is not a UUID"),
    "a profile": ({}, {"SENT_PROFILE_ID": SENDER}, (), "no profiles"),
    "the sandbox": ({}, {}, ("--sandbox",), "no sandbox"),
}


@pytest.mark.parametrize(("tables", "environ", "flags", "word"), WRONG.values(), ids=WRONG)
def test_what_the_first_version_cannot_do_is_refused_in_a_sentence(
    cli: Cli, sim: Simulator, tables: dict[str, Any], environ: dict[str, str], flags: tuple[str, ...], word: str
) -> None:
    _job(cli, numbers(2), **tables)
    ended = cli("run", "job.toml", "--yes", *flags, env=environ)
    assert ended.code == 2, ended.stderr
    assert word in ended.stderr
    assert sim.requests() == []


def test_a_second_directory_is_refused_although_its_plan_is_the_same(cli: Cli, sim: Simulator) -> None:
    _job(cli, numbers(2))
    assert cli("run", "job.toml", "--yes").code == 0
    ended = cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/run")
    assert ended.code == 78, ended.stderr
    assert "twice" in ended.stderr
    assert len(sim.messages()) == 2


def test_another_sender_is_another_account(cli: Cli, sim: Simulator) -> None:
    sim.set_faults([{"on": _PHONE, "nth": [2], "do": "status", "status": 401}])
    _job(cli, numbers(3), limits={"concurrency": 1})
    assert cli("run", "job.toml", "--yes").code == 77
    ended = cli("run", "job.toml", "--yes", env={"SENT_SENDER_ID": SENDER.replace("5b0c", "6b0c")})
    assert ended.code == 78, ended.stderr
    assert cli("run", "job.toml", "--yes").code == 0
    once(sim.messages())
    assert len(sim.messages()) == 3


def test_one_message_to_a_number_of_ones_own_can_be_tested(cli: Cli, sim: Simulator) -> None:
    _job(cli, numbers(2))
    ended = cli("test", "job.toml", "--to", "+14155550199")
    assert ended.code == 0, ended.stderr
    assert _reached(sim) == ["+14155550199"]
