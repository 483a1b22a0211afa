"""Which limit a run will have, as its plan says: what somebody chose, what nobody chose, what was learned before."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.plans import make_plan, people

from broadcaster.app.manner import Settings
from broadcaster.app.parts import limit_in_sight
from broadcaster.cli.screen import show_plan
from broadcaster.clock import SystemClock
from broadcaster.core.pacing import Source
from broadcaster.core.words import Mode
from broadcaster.job.model import Limits
from broadcaster.planning.preview import preview
from broadcaster.store.spend import Spend, spend_path

API = "https://api.sent.dm"


def learn(limit: int, *, account: str = "account", address: str = API) -> None:
    with closing(Spend(spend_path(), address=address, clock=SystemClock())) as spend:
        spend.belongs_to(account)
        spend.learn(limit)


def in_sight(
    tmp_path: Path, limits: Limits | None = None, *, mode: Mode = Mode.LIVE, **environ: str
) -> tuple[int, Source]:
    return limit_in_sight(limits or Limits(), mode, environ, state=tmp_path / "simulator.sqlite")


def test_without_anything_learned_it_is_the_jobs_or_the_default(tmp_path: Path) -> None:
    assert in_sight(tmp_path) == (200, Source.DEFAULT)
    assert in_sight(tmp_path, Limits(requests_per_minute=200)) == (200, Source.CONFIGURED)
    assert not spend_path().exists()  # looking leaves nothing behind


def test_what_the_only_account_of_the_address_has_learned_is_in_sight(tmp_path: Path) -> None:
    learn(60)

    assert in_sight(tmp_path) == (60, Source.LEARNED)
    assert in_sight(tmp_path, Limits(requests_per_minute=50)) == (50, Source.CONFIGURED)
    assert in_sight(tmp_path, SENT_BASE_URL="https://elsewhere.example") == (200, Source.DEFAULT)
    assert in_sight(tmp_path, mode=Mode.SIMULATED) == (200, Source.DEFAULT)


def test_with_two_accounts_nobody_knows_whose_limit_it_will_be(tmp_path: Path) -> None:
    learn(60)
    learn(1000, account="other")

    assert in_sight(tmp_path) == (200, Source.DEFAULT)


def test_an_address_that_cannot_be_used_keeps_nobody_from_planning(tmp_path: Path) -> None:
    assert in_sight(tmp_path, SENT_BASE_URL="not an address") == (200, Source.DEFAULT)


@pytest.mark.parametrize("chosen", [True, False])
def test_who_goes_on_with_a_plan_knows_whether_somebody_chose_its_limit(tmp_path: Path, chosen: bool) -> None:  # noqa: FBT001 - a column
    plan = make_plan(tmp_path, people(3), {"limits": {"requests_per_minute": 200} if chosen else {}}, batch_size=7)
    limits = Settings.of(plan.head, preflight=True).limits

    assert (limits.requests_per_minute, limits.batch_size) == (200, 7)
    assert ("requests_per_minute" in limits.model_fields_set) is chosen


BATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "a limit of messages": ({"messages_per_minute": 50}, "(up to 2 recipients each, so that 50 messages a minute are"),
    "a limit that a whole request fits into": ({"messages_per_minute": 100_000}, "(up to 30 recipients each)"),
    "a smaller size was asked for": ({"messages_per_minute": 500, "batch_size": 4}, "(up to 4 recipients each)"),
    "no limit": ({"batch_size": 7}, "(up to 7 recipients each)"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_the_plan_says_why_its_batches_are_small(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    limits, expected = BATCHES[name]
    plan = make_plan(tmp_path, people(30), {"limits": {"batch_size": 1000, **limits}})
    show_plan(preview(plan, requests_per_minute=0, messages_per_minute=limits.get("messages_per_minute", 0)))

    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source.CONFIGURED, "at 60 requests a minute\n"),
        (Source.DEFAULT, "at 60 requests a minute (the default)\n"),
        (Source.LEARNED, "at 60 requests a minute (learned from the API)\n"),
    ],
)
def test_the_plan_says_where_its_limit_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: Source, expected: str
) -> None:
    plan = make_plan(tmp_path, people(30))
    show_plan(preview(plan, requests_per_minute=60, messages_per_minute=0, source=source))

    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "look_ups"),
    [
        pytest.param({}, 2, id="whose key it is, and the template"),
        pytest.param({"template_id": None, "text": "Storm at nine"}, 1, id="a text has no template"),
    ],
)
def test_the_time_counts_the_look_ups(tmp_path: Path, message: dict[str, Any], look_ups: int) -> None:
    plan = make_plan(tmp_path, people(9), {"message": message}, batch_size=1)
    seen = preview(plan, requests_per_minute=6, messages_per_minute=0)

    assert seen.duration_s == pytest.approx((9 + look_ups - 1) * 60.6 / 6)
