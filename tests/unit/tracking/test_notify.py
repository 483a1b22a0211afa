"""What is told at the end of a run, and how: few tries, no redirects, no secrets in what people read."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from support.fiction import numbers
from support.receiver import receiving

from broadcaster.core.values import Tally
from broadcaster.errors import ConfigError, ExitCode
from broadcaster.job.settings import Secret
from broadcaster.tracking.notify import notice, post

AT = "2026-12-01T09:00:00.000Z"
DONE = Tally(accepted=9_000, excluded=12)


def told(
    code: ExitCode, counts: Tally | None = DONE, *, why: str | None = None, run_dir: str = "runs/x"
) -> dict[str, Any]:
    return notice(campaign="x", mode="live", run_dir=Path(run_dir), code=code, at=AT, counts=counts, why=why)


ENDS: dict[str, tuple[ExitCode, Tally | None, str, bool, str | None]] = {
    "all accepted": (ExitCode.DONE, DONE, "finished", True, None),
    "some rejected": (ExitCode.SOME_REJECTED, Tally(accepted=1, rejected=2), "finished", True, "retry-failed"),
    "some in doubt": (ExitCode.SOME_IN_DOUBT, Tally(accepted=1, in_doubt=2), "finished", False, "resolve"),
    "halted": (ExitCode.HALTED, Tally(accepted=1, pending=2), "halted", False, "resume"),
    "stopped with doubt and more to send": (ExitCode.STOPPED, Tally(in_doubt=1, pending=2), "stopped", False, "resume"),
    "the disk refuses": (ExitCode.STORE, None, "stopped", False, "resume"),
    "the key is refused": (ExitCode.REFUSED, Tally(pending=2), "stopped", False, "resume"),
    "it is another's": (ExitCode.FOREIGN, None, "stopped", False, None),
}


@pytest.mark.parametrize(("code", "counts", "event", "complete", "command"), ENDS.values(), ids=ENDS)
def test_a_notice_says_how_it_ended_and_what_to_do(
    code: ExitCode, counts: Tally | None, event: str, command: str | None, *, complete: bool
) -> None:
    found = told(code, counts)
    assert (found["event"], found["complete"], found["exit_code"]) == (event, complete, int(code))
    assert found["what_to_do"] == (f"broadcaster {command} runs/x" if command else None)
    assert found["text"].startswith(f"Campaign x {event}: ")


def test_a_notice_has_these_members_and_one_line_for_people() -> None:
    found = told(ExitCode.HALTED, Tally(accepted=9_000, rejected=12, pending=3), why="12 were rejected.")
    assert found == {
        "text": "Campaign x halted: 3 pending, 9,000 accepted, 12 rejected. 12 were rejected. "
        "To do: broadcaster resume runs/x",
        "version": 1,
        "event": "halted",
        "at": AT,
        "campaign": "x",
        "mode": "live",
        "run": "x",
        "exit_code": 5,
        "complete": False,
        "deliveries": {"pending": 3, "accepted": 9_000, "rejected": 12, "excluded": 0, "in_doubt": 0},
        "why": "12 were rejected.",
        "what_to_do": "broadcaster resume runs/x",
    }


def test_a_notice_hides_numbers_and_quotes_directories() -> None:
    (number,) = numbers(1)
    found = told(ExitCode.STOPPED, why=f"{number} or {number[1:]} is not right", run_dir="my runs/x")
    assert number[1:] not in json.dumps(found)
    assert found["why"].endswith("is not right")
    assert found["what_to_do"] == "broadcaster resume 'my runs/x'"


NOTICE = told(ExitCode.DONE)
AT_ONCE = (0.0, 0.0, 0.0)


async def test_it_is_told_once_where_it_is_taken() -> None:
    with receiving() as endpoint:
        assert await post(endpoint.url, NOTICE) is None
        (delivery,) = endpoint.arrived()
    assert delivery.json == NOTICE
    assert delivery.headers["content-type"] == "application/json"
    assert not [name for name in delivery.headers if name.startswith("webhook-")]


ANSWERS: dict[str, tuple[list[int], int, str | None]] = {
    "a failure that passes": ([500, 200], 2, None),
    "too many requests, then not": ([429, 204], 2, None),
    "failures that stay": ([503, 503, 503], 3, "it answered 503; tried 3 times"),
    "a refusal": ([404], 1, "it answered 404"),
    "a redirect": ([302], 1, "it answered 302, and redirects are not followed"),
}


@pytest.mark.parametrize(("answers", "tries", "why"), ANSWERS.values(), ids=ANSWERS)
async def test_what_may_pass_is_tried_again_and_nothing_else(answers: list[int], tries: int, why: str | None) -> None:
    with receiving(lambda number: answers[number - 1]) as endpoint:
        said = await post(f"{endpoint.url}/s3cret?key=s3cret", NOTICE, pauses_s=AT_ONCE)
        assert len(endpoint.arrived()) == tries
    assert said == (f"127.0.0.1 was not told how the run ended: {why}" if why else None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://someone:s3cret@127.0.0.1:9/s3cret", "connection refused"),
        ("https://does-not-exist.invalid/s3cret?key=s3cret", "name not found"),
    ],
)
async def test_an_address_that_nobody_listens_on_is_named_by_its_host_only(url: str, why: str) -> None:
    said = await post(url, NOTICE, pauses_s=AT_ONCE)
    assert said is not None
    assert said.endswith(f"was not told how the run ended: {why}; tried 3 times")
    assert "s3cret" not in said


async def test_an_endpoint_that_never_answers_is_given_up() -> None:
    import threading

    over = threading.Event()

    def hang(number: int) -> int:
        over.wait(30)
        return 200 + 0 * number

    with receiving(hang) as endpoint:
        said = await post(endpoint.url, NOTICE, pauses_s=(0.0,), timeout_s=0.05)
        over.set()
    assert said == "127.0.0.1 was not told how the run ended: timeout"


async def test_a_signed_notice_is_believed_by_the_standard_library_and_keeps_its_id() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    with receiving(lambda number: 503 if number == 1 else 200) as endpoint:
        assert await post(endpoint.url, NOTICE, secret=Secret(secret), pauses_s=AT_ONCE) is None
        first, second = endpoint.arrived()
    assert Webhook(secret).verify(second.body.decode(), dict(second.headers)) == NOTICE
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    with pytest.raises(ConfigError):
        await post(endpoint.url, NOTICE, secret=Secret("whsec_short"), pauses_s=AT_ONCE)
