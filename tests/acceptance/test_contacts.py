"""Migrations: every number of a list becomes a contact once, whatever happens; and contacts come out again."""

import csv
import json
import shutil
from typing import Any

import pytest
from pyarrow import parquet
from support import fiction, migration
from support.cli import ROOT, Cli, numbers
from support.simulator import Simulator

_CREATE = "POST /v3/contacts"


def test_the_sample_migration_runs_without_an_account_and_its_contacts_come_out_again(cli: Cli) -> None:
    for folder in ("jobs", "sample_data"):
        shutil.copytree(ROOT / folder, cli.home / folder)
    job = cli.home / "jobs/migrate_contacts.toml"
    job.write_text(job.read_text(encoding="utf-8").replace("= 200 ", "= 0 "), encoding="utf-8")  # do not wait
    ended = cli("run", "jobs/migrate_contacts.toml", "--simulate", "--yes", "--json")
    assert ended.code == 0, ended.stderr
    assert "contacts; nobody is messaged" in ended.stderr
    assert "contacts are at Sent, 5 of them opted out" in ended.stderr
    assert "messages" not in ended.stderr
    run_dir = "runs/crm-migration.simulated"
    there = migration.contacts(cli.home / run_dir / "simulator.sqlite")
    assert migration.manifest(cli, run_dir) == there
    assert ended.json["deliveries"]["accepted"] == len(there) == 38
    assert ended.json["opted_out"] == sum(opt_out for _, opt_out in there.values()) == 5
    assert cli("verify", run_dir).code == 0
    for out in ("contacts.csv", "contacts.parquet"):
        exported = cli("contacts", "export", "--simulated", run_dir, "--out", out, "--json")
        assert exported.code == 0, exported.stderr
        assert exported.json == {"file": out, "written": 38, "opted_out": 5, "missing": 0}
    with (cli.home / "contacts.csv").open(encoding="utf-8-sig", newline="") as file:
        texts = {row["phone"]: (row["contact_id"], row["opt_out"] == "true") for row in csv.DictReader(file)}
    table = parquet.read_table(cli.home / "contacts.parquet").to_pylist()
    assert texts == {row["phone"]: (row["contact_id"], row["opt_out"]) for row in table} == there


def test_the_columns_of_contacts_follow_after_those_of_every_manifest(cli: Cli, sim: Simulator) -> None:
    people = numbers(3)
    migration.job(cli, [*people, people[0], "12"], opted_out=(people[1],))
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    rows = cli.manifest()
    assert list(rows[0])[-4:] == ["part", "contact_id", "available_channels", "opt_out"]
    assert [row["status"] for row in rows] == ["accepted"] * 3 + ["excluded"] * 2
    assert [row["reason"] for row in rows[3:]] == ["duplicate", "invalid_number"]
    assert [row["opt_out"] for row in rows] == [False, True, False, None, None]
    assert [row["available_channels"] for row in rows] == ["sms,whatsapp"] * 3 + [None] * 2
    assert all(row["message_id"] is None for row in rows)
    assert migration.manifest(cli) == migration.contacts(sim.state)
    assert sim.messages() == []


def test_whoever_is_there_already_counts_and_an_opt_out_at_sent_is_never_taken_back(cli: Cli, sim: Simulator) -> None:
    people = numbers(6)
    for number in people[:4]:
        made = sim.call("POST", "/v3/contacts", {"phone_number": number}).json["data"]
        if number in people[2:4]:
            sim.call("PATCH", f"/v3/contacts/{made['id']}", {"opt_out": True})
    before = migration.contacts(sim.state)
    begun = len(sim.requests())
    migration.job(cli, people, opted_out=(people[1], people[3], people[5]))
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    there = migration.contacts(sim.state)
    assert migration.manifest(cli) == there
    assert {number: there[number][0] for number in before} == {number: before[number][0] for number in before}
    assert [there[number][1] for number in people] == [False, True, True, True, False, True]
    asked = sim.requests()[begun:]
    methods = [each["method"] for each in asked if each["path"].startswith("/v3/contacts")]
    assert {method: methods.count(method) for method in set(methods)} == {"POST": 6, "GET": 4, "PATCH": 2}


def test_a_migration_that_is_killed_goes_on_and_creates_every_contact_once(cli: Cli) -> None:
    """With 50,000 it takes more than a minute: ``python -m tests.crash.migration``."""
    with Simulator() as sim:
        cli.use(sim)
        migration.killed_and_continued(cli, sim, fiction.numbers(2500), marks=(40, 700, 1600))


SURVIVED: dict[str, list[dict[str, Any]]] = {
    "answers that are lost": [{"on": _CREATE, "nth": [2, 3, 5], "do": "drop_after_accept"}],
    "500 after it was done": [{"on": _CREATE, "nth": [1, 4], "do": "status_after_accept", "status": 500}],
    "too fast": [{"on": _CREATE, "nth": [2], "do": "status", "status": 429, "retry_after": 1}],
    "too fast when looking": [{"on": "GET /v3/contacts", "nth": [1], "do": "status", "status": 429, "retry_after": 1}],
    "too fast when opting out": [
        {"on": "PATCH /v3/contacts/*", "nth": [1], "do": "status", "status": 429, "retry_after": 1}
    ],
    "an opt-out whose answer is lost": [{"on": "PATCH /v3/contacts/*", "nth": [1, 2], "do": "reset_after_accept"}],
    "a search that fails": [{"on": "GET /v3/contacts", "nth": [1, 2], "do": "status", "status": 503}],
    "pages of a hotel": [{"on": "* /v3/contacts", "nth": [1, 3], "do": "html"}],
}


@pytest.mark.parametrize("name", SURVIVED)
def test_every_contact_is_there_once_in_spite_of(cli: Cli, sim: Simulator, name: str) -> None:
    people = numbers(8)
    sim.call("POST", "/v3/contacts", {"phone_number": people[0]})
    created = migration.created(sim)
    sim.set_faults(SURVIVED[name])
    migration.job(cli, people, opted_out=(people[0], people[7]), limits={"concurrency": 2})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert "waiting: " in ended.stderr
    there = migration.contacts(sim.state)
    assert migration.manifest(cli) == there
    assert [there[number][1] for number in people] == [True, *[False] * 6, True]
    assert migration.created(sim) - created <= 7
    assert cli("verify", "runs/acceptance").code == 0


def test_a_number_that_the_api_refuses_is_rejected_alone_and_can_be_tried_again(cli: Cli) -> None:
    people = numbers(4)
    with Simulator() as sim:
        cli.use(sim)
        code = {"success": False, "error": {"code": "VALIDATION_002", "message": f"{people[2]} is not a number"}}
        sim.set_faults([{"on": _CREATE, "nth": [3], "do": "status", "status": 400, "body": json.dumps(code)}])
        migration.job(cli, people, limits={"concurrency": 1})
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 3, ended.stderr
        assert [row["status"] for row in cli.manifest()] == ["accepted", "accepted", "rejected", "accepted"]
        assert cli("verify", "runs/acceptance").code == 0
        told = cli("trace", "runs/acceptance", "--row", "2")
        assert "VALIDATION_002" in told.stdout
        again = cli("retry-failed", "runs/acceptance", "--yes")
        assert again.code == 0, again.stderr
        assert migration.manifest(cli) == migration.contacts(sim.state)
        told = cli("trace", "runs/acceptance", "--row", "2")
        assert f"contact    accepted, contact {migration.contacts(sim.state)[people[2]][0]}" in told.stdout
        assert "receipt" not in told.stdout


def test_what_has_no_meaning_for_contacts_is_refused_in_a_sentence(cli: Cli, sim: Simulator) -> None:
    migration.job(cli, numbers(2))
    assert cli("run", "job.toml", "--yes").code == 0
    for command, word in (
        (("reconcile", "runs/acceptance"), "created contacts"),
        (("test", "job.toml", "--to", "+14155550100"), "no message to test"),
        (("rehearse", "job.toml"), "counts messages"),
        (("contacts", "export", "--out", "contacts.xlsx"), ".csv"),
    ):
        ended = cli(*command)
        assert ended.code == 2, ended.stderr
        assert word in ended.stderr
    assert cli("report", "runs/acceptance").code == 0
    assert cli("resolve", "runs/acceptance").code == 0
    cli.job(name="wrong.toml", kind="contacts")
    assert "leave the table out" in cli("plan", "wrong.toml").stderr
    assert cli("run", "job.toml", "--yes", "--sandbox").code == 0
    assert {row["status"] for row in cli.manifest("runs/acceptance.sandbox")} == {"accepted"}
    assert len(migration.contacts(sim.state)) == 2


def test_an_export_has_every_contact_once_and_leaves_no_half_file(cli: Cli, sim: Simulator) -> None:
    people = numbers(250)
    migration.job(cli, people, opted_out=tuple(people[:30]), limits={"concurrency": 16})
    assert cli("run", "job.toml", "--yes").code == 0
    cli.write("out.csv", "what was there before")
    sim.set_faults([{"on": "GET /v3/contacts", "nth": [3], "do": "status", "status": 403, "code": "AUTH_004"}])
    refused = cli("contacts", "export", "--out", "out.csv", "--rate", "100000")
    assert refused.code == 77, refused.stderr
    assert (cli.home / "out.csv").read_text(encoding="utf-8") == "what was there before"
    sim.set_faults([{"on": "GET /v3/contacts", "nth": [2], "do": "status", "status": 500}])
    ended = cli("contacts", "export", "--out", "out.csv", "--rate", "100000")
    assert ended.code == 0, ended.stderr
    assert "250 contacts written; 30 of the account's have opted out" in ended.stderr
    with (cli.home / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        assert sorted(row["phone"] for row in csv.DictReader(file)) == sorted(people)
    assert not list(cli.home.glob(".broadcaster-*"))
    only = cli("contacts", "export", "--out", "stop.parquet", "--opted-out", "--rate", "100000")
    assert only.code == 0, only.stderr
    assert sorted(parquet.read_table(cli.home / "stop.parquet")["phone"].to_pylist()) == sorted(people[:30])


@pytest.mark.parametrize("source", ["exported", "manifest"])
def test_contacts_suppress_those_who_have_opted_out_and_nobody_else(cli: Cli, sim: Simulator, source: str) -> None:
    people = numbers(6)
    migration.job(cli, people, opted_out=(people[1], people[4]), campaign="migration")
    assert cli("run", "job.toml", "--yes").code == 0
    assert cli("contacts", "export", "--out", "contacts.parquet").code == 0
    suppress = {"exported": "contacts.parquet", "manifest": "runs/migration/manifest.parquet"}[source]
    cli.job(name="notice.toml", recipients={"suppress": [suppress]})
    assert cli("run", "notice.toml", "--yes").code == 0
    left_out = [row["to"] for row in cli.manifest() if row["reason"] == "suppressed"]
    assert left_out == [people[1], people[4]]
    assert {row["recipient"] for row in sim.messages()} == {*people} - {*left_out}


def test_exported_contacts_are_a_list_that_knows_its_opt_outs(cli: Cli, sim: Simulator) -> None:
    people = numbers(4)
    migration.job(cli, people, opted_out=(people[2],), campaign="migration")
    assert cli("run", "job.toml", "--yes").code == 0
    assert cli("contacts", "export", "--out", "contacts.csv").code == 0
    cli.job(name="notice.toml", recipients={"file": "contacts.csv", "phone": "phone", "opt_out": "opt_out"})
    assert cli("run", "notice.toml", "--yes").code == 0
    assert sorted(row["recipient"] for row in sim.messages()) == sorted([*people[:2], people[3]])
