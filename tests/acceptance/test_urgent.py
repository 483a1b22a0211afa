"""An alert with ``--yes``: the API is asked whose key it is, and for the template, while the list is still read.

Where the order matters, the list comes through a pipe, which is fed only after the API has logged what it was asked.
"""

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from support import exposition
from support.cli import KEY, NOTICE, ORDER, PENDING, Cli, Running, matches, numbers, once, sends, wait_until
from support.receiver import receiving
from support.simulator import Simulator

RUN = "runs/acceptance"
_ME, _TEMPLATE, _SEND = "/v3/me", f"/v3/templates/{NOTICE}", "/v3/messages"
_PIPED = ("send", "-", "--campaign", "acceptance", "--template-id", NOTICE, "--channel", "sms", "--yes")
_PEOPLE = "phone,first_name,code\n+14155550111,Ada,A-1\n+14155550112,Bob,B-2\n"
_SILENT = {"on": "GET /v3/me", "do": "slow", "delay_s": 60.0, "when": "before"}


def paths(sim: Simulator) -> list[str]:
    """Return what was asked, in the order in which it arrived."""
    return [each["path"] for each in sim.requests()]


def planned(cli: Cli) -> bool:
    return (cli.home / RUN / "plan.json").exists()


def asked_early(cli: Cli, sim: Simulator, *flags: str, until: list[str]) -> Running:
    """Start a run whose list nobody feeds, and return when the API has been asked for *until*, and has answered."""
    started = cli.start(*_PIPED, *flags)

    def asked() -> bool:
        return [each["path"] for each in sim.requests() if each["status"]] == until

    wait_until(asked, what="the look-ups")
    assert not planned(cli)
    return started


# ---- before the list is there ---------------------------------------------------------------------------------------


def test_the_api_is_asked_before_the_list_is_there_and_once(cli: Cli, sim: Simulator) -> None:
    ended = asked_early(cli, sim, until=[_ME, _TEMPLATE]).result(_PEOPLE)
    assert ended.code == 0, ended.stderr
    assert paths(sim) == [_ME, _TEMPLATE, _SEND]
    matches(cli.home / RUN, sim.messages())
    assert len(sim.messages()) == 2


def test_without_preflight_only_the_account_is_asked_for(cli: Cli, sim: Simulator) -> None:
    ended = asked_early(cli, sim, "--no-preflight", until=[_ME]).result(_PEOPLE)
    assert ended.code == 0, ended.stderr
    assert paths(sim) == [_ME, _SEND]


def test_what_was_asked_early_is_spent_in_the_accounts_minute_and_counted(cli: Cli, sim: Simulator) -> None:
    ended = asked_early(cli, sim, until=[_ME, _TEMPLATE]).result(_PEOPLE)
    assert ended.code == 0, ended.stderr
    with closing(sqlite3.connect(cli.home / ".state/broadcaster/limits.sqlite")) as db:
        spent = db.execute("SELECT pool = '', sum(requests) FROM spent GROUP BY pool").fetchall()
    assert spent == [(0, 3)]  # all of it by one account, which is known
    figures = exposition.read((cli.home / RUN / "metrics.prom").read_text())
    (requests,) = figures["broadcaster_requests_total"].samples.values()
    assert requests == 3


def test_what_the_list_has_wrong_is_told_although_the_api_had_no_objection(cli: Cli, sim: Simulator) -> None:
    ended = asked_early(cli, sim, until=[_ME, _TEMPLATE]).result("phone\n12\n")
    assert (ended.code, ended.stdout) == (65, "")
    assert sends(sim) == []
    assert not planned(cli)


def test_ctrl_c_ends_both_the_reading_and_the_asking(cli: Cli, sim: Simulator) -> None:
    sim.set_faults([_SILENT])
    started = cli.start(*_PIPED)
    wait_until(lambda: paths(sim), what="the look-up that nobody answers")
    started.signal(signal.SIGINT)
    started.process.wait(30)  # half as long as the API is silent; and nobody has closed the pipe
    ended = started.result()
    assert (ended.code, ended.stdout) == (75, "")
    assert "run the same command again" in ended.stderr
    assert paths(sim) == [_ME]
    assert not planned(cli)


# ---- and before it answers ------------------------------------------------------------------------------------------


def test_planning_does_not_wait_for_the_answer_and_a_kill_meanwhile_loses_nobody(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    sim.set_faults([_SILENT])
    started = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: planned(cli) and paths(sim), what="a plan, and a look-up that nobody answers")
    assert [each["status"] for each in sim.requests()] == [None]
    started.signal(signal.SIGKILL)
    started.result()
    sim.set_faults([])
    assert cli("run", "job.toml", "--yes").code == 0
    once(sim.messages())
    assert len(sim.messages()) == 3


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_waiting_for_the_answer_and_the_plan_is_there_to_go_on(
    cli: Cli, sim: Simulator, name: str
) -> None:
    cli.people(3)
    cli.job()
    sim.set_faults([{"on": "GET /v3/me", "do": "status", "status": 429, "retry_after": 60}])
    started = cli.start("run", "job.toml", "--yes", "--json")
    assert started.process.stderr is not None
    assert any(line.startswith("waiting: ") for line in started.process.stderr)  # the plan is frozen, and shown
    started.signal(signal.Signals[name])
    ended = started.result()
    assert ended.code == 75, ended.stderr
    assert f"broadcaster resume {RUN}" in ended.stderr
    assert ended.json["deliveries"]["pending"] == 3
    assert paths(sim) == [_ME]
    assert cli.statuses() == {"pending": 3}


def test_people_hear_what_the_api_is_waited_for(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    sim.set_faults([{"on": "GET /v3/me", "nth": [1], "do": "status", "status": 429, "retry_after": 1}])
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert "waiting: The API does not serve requests at the moment (HTTP 429)" in ended.stderr
    assert paths(sim) == [_ME, _ME, _TEMPLATE, _SEND]
    events = [json.loads(line)["event"] for line in (cli.home / RUN / "events.jsonl").read_text().splitlines()]
    assert events == ["planned", "waiting", "started", "finished"]


# ---- what ends it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """``job.toml`` is what is wrong, or the command; *asks* are the look-ups, where they end it."""

    code: int
    says: str
    job: dict[str, Any] = field(default_factory=dict)
    people: str = _PEOPLE
    flags: tuple[str, ...] = ()
    asks: tuple[str, ...] | None = None


_UNKNOWN = NOTICE.replace("3302", "33ff")
_SMS_ONLY = "4e2f7c1a-7a55-4f0c-9f6e-1d1f0a6f6d02"
CASES = {
    "a template that the API does not know": Case(
        code=2,
        says="does not know the template",
        job={"message": {"template_id": _UNKNOWN}},
        asks=(_ME, f"/v3/templates/{_UNKNOWN}"),
    ),
    "a template that nobody approved": Case(
        code=2,
        says="not approved",
        job={"message": {"template_id": PENDING, "parameters": {"name": "x", "code": "y"}}},
        asks=(_ME, f"/v3/templates/{PENDING}"),
    ),
    "a template whose variable is missing": Case(
        code=2,
        says="needs a value for order_id",
        job={"message": {"template_id": ORDER, "parameters": {"name": "{first_name}"}}},
        asks=(_ME, f"/v3/templates/{ORDER}"),
    ),
    "a template that cannot be sent on a channel that only a row names": Case(
        code=2,
        says="cannot be sent by whatsapp",
        job={"message": {"template_id": _SMS_ONLY}, "recipients": {"channel": "by"}},
        people="phone,by\n+14155550111,sms\n+14155550112,whatsapp\n",
        asks=(_ME, f"/v3/templates/{_SMS_ONLY}"),
    ),
    "another count than expected": Case(code=5, says="2 recipients", flags=("--expect-recipients", "3")),
}


@pytest.fixture
def strict(cli: Cli) -> Iterator[Simulator]:
    """An API with a template for one channel."""
    template = {"id": _SMS_ONLY, "name": "short", "body": "Storm.", "channels": ["sms"]}
    with Simulator(key=KEY, templates=json.dumps([template])) as simulator:
        cli.use(simulator)
        yield simulator


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_sent_and_nothing_stands_in_the_way_of_the_corrected_job(
    cli: Cli, strict: Simulator, name: str
) -> None:
    case = CASES[name]
    cli.write("people.csv", case.people)
    cli.job(**case.job)
    ended = cli("run", "job.toml", "--yes", *case.flags)
    assert (ended.code, ended.stdout) == (case.code, "")
    assert case.says in ended.stderr
    assert sends(strict) == []
    assert case.asks is None or paths(strict) == list(case.asks)
    left = {path.name for path in (cli.home / RUN).iterdir()}
    assert left <= {"run.lock"}
    cli.write("people.csv", _PEOPLE)
    cli.job()
    assert cli("run", "job.toml", "--yes", "--expect-recipients", "2").code == 0
    assert len(strict.messages()) == 2


def test_a_refused_key_ends_it_while_the_list_is_read_and_the_right_one_goes_on(cli: Cli, sim: Simulator) -> None:
    cli.environment["SENT_DM_API_KEY"] = "sk_live_wrong_0d3f"
    ended = asked_early(cli, sim, "--json", until=[_ME]).result(_PEOPLE)
    assert ended.code == 77, ended.stderr
    assert (ended.json["stopped_by"], ended.json["deliveries"]["pending"]) == ("account_refused", 2)
    assert [(each["path"], each["status"]) for each in sim.requests()] == [(_ME, 401)]
    cli.use(sim)
    assert cli(*_PIPED, typed=_PEOPLE).code == 0
    once(sim.messages())
    assert len(sim.messages()) == 2


def test_an_alert_that_cannot_go_out_is_told_to_whoever_is_to_know(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    with receiving() as endpoint:
        cli.job(message={"template_id": _UNKNOWN}, notify={"url": endpoint.url})
        assert cli("run", "job.toml", "--yes").code == 2
        (told,) = [each.json for each in endpoint.arrived(1)]
    assert (told["event"], told["exit_code"], told["what_to_do"]) == ("stopped", 2, None)
    assert "does not know the template" in told["why"]
    assert sends(sim) == []


# ---- what does not hurry --------------------------------------------------------------------------------------------

_FAR = {"schedule": {"window": "Mon-Sun 00:00-23:59"}}
UNHURRIED: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, str]]] = {
    "what the schedule decides": (_FAR, (), {}),
    "the simulator": ({}, ("--simulate",), {}),
    "the first version of the API": (
        {"api": {"version": "v1"}, "message": {"channels": None}},
        (),
        {"SENT_SENDER_ID": "00000000-0000-4000-8000-00000000000a"},
    ),
}


@pytest.mark.parametrize("name", UNHURRIED)
def test_nothing_is_asked_before_the_list_is_read_for(cli: Cli, sim: Simulator, name: str) -> None:
    tables, flags, environ = UNHURRIED[name]
    cli.job(recipients={"file": "gone.csv"}, **tables)
    ended = cli("run", "job.toml", "--yes", *flags, env=environ)
    assert ended.code == 65, ended.stderr
    assert sim.requests() == []


def test_a_run_that_is_planned_already_asks_as_ever(cli: Cli, sim: Simulator) -> None:
    to = cli.people(numbers(2))
    cli.job()
    assert cli("plan", "job.toml").code == 0
    cli.people(3)
    assert cli("run", "job.toml", "--yes").code == 78  # another list; found out before anything is asked
    assert sim.requests() == []
    cli.people(to)
    assert cli("run", "job.toml", "--yes").code == 0
    assert paths(sim) == [_ME, _TEMPLATE, _SEND]
