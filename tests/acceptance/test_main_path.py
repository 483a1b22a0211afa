"""The main job from a list to a manifest, as the README promises it."""

import csv
import json
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import NOTICE, ORDER, ROOT, Cli, embedded_ledger, matches, rows, sends
from support.simulator import Simulator

JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.toml"))
CHANNELS = {"legacy_v1": "auto", "service_notice": "sms", "spring_sale": "whatsapp", "storm_alert": "auto"}


def _samples(cli: Cli) -> None:
    for folder in ("jobs", "sample_data"):
        shutil.copytree(ROOT / folder, cli.home / folder)


def _unhurried(job: Path) -> None:
    """Take the rate limit out of a job: nobody waits for an account's."""
    text = re.sub(r"(?m)^requests_per_minute = .*\n", "", job.read_text(encoding="utf-8"))
    text = text if "[limits]" in text else f"{text}\n[limits]\n"
    job.write_text(text.replace("[limits]", "[limits]\nrequests_per_minute = 0"), encoding="utf-8")


def _created(run_dir: Path) -> list[tuple[str, str]]:
    """Return number and id of everything that the embedded simulators have created; each profile has its own."""
    found: list[tuple[str, str]] = []
    for state in sorted(run_dir.rglob("simulator.sqlite")):
        with closing(sqlite3.connect(state, timeout=10)) as db:
            contacts = db.execute("SELECT phone, contact_id FROM contact").fetchall()
        found += contacts or [(row["recipient"], row["message_id"]) for row in embedded_ledger(state.parent)]
    return found


@pytest.mark.parametrize("name", JOBS)
def test_a_sample_job_runs_without_an_account_and_its_manifest_is_the_ledger(cli: Cli, name: str) -> None:
    """Every job that is there, and a new one as soon as it is."""
    _samples(cli)
    _unhurried(cli.home / f"jobs/{name}.toml")
    ended = cli("run", f"jobs/{name}.toml", "--simulate", "--yes", "--json")
    assert ended.code == 0, ended.stderr
    run_dir = cli.home / ended.json["run_dir"]
    manifest = rows(run_dir)
    accepted = [row for row in manifest if row["status"] == "accepted"]
    assert {row["status"] for row in manifest} <= {"accepted", "excluded"}
    created = _created(run_dir)
    assert len(accepted) == len(created) == ended.json["deliveries"]["accepted"] > 0
    assert len({to for to, _ in created}) == len(created), "somebody got it twice"
    ours = {row["to"]: row["message_id"] or row.get("contact_id") for row in accepted}
    if any(ours.values()):
        assert ours == dict(created)
    else:  # version v1 of the API names no messages
        assert set(ours) == set(dict(created))
    if name in CHANNELS:
        assert {row["channel"] for row in manifest} == {CHANNELS[name]}
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700


def test_the_manifest_has_one_row_for_each_input_row_and_channel_with_the_reason(cli: Cli, sim: Simulator) -> None:
    cli.write(
        "people.csv",
        "phone,who,gone\n"
        "(415) 555-0111,a,\n"
        "12,b,\n"
        "+1 415 555 0112,c,\n"
        "+14155550111,d,\n"
        "+14155550113,e,\n"
        "+14155550114,f,yes\n"
        ",g,\n",
    )
    cli.write("never.csv", "phone\n415-555-0113\n")
    cli.job(
        recipients={"id": "who", "default_region": "US", "opt_out": "gone", "suppress": ["never.csv"]},
        message={"channels": ["sms", "whatsapp"]},
    )
    ended = cli("run", "job.toml", "--yes", "--json")
    assert ended.code == 0, ended.stderr
    manifest = cli.manifest()
    assert [(row["input_row"], row["channel"]) for row in manifest] == [
        (at, channel) for at in range(7) for channel in ("sms", "whatsapp")
    ]
    sms = manifest[::2]
    assert [row["recipient_id"] for row in sms] == list("abcdefg")
    assert [row["phone_input"] for row in sms][1::5] == ["12", ""]
    assert [row["status"] for row in sms] == ["accepted", "excluded", "accepted", *["excluded"] * 4]
    reasons = [None, "invalid_number", None, "duplicate", "suppressed", "suppressed", "invalid_number"]
    assert [row["reason"] for row in sms] == reasons
    assert [row["to"] for row in sms] == [
        *["+14155550111", None, "+14155550112", "+14155550111", "+14155550113", "+14155550114", None]
    ]
    for row in manifest:
        assert (row["status"] == "excluded") == (row["error"] is not None) == (row["message_id"] is None)
        if row["status"] == "accepted":
            assert row["idempotency_key"].startswith("f1-")
            assert (row["http_status"], row["attempts"], row["part"]) == (202, 1, 0)
            assert row["first_attempt_at"] <= row["settled_at"]
    matches(cli.home / "runs/acceptance", sim.messages())
    assert ended.json["excluded_rows"] == {"invalid_number": 2, "suppressed": 2, "duplicate": 1}
    with (cli.home / "runs/acceptance/excluded.csv").open(encoding="utf-8-sig", newline="") as file:
        excluded = list(csv.DictReader(file))
    assert [(row["who"], row["reason"]) for row in excluded] == list(zip("bdefg", filter(None, reasons), strict=True))
    assert not (cli.home / "runs/acceptance/failed.csv").exists()
    summary = json.loads((cli.home / "runs/acceptance/summary.json").read_text(encoding="utf-8"))
    assert summary == ended.json


def test_plan_needs_neither_key_nor_network_and_run_sends_exactly_it(cli: Cli) -> None:
    cli.people(5)
    cli.write("people.csv", (cli.home / "people.csv").read_text() + "12,Nobody,N-0\n")
    cli.job(limits={"batch_size": 2})
    planned = cli("plan", "job.toml", "--json", env={"SENT_BASE_URL": "http://127.0.0.1:9"})
    assert planned.code == 0, planned.stderr
    assert {name: planned.json[name] for name in ("rows", "recipients", "batches", "messages")} == {
        "rows": 6, "recipients": 5, "batches": 3, "messages": 5,
    }  # fmt: skip
    assert cli.statuses() == {"pending": 5, "excluded": 1}
    assert "broadcaster run job.toml" in planned.stderr
    keys = [row["idempotency_key"] for row in cli.manifest()]
    frozen = (cli.home / "runs/acceptance/plan.json").read_bytes()
    again = cli("plan", "job.toml", "--json")
    assert (again.code, again.json) == (0, planned.json)
    with Simulator(key="another") as sim:
        cli.use(sim)
        assert cli("run", "job.toml", "--yes").code == 0
        matches(cli.home / "runs/acceptance", sim.messages())
        assert {each["key"] for each in sends(sim)} == set(keys) - {None}
    assert [row["idempotency_key"] for row in cli.manifest()] == keys
    assert (cli.home / "runs/acceptance/plan.json").read_bytes() == frozen


def test_what_people_see_before_they_confirm(cli: Cli) -> None:
    cli.people(250)
    cli.write("people.csv", (cli.home / "people.csv").read_text() + "12,Nobody,N-0\n")
    cli.job(message={"channels": ["sms", "whatsapp"]}, limits={"batch_size": 1, "requests_per_minute": 50})
    shown = cli("plan", "job.toml")
    assert shown.code == 0
    for line in (
        "recipients     250",
        "1 invalid number",
        "requests       250",
        "messages       500",
        "50 requests a minute",
    ):
        assert line in shown.stderr, line
    assert "5 min" in shown.stderr  # 250 requests at 50 a minute
    assert shown.stderr.count("example") == 3
    assert "+1••••••••01" in shown.stderr
    assert "2 messages" in shown.stderr  # each recipient, and each is billed
    assert shown.stdout == ""


def test_a_dry_run_shows_the_same_and_keeps_nothing(cli: Cli) -> None:
    cli.people(3)
    cli.job()
    shown = cli("run", "job.toml", "--dry-run", "--json")
    assert (shown.code, shown.json["recipients"]) == (0, 3)
    assert "recipients     3" in shown.stderr
    assert sorted(path.name for path in cli.home.iterdir()) == ["job.toml", "people.csv"]


def test_a_dry_run_says_where_the_run_would_be(cli: Cli) -> None:
    cli.people(3)
    cli.job()
    shown = cli("run", "job.toml", "--dry-run", "--json")
    assert shown.json["run_dir"] == "runs/acceptance"
    assert "runs/acceptance" in shown.stderr


def test_send_needs_no_job_file(cli: Cli, sim: Simulator) -> None:
    cli.write("people.csv", "mobile,first_name,no\n415 555 0111,Ada,1\n415 555 0112,Bob,2\n415 555 0113,Bob,2\n")
    cli.write("never.csv", "phone\n+14155550199\n")
    ended = cli(
        "send", "people.csv", "--campaign", "hello", "--template-id", ORDER, "--phone", "mobile", "--region", "US",
        "--channel", "sms", "--channel", "whatsapp", "--param", "name={first_name}", "--param", "order_id=#{no}=",
        "--suppress", "never.csv", "--requests-per-minute", "0", "--yes", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    assert ended.json["deliveries"]["accepted"] == 6
    matches(cli.home / "runs/hello", sim.messages())
    assert {(each["recipient"][-2:], each["channel"], each["body"]) for each in sim.messages()} == {
        (last, channel, f"Hi {name}, your order ##{no}= has been confirmed.")
        for last, name, no in (("11", "Ada", 1), ("12", "Bob", 2), ("13", "Bob", 2))
        for channel in ("sms", "whatsapp")
    }
    assert [each["recipients"] for each in sends(sim)] == [1, 2]  # equal parameters share a request


def test_a_test_message_goes_to_one_number_and_leaves_the_campaign_alone(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(message={"template_id": ORDER, "parameters": {"name": "{first_name}", "order_id": "{code}"}})
    first = cli("test", "job.toml", "--to", "+1 415 555 0142")
    assert first.code == 0, first.stderr
    assert [first.stdout.strip()] == [each["message_id"] for each in sim.messages()]
    again = cli("test", "job.toml", "--to", "+14155550142", "--json")  # a second one is sent again
    assert again.json["message_ids"] == [sim.messages()[1]["message_id"]]
    assert {(each["recipient"], each["body"]) for each in sim.messages()} == {
        ("+14155550142", "Hi Name0, your order #N-0 has been confirmed.")
    }
    assert not (cli.home / "runs").exists()
    assert cli("run", "job.toml", "--yes").code == 0
    assert len(sim.messages()) == 5


def test_test_works_without_an_account(cli: Cli) -> None:
    cli.people(1)
    cli.job()
    ended = cli("test", "job.toml", "--to", "+14155550142", "--simulate")
    assert ended.code == 0, ended.stderr
    assert len(ended.stdout.split()) == 1


def test_the_profile_is_in_the_header_and_in_the_keys(cli: Cli, sim: Simulator) -> None:
    profile = "7ba7b820-9dad-11d1-80b4-00c04fd430aa"
    cli.people(2)
    cli.job()
    assert cli("run", "job.toml", "--dry-run").code == 0
    assert cli("plan", "job.toml", "--run-dir", "elsewhere").code == 0
    plain = {row["idempotency_key"] for row in rows(cli.home / "elsewhere")}
    ended = cli("run", "job.toml", "--yes", env={"SENT_PROFILE_ID": profile.upper()})
    assert ended.code == 0, ended.stderr
    assert {each["profile_id"] for each in sim.messages()} == {profile}
    assert plain & {row["idempotency_key"] for row in cli.manifest()} == set()
    other = cli("run", "job.toml", "--yes")  # without the profile it is another sender
    assert other.code == 78
    assert "profile" in other.stderr
    resumed = cli("resume", "runs/acceptance")
    assert resumed.code == 78
    assert "SENT_PROFILE_ID" in resumed.stderr


def test_the_key_may_come_from_a_file(cli: Cli, sim: Simulator) -> None:
    cli.people(1)
    cli.job()
    cli.write("secret", cli.environment["SENT_DM_API_KEY"] + "\n")
    ended = cli(
        "run", "job.toml", "--yes", env={"SENT_DM_API_KEY": "", "SENT_DM_API_KEY_FILE": str(cli.home / "secret")}
    )
    assert ended.code == 0, ended.stderr
    assert len(sim.messages()) == 1


def test_the_template_is_not_looked_up_without_preflight(cli: Cli, sim: Simulator) -> None:
    cli.people(1)
    cli.job()
    assert cli("run", "job.toml", "--yes", "--no-preflight").code == 0
    assert [(each["method"], each["path"]) for each in sim.requests()] == [("GET", "/v3/me"), ("POST", "/v3/messages")]


def test_preflight_asks_who_we_are_first_and_for_the_template_then(cli: Cli, sim: Simulator) -> None:
    cli.people(1)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    assert [each["path"] for each in sim.requests()] == ["/v3/me", f"/v3/templates/{NOTICE}", "/v3/messages"]


def test_paths_in_a_job_are_relative_to_it_and_runs_to_the_shell(cli: Cli) -> None:
    (cli.home / "jobs").mkdir()
    cli.people(2, name="lists/people.csv")
    cli.job("jobs/job.toml", recipients={"file": "../lists/*.csv"})
    ended = cli("plan", "jobs/job.toml")
    assert ended.code == 0, ended.stderr
    assert (cli.home / "runs/acceptance/plan.json").exists()
