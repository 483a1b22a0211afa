"""The corner-case table of the send protocol, row by row: what the API does, and what must follow.

One launch each; some are finished by a second one. Rows that need more of a story are in
``test_corner_stories.py``, those that were there before in ``test_faults.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.cli import KEY, Cli, numbers
from support.proof import RUN, answer, campaign, error, prove, run
from support.simulator import Simulator, Stretch

_SEND = "POST /v3/messages"
_TO = numbers(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """A row of the table, for six people in batches of two, sent one after the other.

    ``finished``: ``resume`` goes on once the API is well again, and everybody has it once.
    """

    second: dict[str, Any]  # the fault of the second request
    code: int
    statuses: dict[str, int]
    says: tuple[str, ...] = ()
    reason: str | None = None  # of everybody who is rejected or in doubt
    requests: int = 2
    first: dict[str, Any] | None = None  # the fault of the first request
    job: dict[str, Any] = field(default_factory=dict)
    invented_ids: bool = False
    finished: bool = False


def _refused(status: int, code: str | None = None, details: object = None) -> dict[str, Any]:
    body = "" if code is None else error(code, details)
    return {"do": "status", "status": status, "body": body}


def _accepted_but(body: str) -> dict[str, Any]:
    return {"do": "status_after_accept", "status": 202, "body": body}


_STOPPED = {"accepted": 2, "pending": 4}
_DOUBT = {"accepted": 2, "in_doubt": 2, "pending": 2}
_ON = "broadcaster resume runs/here"
_SHORT = {"safety": {"give_up_after": "200ms"}}
_TEMPLATE = {"template.parameters.name": ["is required by the template"]}

TABLE: dict[str, Corner] = {
    # 202, `to` set is not ours
    "202 about two numbers that nobody asked for": Corner(
        second=_accepted_but(answer([("+14155550188", "m-1"), ("+14155550189", "m-2")])),
        code=5, statuses=_DOUBT, reason="foreign",
        says=("not asked for", _ON), finished=True,
    ),
    # 202, fewer entries than asked
    "202, one of two channels is missing for somebody": Corner(
        second={"do": "omit_rows", "rows": 1}, job={"message": {"channels": ["sms", "whatsapp"]}},
        code=4, statuses={"accepted": 11, "in_doubt": 1}, reason="missing_in_answer", requests=3,
    ),
    # 202, server rewrote a number
    "202 in another order, one number punctuated and one rewritten": Corner(
        second=_accepted_but(answer([("+525550000001", "m-3"), (f"{_TO[2][:2]} ({_TO[2][2:5]}) {_TO[2][5:]}", "m-2")])),
        code=0, statuses={"accepted": 6}, requests=3, invented_ids=True,
    ),
    # 409 CONFLICT_005 / 422 "other payload"
    "422 without a code: the key has another payload": Corner(
        second=_refused(422), code=5, statuses=_STOPPED, says=("idempotency key", _ON),
    ),
    "409 CONFLICT_005 after an unresolved attempt": Corner(
        first={"do": "drop_after_accept"}, second=_refused(409, "CONFLICT_005"),
        code=5, statuses={"in_doubt": 2, "pending": 4}, reason="CONFLICT_005", says=("idempotency key",),
    ),
    # 400 about what all share
    "400 about the template is never bisected": Corner(
        second=_refused(400, "VALIDATION_004", _TEMPLATE), code=2, statuses=_STOPPED, says=("template", _ON),
    ),
    "400 about the channel is never bisected": Corner(
        second=_refused(400, "VALIDATION_006", {"channel": ["must be one of sms, whatsapp"]}),
        code=2, statuses=_STOPPED, says=("whoever it is for", _ON),
    ),
    "400 about a parameter's value refuses its batch alone": Corner(
        second=_refused(400, "VALIDATION_008", {"template.parameters.name": ["must not contain tabs"]}),
        code=3, statuses={"accepted": 4, "rejected": 2}, reason="VALIDATION_008", requests=3,
    ),
    # any 4xx but 409 and 429 after an unresolved attempt
    "400 naming somebody after an unresolved attempt": Corner(
        first={"do": "drop_after_accept"}, second=_refused(400, "VALIDATION_002", {"to[0]": ["is not valid"]}),
        code=4, statuses={"in_doubt": 2, "accepted": 4}, reason="VALIDATION_002", requests=4, finished=True,
    ),
    "400 naming nobody after an unresolved attempt": Corner(
        first={"do": "drop_before"}, second=_refused(400, "VALIDATION_002"),
        code=4, statuses={"in_doubt": 2, "accepted": 4}, reason="VALIDATION_002", requests=4,
    ),
    "401 after an unresolved attempt": Corner(
        first={"do": "drop_after_accept"}, second=_refused(401, "AUTH_002"),
        code=77, statuses={"in_doubt": 2, "pending": 4}, reason="AUTH_002", says=("key", _ON),
    ),
    # 401/403
    "403 for an account that is not activated": Corner(
        second=_refused(403, "AUTH_005"), code=77, statuses=_STOPPED, says=("account", _ON),
    ),
    "401 without a body": Corner(second=_refused(401), code=77, statuses=_STOPPED, says=("key",)),
    # 402/404/BUSINESS_* request-level
    "400 BUSINESS_008: over quota": Corner(
        second=_refused(400, "BUSINESS_008"), code=5, statuses=_STOPPED, says=("quota", _ON),
    ),
    "404 for the profile": Corner(second=_refused(404, "RESOURCE_014"), code=77, statuses=_STOPPED, says=("account",)),
    # 429
    "429 LIMIT_001: a million held messages": Corner(
        second={**_refused(429, "LIMIT_001"), "retry_after": 600}, code=5, statuses=_STOPPED,
        says=("scheduled messages", _ON),
    ),
    # 5xx
    "503 SERVICE_001 for too long: nothing was done": Corner(
        second={**_refused(503, "SERVICE_001"), "nth": [2, 3, 4, 5, 6, 7, 8]}, job=_SHORT, code=75, statuses=_STOPPED,
        says=("has not answered", _ON), requests=3,
    ),
    "503 of another kind for too long: who knows": Corner(
        second={**_refused(503, "INTERNAL_005"), "nth": [2, 3, 4, 5, 6, 7, 8]}, job=_SHORT, code=75, statuses=_DOUBT,
        reason="INTERNAL_005", says=("has not answered", _ON), requests=3, finished=True,
    ),
    # Response > 5 MB
    "an answer so long that the next may not be remembered": Corner(
        first={"do": "bloat", "size": 4_200_000}, second={"do": "drop_before"},
        code=5, statuses=_STOPPED, says=("message.body_length", "limits.batch_size", _ON), requests=1,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    """The one simulator of this module."""
    with Simulator(key=KEY) as simulator:
        yield simulator


@pytest.fixture
def here(cli: Cli, api: Simulator) -> Stretch:
    """What the simulator, well again, hears from this test."""
    cli.use(api)
    api.set_faults([])
    return api.from_here()


@pytest.mark.parametrize("name", TABLE)
def test_the_corner_case(cli: Cli, here: Stretch, name: str) -> None:
    row = TABLE[name]
    assert cli.people(6) == _TO
    cli.job(**{"campaign": campaign(), "limits": {"batch_size": 2, "concurrency": 1}, **row.job})
    second = {"on": _SEND, "nth": [2], **row.second}
    here.simulator.set_faults([second, *([{"on": _SEND, "nth": [1], **row.first}] if row.first else [])])
    ended = run(cli)
    assert (ended.code, ended.stdout) == (row.code, ""), ended.stderr
    assert [word for word in row.says if word not in ended.stderr] == [], ended.stderr
    assert cli.statuses(RUN) == row.statuses
    open_ended = [each for each in cli.manifest(RUN) if each["status"] in {"rejected", "in_doubt"}]
    assert {each["reason"] for each in open_ended} <= {row.reason}
    assert all(each["error"] for each in open_ended)
    assert len(here.sends()) == row.requests
    prove(cli, here, invented_ids=row.invented_ids)
    if row.finished:
        here.simulator.set_faults([])
        again = cli("resume", RUN)
        assert again.code == 0, again.stderr
        prove(cli, here)
        assert cli.statuses(RUN) == {"accepted": 6}
        assert len(here.messages()) == 6
