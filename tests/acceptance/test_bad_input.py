"""What bad input gets: the documented code, a sentence that says what, where and what to do, and nothing sent."""

import gzip
import socket
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.cli import ORDER, PENDING, Cli, sends
from support.simulator import Simulator

PEOPLE = "phone,first_name,code\n+14155550111,Ada,A-1\n+14155550112,Bob,B-2\n"


@dataclass(frozen=True, kw_only=True)
class Case:
    """``job.toml`` and ``people.csv`` are fine unless *job* and *files* say otherwise."""

    code: int
    says: tuple[str, ...]
    args: tuple[str, ...] = ("run", "job.toml", "--yes")
    job: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str | bytes] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    asks: bool = False  # whether reads of the API are needed to find it out

    @property
    def may_ask(self) -> bool:
        """Whether the API may have been asked: it is while a list is read, so what is wrong with that comes later."""
        return self.asks or self.code in {5, 65}


CASES = {
    # ---- the job file
    "job file missing": Case(code=2, args=("run", "nope.toml", "--yes"), says=("nope.toml", "no such file")),
    "job file is a directory": Case(code=2, args=("run", ".", "--yes"), says=("directory",)),
    "job file is no TOML": Case(code=2, files={"job.toml": "campaign = \n"}, says=("job.toml", "line 1")),
    "job file is not UTF-8": Case(
        code=2, files={"job.toml": b'campaign = "caf\xe9"\n'}, says=("job.toml", "line 1", "UTF-8")
    ),
    "job file is empty": Case(code=2, files={"job.toml": ""}, says=("campaign", "recipients", "message")),
    "unknown key": Case(code=2, job={"limits": {"batchsize": 5}}, says=("limits.batchsize", "limits.batch_size")),
    "unknown key on top": Case(code=2, job={"campain": "x"}, says=("campain", "did you mean campaign")),
    "several wrong types in one message": Case(
        code=2,
        job={"limits": {"batch_size": "many", "concurrency": 0}, "timezone": "Mars/Olympus", "campaign": 7},
        says=("limits.batch_size", "limits.concurrency", "timezone", "campaign", "4 mistakes"),
    ),
    "neither template nor text": Case(code=2, job={"message": {"template_id": None}}, says=("template_id", "text")),
    "a campaign that leaves the directory": Case(code=2, job={"campaign": "../other"}, says=("campaign", "../other")),
    "a time without an offset": Case(
        code=2, job={"schedule": {"send_at": "2026-12-01T09:00"}}, says=("schedule.send_at", "offset")
    ),
    # ---- the list
    "list file missing": Case(code=65, job={"recipients": {"file": "gone.csv"}}, says=("gone.csv", "no such file")),
    "glob without files": Case(
        code=65, job={"recipients": {"file": "part-*.csv"}}, says=("part-*.csv", "no file matches")
    ),
    "empty list": Case(code=65, files={"people.csv": ""}, says=("people.csv", "empty")),
    "header only": Case(code=65, files={"people.csv": "phone,first_name,code\n"}, says=("people.csv", "no rows")),
    "no header": Case(
        code=65, files={"people.csv": "+14155550111,Ada\n+14155550112,Bob\n"}, says=("people.csv", "header")
    ),
    "phone column missing": Case(
        code=65,
        job={"recipients": {"phone": "mobil"}},
        files={"people.csv": "mobile,first_name\n+14155550111,Ada\n"},
        says=("people.csv", "mobil", "'mobile'", "'first_name'", "recipients.phone"),
    ),
    "phone column not to be guessed": Case(
        code=65,
        job={"recipients": {"phone": None}},
        files={"people.csv": "a,b\n+14155550111,Ada\n"},
        says=("people.csv", "recipients.phone", "'a'", "'b'"),
    ),
    "all numbers invalid": Case(
        code=65,
        files={"people.csv": 'phone\n12\nhello\n""\n'},
        says=("3 invalid number", "recipients.phone", "recipients.default_region"),
    ),
    "unreadable encoding": Case(
        code=65,
        files={"people.csv": b"phone,first_name\n+14155550111,Ada\n+14155550112,Ren\xe9\n"},
        says=("people.csv", "UTF-8", "0xe9", "line 3", "recipients.encoding"),
    ),
    "a ragged row that goes over several lines": Case(
        code=65,
        files={"people.csv": PEOPLE + '+14155550113,"Eve\n+14155550114,C-3",surplus,\n'},
        says=("people.csv", "line 4", "4 cells", "several lines"),
    ),
    "a ragged row in a suppression list": Case(
        code=65,
        job={"recipients": {"suppress": ["never.csv"]}},
        files={"never.csv": "phone,since\n+14155550111,2026\n+14155550112\n"},
        says=("never.csv", "line 3", "1 cell"),
    ),
    "--strict and a ragged row": Case(
        code=65,
        args=("run", "job.toml", "--yes", "--strict"),
        files={"people.csv": PEOPLE + "+14155550113,Eve,C-3,surplus\n"},
        says=("1 row", "as many cells as the header", "--strict"),
    ),
    "nothing but ragged rows": Case(
        code=65,
        files={"people.csv": "phone,first_name,code\n+14155550113;Eve;C-3\n"},
        says=("1 malformed row", "cells"),
    ),
    "broken Parquet": Case(
        code=65,
        job={"recipients": {"file": "people.parquet"}},
        files={"people.parquet": b"PAR1 is how it begins, and not how it goes on"},
        says=("people.parquet", "Parquet"),
    ),
    "a spreadsheet": Case(
        code=65,
        job={"recipients": {"file": "people.xlsx"}},
        files={"people.xlsx": b"PK\3\4"},
        says=("people.xlsx", "save it"),
    ),
    "a compressed list that is cut off": Case(
        code=65,
        job={"recipients": {"file": "people.csv.gz"}},
        files={"people.csv.gz": gzip.compress(PEOPLE.encode())[:-5]},
        says=("people.csv.gz", "damaged or cut off", "gzip"),
    ),
    "a list at an address of a kind that nobody knows": Case(
        code=65,
        job={"recipients": {"file": "nowhere://user:secret@host/people.csv"}},
        says=("nowhere://host/people.csv",),
    ),
    "standard input without anything in it": Case(
        code=65,
        args=("send", "-", "--campaign", "c", "--text", "hi", "--yes"),
        says=("standard input is empty", "name the columns"),
    ),
    "suppression list missing": Case(
        code=65, job={"recipients": {"suppress": ["never.csv"]}}, says=("never.csv", "no such file")
    ),
    "placeholder without a column": Case(
        code=2,
        asks=True,
        job={"message": {"template_id": ORDER, "parameters": {"name": "{firstname}", "order_id": "{oder}"}}},
        says=("people.csv", "'firstname'", "did you mean 'first_name'", "'oder'", "'code'", "message.parameters"),
    ),
    "--strict and an invalid number": Case(
        code=65,
        args=("run", "job.toml", "--yes", "--strict"),
        files={"people.csv": PEOPLE + "12,Eve,C-3\n"},
        says=("1 row", "invalid number", "--strict"),
    ),
    # ---- guards
    "more messages than allowed": Case(
        code=5, job={"limits": {"max_messages": 1}}, says=("2 messages", "limits.max_messages")
    ),
    "more cost than allowed": Case(
        code=5, job={"limits": {"max_cost": 0.5, "price_per_message": 0.4}}, says=("0.80", "limits.max_cost")
    ),
    "other recipients than expected": Case(
        code=5,
        args=("run", "job.toml", "--yes", "--expect-recipients", "3"),
        says=("2 recipients", "--expect-recipients", "3"),
    ),
    # ---- the command line
    "unknown option": Case(
        code=2, args=("run", "job.toml", "--expect-recipient", "2"), says=("--expect-recipient", "--expect-recipients")
    ),
    "unknown command": Case(code=2, args=("rum", "job.toml"), says=("'rum'", "did you mean 'run'")),
    "a command without likeness": Case(code=2, args=("xyzzy",), says=("'xyzzy'", "run", "send", "simulate")),
    "no argument": Case(code=2, args=("run",), says=("JOB.toml",)),
    "--simulate and --sandbox": Case(
        code=2, args=("run", "job.toml", "--yes", "--simulate", "--sandbox"), says=("--simulate", "--sandbox")
    ),
    "no terminal and no --yes": Case(code=2, args=("run", "job.toml"), says=("terminal", "--yes")),
    "a date that is none": Case(
        code=2, args=("run", "job.toml", "--yes", "--date", "yesterday"), says=("--date", "2026-12-01")
    ),
    "--extend without a plan": Case(
        code=2, args=("run", "job.toml", "--yes", "--extend"), says=("no plan", "--extend")
    ),
    "--run-dir is a file": Case(
        code=2, args=("run", "job.toml", "--yes", "--run-dir", "people.csv"), says=("people.csv", "--run-dir")
    ),
    "send without a campaign": Case(code=2, args=("send", "people.csv", "--yes"), says=("--campaign",)),
    "send without a message": Case(
        code=2, args=("send", "people.csv", "--campaign", "c", "--yes"), says=("template_id", "text")
    ),
    "send with half a parameter": Case(
        code=2,
        args=("send", "people.csv", "--campaign", "c", "--template-id", ORDER, "--param", "name", "--yes"),
        says=("--param", "NAME=VALUE"),
    ),
    "send on a channel that is none": Case(
        code=2,
        args=("send", "people.csv", "--campaign", "c", "--text", "hi", "--channel", "pigeon", "--yes"),
        says=("pigeon", "sms"),
    ),
    "test to a number that is none": Case(
        code=2, args=("test", "job.toml", "--to", "12"), says=("--to", "country code")
    ),
    "resume nowhere": Case(code=2, args=("resume", "runs/none"), says=("runs/none", "no such run directory")),
    "resume without a plan": Case(code=2, args=("resume", "."), says=("plan.json", "broadcaster run")),
    "status nowhere": Case(code=2, args=("status", "runs/none"), says=("runs/none", "no such run directory")),
    "verify nowhere": Case(code=2, args=("verify", "runs/none"), says=("runs/none", "no such run directory")),
    "manifest nowhere": Case(code=2, args=("manifest", "runs/none"), says=("runs/none", "no such run directory")),
    # ---- the environment
    "no key": Case(code=2, env={"SENT_DM_API_KEY": ""}, says=("SENT_DM_API_KEY", "SENT_DM_API_KEY_FILE", "--simulate")),
    "a key file that is not there": Case(
        code=2,
        env={"SENT_DM_API_KEY": "", "SENT_DM_API_KEY_FILE": "nowhere"},
        says=("SENT_DM_API_KEY_FILE", "cannot be read"),
    ),
    "a key with a line break": Case(
        code=2, env={"SENT_DM_API_KEY": "one\ntwo"}, says=("SENT_DM_API_KEY", "line break")
    ),
    "http to another machine": Case(
        code=2, env={"SENT_BASE_URL": "http://api.example.com"}, says=("SENT_BASE_URL", "https")
    ),
    "an address that is none": Case(
        code=2, env={"SENT_BASE_URL": "api.sent.dm"}, says=("SENT_BASE_URL", "https://api.sent.dm")
    ),
    "a profile that is none": Case(code=2, env={"SENT_PROFILE_ID": "me"}, says=("SENT_PROFILE_ID", "UUID")),
    # ---- the API
    "unknown template": Case(
        code=2,
        asks=True,
        job={"message": {"template_id": "3f2504e0-4f89-41d3-9a0c-0305e82c33ff"}},
        says=("3f2504e0-4f89-41d3-9a0c-0305e82c33ff", "does not know"),
    ),
    "unknown template name": Case(
        code=2, asks=True, job={"message": {"template_id": None, "template_name": "no_such"}}, says=("no_such",)
    ),
    "unapproved template": Case(
        code=2,
        asks=True,
        job={"message": {"template_id": PENDING, "parameters": {"name": "x", "code": "y"}}},
        says=(PENDING, "not approved", "PENDING"),
    ),
    "template variable missing": Case(
        code=2,
        asks=True,
        job={"message": {"template_id": ORDER, "parameters": {"name": "{first_name}"}}},
        says=(ORDER, "order_id"),
    ),
    "nobody listens": Case(
        code=75, asks=True, env={"SENT_BASE_URL": "http://127.0.0.1:9"}, says=("does not answer", "broadcaster resume")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_its_code_a_sentence_and_sends_nothing(cli: Cli, idle: Simulator, name: str) -> None:
    case = CASES[name]
    cli.use(idle)
    cli.write("people.csv", PEOPLE)
    cli.job(**case.job)
    for path, content in case.files.items():
        cli.write(path, content)
    before = len(idle.requests())
    ended = cli(*case.args, env=case.env)
    assert (ended.code, ended.stdout) == (case.code, "")
    assert [word for word in case.says if word not in ended.stderr] == [], ended.stderr
    assert "bug" not in ended.stderr
    received = idle.requests()[before:]
    assert [each["path"] for each in received if each["method"] != "GET"] == []
    assert case.may_ask or received == []
    assert idle.messages() == []


def test_a_wrong_key_is_told_once_and_everybody_stays_pending(cli: Cli, sim: Simulator) -> None:
    cli.people(5)
    cli.job(limits={"batch_size": 1})
    cli.environment["SENT_DM_API_KEY"] = "sk_live_wrong_0d3f"
    ended = cli("run", "job.toml", "--yes")
    assert (ended.code, ended.stdout) == (77, "")
    assert "key" in ended.stderr
    assert [(each["path"], each["status"]) for each in sim.requests()] == [("/v3/me", 401)]
    assert cli.statuses() == {"pending": 5}
    cli.use(sim)
    assert cli("run", "job.toml", "--yes").code == 0  # the right key goes on
    assert len(sim.messages()) == 5


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_on_the_way_stops_the_run_at_the_first_answer(
    cli: Cli, sim: Simulator, status: int
) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [3], "do": "status", "status": status}])
    ended = cli("run", "job.toml", "--yes")
    assert (ended.code, ended.stdout) == (77, "")
    assert [each["status"] for each in sends(sim)] == [202, 202, status]
    assert cli.statuses() == {"accepted": 2, "pending": 4}
    assert cli("resume", "runs/acceptance").code == 0
    assert len(sim.messages()) == 6


def test_a_port_that_is_in_use_is_named(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cli("simulate", "--port", str(port))
    assert (ended.code, ended.stdout) == (2, "")
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "in use" in ended.stderr


def test_an_unknown_option_of_the_simulator_is_refused(cli: Cli) -> None:
    ended = cli("simulate", "--prot", "0")
    assert (ended.code, ended.stdout) == (2, "")
    assert "--prot" in ended.stderr
