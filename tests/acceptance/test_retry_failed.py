"""``retry-failed``: what definitely did not arrive goes again under new keys, and nobody else hears of it."""

import json
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, matches, once, sends, wait_until
from support.simulator import Simulator
from support.terminal import Terminal

_SEND = "POST /v3/messages"
RUN = "runs/acceptance"


def refuses(*positions: int, nth: int) -> dict[str, Any]:
    """Refuse these recipients of the n-th request by name, as the API does it."""
    details = {f"to.{position}": ["The number is not valid."] for position in positions}
    error = {"code": "VALIDATION_002", "message": "Request validation failed", "details": details}
    body = json.dumps({"success": False, "data": None, "error": error})
    return {"on": _SEND, "nth": [nth], "do": "status", "status": 400, "body": body}


def refused_once(cli: Cli, sim: Simulator, *positions: int, people: int = 7) -> list[str]:
    """Finish a run in which these people were refused; return everybody's numbers."""
    to = cli.people(people)
    cli.job()
    sim.set_faults([refuses(*positions, nth=1)])
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 3, ended.stderr
    assert cli.statuses() == {"accepted": people - len(positions), "rejected": len(positions)}
    sim.set_faults([])
    return to


def test_those_who_were_refused_get_it_and_nobody_else_hears_of_it(cli: Cli, sim: Simulator) -> None:
    to = refused_once(cli, sim, 2, 5)
    first = sends(sim)
    (cli.home / "people.csv").unlink()  # the list is not read again
    ended = cli("retry-failed", RUN, "--yes", "--expect-recipients", "2", "--json")
    assert ended.code == 0, ended.stderr
    assert "2 (one recipient each)" not in ended.stderr
    assert ended.json["deliveries"] == {"accepted": 7, "rejected": 0, "in_doubt": 0, "pending": 0, "excluded": 0}
    assert (ended.json["rows"], ended.json["recipients"]) == (7, 7)
    (again,) = sends(sim)[len(first) :]
    assert again["key"] not in {each["key"] for each in first}
    assert [each["recipient"] for each in sim.messages()][5:] == [to[2], to[5]]
    matches(cli.home / RUN, sim.messages())
    assert [row["to"] for row in cli.manifest() if row["idempotency_key"] == again["key"]] == [to[2], to[5]]
    assert sorted(path.name for path in (cli.home / RUN).glob("*-1.*")) == ["batches-1.parquet", "plan-1.json"]
    assert not (cli.home / RUN / "failed.csv").exists()
    assert cli("verify", RUN).code == 0


def test_who_is_refused_again_is_retried_again(cli: Cli, sim: Simulator) -> None:
    """The second retry's refusal names one of three: the others go on as a part of it, under its generation."""
    to = refused_once(cli, sim, 1, 3, 4)
    sim.set_faults([refuses(0, nth=1)])
    second = cli("retry-failed", RUN, "--yes", "--json")
    assert second.code == 3, second.stderr
    assert second.json["deliveries"]["rejected"] == 1
    assert [row["to"] for row in cli.manifest() if row["status"] == "rejected"] == [to[1]]
    assert cli("verify", RUN).code == 0
    third = cli("retry-failed", RUN, "--yes", "--json")
    assert third.code == 0, third.stderr
    matches(cli.home / RUN, sim.messages())
    assert len(sim.messages()) == 7
    assert cli("verify", RUN).code == 0
    heads = [json.loads((cli.home / RUN / name).read_bytes()) for name in ("plan-1.json", "plan-2.json")]
    assert [(head["kind"], head["generation"], head["recipients"]) for head in heads] == [
        ("retry", "r1", 3), ("retry", "r2", 1),
    ]  # fmt: skip


def test_a_run_without_refusals_has_nothing_to_retry(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "omit_rows", "rows": 1}])
    assert cli("run", "job.toml", "--yes").code == 4
    before = len(sim.requests())
    ended = cli("retry-failed", RUN, "--yes", "--json")
    assert ended.code == 4  # as the run ended: one is in doubt, and stays so
    assert "nothing to retry" in ended.stderr
    assert ended.json["deliveries"]["in_doubt"] == 1
    assert len(sim.requests()) == before
    assert not (cli.home / RUN / "plan-1.json").exists()


def test_a_retry_needs_somebody_who_agrees(cli: Cli, sim: Simulator) -> None:
    refused_once(cli, sim, 2)
    before = {
        path.name: path.read_bytes() for path in (cli.home / RUN).iterdir() if path.suffix in {".json", ".parquet"}
    }
    sent = len(sends(sim))
    for words, code in ((("--json",), 2), (("--yes", "--expect-recipients", "2"), 5)):
        refused = cli("retry-failed", RUN, *words)
        assert (refused.code, refused.stdout) == (code, "")
    with Terminal(cli, "retry-failed", RUN) as terminal:
        terminal.wait_for("Send to 1 person again? [y/N]")
        terminal.press("n\n")
        assert terminal.end() == 75
    assert len(sends(sim)) == sent
    after = {
        path.name: path.read_bytes() for path in (cli.home / RUN).iterdir() if path.suffix in {".json", ".parquet"}
    }
    assert after == before
    with Terminal(cli, "retry-failed", RUN) as terminal:
        terminal.wait_for("Send to 1 person again? [y/N]")
        terminal.press("y\n")
        assert terminal.end() == 0
    matches(cli.home / RUN, sim.messages())


def test_a_run_that_has_not_ended_is_resumed_first(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2, "concurrency": 1})
    sim.set_faults([refuses(0, nth=1), {"on": _SEND, "nth": [3], "do": "status", "status": 402}])
    assert cli("run", "job.toml", "--yes").code == 5
    assert cli.statuses() == {"accepted": 1, "rejected": 1, "pending": 2}
    refused = cli("retry-failed", RUN, "--yes")
    assert (refused.code, refused.stdout) == (75, "")
    assert f"broadcaster resume {RUN}" in refused.stderr
    assert cli("resume", RUN).code == 3
    assert cli("retry-failed", RUN, "--yes").code == 0
    matches(cli.home / RUN, sim.messages())


def test_a_retry_that_was_stopped_is_gone_on_with_by_resume(cli: Cli, sim: Simulator) -> None:
    refused_once(cli, sim, 1, 2)
    sim.set_faults([{"on": _SEND, "nth": [1], "do": "status", "status": 401}])
    assert cli("retry-failed", RUN, "--yes").code == 77
    assert cli.statuses() == {"accepted": 5, "pending": 2}
    assert cli("verify", RUN).code == 0
    assert cli("retry-failed", RUN, "--yes").code == 75
    assert not (cli.home / RUN / "plan-2.json").exists()
    ended = cli("run", "job.toml", "--yes")  # the retry is part of this job's plan
    assert ended.code == 0, ended.stderr
    matches(cli.home / RUN, sim.messages())
    assert len(sim.messages()) == 7


def test_an_answer_that_is_lost_in_a_retry_is_asked_for_again_with_its_key(cli: Cli, sim: Simulator) -> None:
    refused_once(cli, sim, 1, 2)
    sim.set_faults([{"on": _SEND, "nth": [1], "do": "slow", "delay_s": 6}])
    before = len(sends(sim))
    running = cli.start("retry-failed", RUN, "--yes")
    wait_until(lambda: len(sends(sim)) > before, what="the retry's request")
    locked = cli("retry-failed", RUN, "--yes")
    assert (locked.code, locked.stdout) == (75, "")
    assert f"process {running.pid} " in locked.stderr
    running.signal(signal.SIGKILL)
    assert running.result().code == -signal.SIGKILL
    assert cli("manifest", RUN).code == 0
    assert cli.statuses() == {"accepted": 5, "in_doubt": 2}
    nothing = cli("retry-failed", RUN, "--yes")
    assert (nothing.code, "nothing to retry" in nothing.stderr) == (4, True)  # in doubt is not refused
    sim.set_faults([])
    ended = cli("resume", RUN)
    assert ended.code == 0, ended.stderr
    assert len({each["key"] for each in sends(sim)[before:]}) == 1
    matches(cli.home / RUN, sim.messages())


def test_rows_are_added_after_a_retry_as_before_it(cli: Cli, sim: Simulator) -> None:
    refused_once(cli, sim, 2, people=4)
    assert cli("retry-failed", RUN, "--yes").code == 0
    to = cli.people(6)
    ended = cli("run", "job.toml", "--yes", "--extend", "--expect-recipients", "6")
    assert ended.code == 0, ended.stderr
    assert [each["recipient"] for each in sim.messages()][4:] == to[4:]
    matches(cli.home / RUN, sim.messages())
    assert cli("verify", RUN).code == 0
    assert cli("run", "job.toml", "--yes").code == 0


@pytest.mark.parametrize("words", [("--simulate",), ("--sandbox",)])
def test_a_retry_in_another_mode_than_the_plans_is_refused(cli: Cli, sim: Simulator, words: tuple[str, ...]) -> None:
    refused_once(cli, sim, 2, people=3)
    refused = cli("retry-failed", RUN, "--yes", *words)
    assert (refused.code, refused.stdout) == (78, "")
    assert not (cli.home / RUN / "plan-1.json").exists()


def test_whom_a_second_directory_may_have_reached_is_not_retried(cli: Cli, sim: Simulator) -> None:
    """The API remembers no refusal: the same plan, sent from elsewhere, reaches whom it refused here."""
    cli.people(2)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([refuses(0, nth=2)])
    assert cli("run", "job.toml", "--yes").code == 3
    sim.set_faults([])
    assert cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/again").code == 0
    assert len(sim.messages()) == 2
    refused = cli("retry-failed", RUN, "--yes")
    assert (refused.code, refused.stdout) == (78, "")
    assert "elsewhere/again" in refused.stderr
    assert not (cli.home / RUN / "plan-1.json").exists()
    once(sim.messages())


def test_a_plan_whose_batch_was_divided_is_not_sent_from_a_second_directory(cli: Cli, sim: Simulator) -> None:
    """The others of the batch got it under a key of their own, which would not protect them from the whole batch."""
    refused_once(cli, sim, 1, people=3)
    before = len(sends(sim))
    second = cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/again")
    assert (second.code, second.stdout) == (78, "")
    assert "from a second directory" in second.stderr
    assert len(sends(sim)) == before
    once(sim.messages())


def test_after_a_retry_the_same_plan_is_not_sent_from_a_second_directory(cli: Cli, sim: Simulator) -> None:
    """Its first request for whom the API refused would have another key than the retry's: no memory would protect."""
    cli.people(1)
    cli.job()
    sim.set_faults([refuses(0, nth=1)])
    assert cli("run", "job.toml", "--yes").code == 3
    sim.set_faults([])
    assert cli("retry-failed", RUN, "--yes").code == 0
    before = len(sends(sim))
    second = cli("run", "job.toml", "--yes", "--run-dir", "elsewhere/again")
    assert (second.code, second.stdout) == (78, "")
    assert len(sends(sim)) == before
    once(sim.messages())


def test_a_retry_needs_a_plan(cli: Cli) -> None:
    refused = cli("retry-failed", "runs/nowhere", "--yes")
    assert (refused.code, refused.stdout) == (2, "")
    assert "runs/nowhere" in refused.stderr


# ---- what receipts say ----------------------------------------------------------------------------------------------


@contextmanager
def world(cli: Cli, **options: Any) -> Iterator[Simulator]:
    """An API in which everything that becomes of a message becomes at once."""
    with Simulator(key=KEY, lifecycle_speed=10_000.0, **options) as simulator:
        cli.use(simulator)
        yield simulator


def followed_up(cli: Cli, people: int, *, channels: list[str]) -> list[str]:
    """Finish a run and ask what became of it; return the numbers."""
    to = cli.people(people)
    cli.job(message={"channels": channels})
    assert cli("run", "job.toml", "--yes").code == 0
    assert cli("reconcile", RUN).code == 0
    return to


def by_reason(cli: Cli) -> dict[str | None, set[str]]:
    """Return the numbers by why a message did not arrive; those that it reached are under ``None``."""
    found: dict[str | None, set[str]] = {}
    for row in cli.manifest():
        found.setdefault(row["delivery_reason"], set()).add(row["to"])
    return found


def test_what_failed_goes_again_and_who_is_not_on_the_channel_gets_it_on_another(cli: Cli) -> None:
    with world(cli, failed_share=0.5, read_share=0) as sim:
        to = followed_up(cli, 60, channels=["whatsapp"])
        fates = by_reason(cli)
        assert fates.keys() == {None, "DELIVERY_003", "DELIVERY_007"}
        before = len(sim.messages())

        shown = cli("retry-failed", RUN, "--dry-run", "--json")
        assert shown.code == 0, shown.stderr
        again, left = len(fates["DELIVERY_003"]), len(fates["DELIVERY_007"])
        assert shown.json == {
            "recipients": again,
            "again": {"failed (DELIVERY_003)": again},
            "left_out": {"not on this channel: --channel names another (DELIVERY_007)": left},
        }
        assert len(sim.messages()) == before
        assert not (cli.home / RUN / "plan-1.json").exists()

        ended = cli("retry-failed", RUN, "--yes")
        assert ended.code == 0, ended.stderr
        assert f"  again        {again} failed (DELIVERY_003)" in ended.stderr
        assert f"  left out     {left} not on this channel: --channel names another (DELIVERY_007)" in ended.stderr
        assert {each["recipient"] for each in sim.messages()[before:]} == fates["DELIVERY_003"]
        assert cli("verify", RUN).code == 0
        assert len(cli.manifest()) == 60  # the later word replaces the earlier
        assert cli("reconcile", RUN).code == 0

        before, lost = len(sim.messages()), {row["to"] for row in cli.manifest() if row["delivery_status"] == "failed"}
        ended = cli("retry-failed", RUN, "--yes", "--channel", "sms")
        assert ended.code == 0, ended.stderr
        new = sim.messages()[before:]
        assert {each["recipient"] for each in new} == lost
        assert {each["channel"] for each in new} == {"sms"}
        rows = cli.manifest()
        assert [(row["input_row"], row["channel"]) for row in rows] == [
            (at, channel)
            for at, number in enumerate(to)
            for channel in (["sms"] if number in lost else []) + ["whatsapp"]
        ]
        assert cli("verify", RUN).code == 0
        assert cli("reconcile", RUN).code == 0
        assert cli("report", RUN).code == 0
        traced = cli("trace", RUN, "--row", str(to.index(min(lost))), "--json")
        assert [each["channel"] for each in traced.json["rows"][0]["deliveries"]] == ["sms", "whatsapp"]

        reached = {row["to"] for row in cli.manifest() if row["delivery_status"] == "delivered"}
        before = len(sim.messages())
        cli("retry-failed", RUN, "--yes", "--channel", "sms")
        assert not {each["recipient"] for each in sim.messages()[before:]} & reached


def test_a_run_whose_money_ran_out_is_finished_after_it_was_topped_up(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "ledger.sqlite"
    with world(cli, state=state, balance=30) as sim:
        port = sim.url.rpartition(":")[2]
        to = followed_up(cli, 50, channels=["sms"])
    with world(cli, state=state, port=port) as sim:
        ended = cli("retry-failed", RUN, "--yes", "--expect-recipients", "20", "--json")
        assert ended.code == 0, ended.stderr
        assert "20 blocked (BUSINESS_003)" in ended.stderr
        assert {each["recipient"] for each in sim.messages()[50:]} == set(to[30:])
        assert cli("reconcile", RUN).code == 0
        assert {row["delivery_status"] for row in cli.manifest()} == {"delivered"}
        assert cli("verify", RUN).code == 0
        assert "nothing to retry" in cli("retry-failed", RUN, "--yes").stderr


def test_who_opted_out_is_never_retried_and_the_next_job_leaves_them_alone(cli: Cli) -> None:
    with world(cli) as sim:
        to = cli.people(10)
        for number in to[:3]:
            contact = sim.call("POST", "/v3/contacts", {"phone_number": number}).json["data"]
            assert sim.call("PATCH", f"/v3/contacts/{contact['id']}", {"opt_out": True}).status == 200
        followed_up(cli, 10, channels=["sms"])
        ended = cli("retry-failed", RUN, "--yes", "--channel", "whatsapp")
        assert ended.code == 0, ended.stderr
        assert "3 must not be messaged (BUSINESS_004)" in ended.stderr
        assert "nothing to retry" in ended.stderr
        assert f"{RUN}/suppress.csv" in ended.stderr
        assert len(sim.messages()) == 10
        path = cli.home / RUN / "suppress.csv"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines == ['"number","reason","code"', *(f'"{each}","opted_out","BUSINESS_004"' for each in to[:3])]

        cli.job("next.toml", campaign="next", recipients={"suppress": [f"{RUN}/suppress.csv"]})
        assert cli("run", "next.toml", "--yes").code == 0
        assert {each["recipient"] for each in sim.messages()[10:]} == set(to[3:])
        assert cli.statuses("runs/next") == {"excluded": 3, "accepted": 7}
        assert cli("purge", RUN, "--yes").code == 0
        assert not path.exists()


def test_what_may_still_arrive_is_not_retried(cli: Cli) -> None:
    """The API picks the channel: after a failure it may try another, for some minutes."""
    with world(cli, failed_share=1, reroute_share=0):
        followed_up(cli, 5, channels=[])
        ended = cli("retry-failed", RUN, "--yes")
        assert ended.code == 0, ended.stderr
        assert "5 failed a few minutes ago: another route may be tried" in ended.stderr
        assert "nothing to retry" in ended.stderr
