"""What becomes of a message: the course as a function of the message, the seed and the rules."""

from datetime import UTC, datetime, timedelta

import pytest
from support.fiction import numbers
from support.sends import ANN

from broadcaster.simulator.lifecycle import NEVER_US, US, Change, Facts, Lifecycle, course, reached
from broadcaster.simulator.quiet import QuietError, parse_quiet_hours, quiet_until

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
BEGUN_US = int(NOON.timestamp()) * US
ROUTES = ("sms", "whatsapp", "rcs")
TO = numbers(400)


def at_us(moment: datetime) -> int:
    return int(moment.timestamp() * US)


def facts(
    *,
    to: str = ANN,
    channel: str = "sms",
    verdict: str = "QUEUED",
    reason_code: str | None = None,
    begun_us: int = BEGUN_US,
    scheduled_us: int | None = None,
    release_us: int | None = None,
    cancelled_us: int | None = None,
    attempt: int = 1,
    earlier: tuple[Change, ...] = (),
) -> Facts:
    return Facts(
        recipient=to,
        channel=channel,
        routes=ROUTES,
        begun_us=begun_us,
        verdict=verdict,
        reason_code=reason_code,
        scheduled_us=scheduled_us,
        release_us=release_us,
        cancelled_us=cancelled_us,
        attempt=attempt,
        earlier=earlier,
    )


def statuses(changes: tuple[Change, ...]) -> list[str]:
    return [change.status for change in changes]


def test_a_message_travels_from_the_queue_to_the_phone() -> None:
    changes = course(facts(), Lifecycle())
    assert statuses(changes) == ["QUEUED", "PROCESSED", "ROUTED", "SENT", "DELIVERED"]
    moments = [change.at_us for change in changes]
    assert moments[0] == BEGUN_US
    assert moments == sorted(set(moments))
    assert {change.channel for change in changes} == {"sms"}


def test_the_same_message_has_the_same_course_and_another_seed_another() -> None:
    world = Lifecycle(seed=7, failed_share=0.3)
    assert course(facts(), world) == course(facts(), world)
    courses = {seed: [course(facts(to=to), Lifecycle(seed=seed, failed_share=0.3)) for to in TO] for seed in (7, 8)}
    assert courses[7] != courses[8]


def test_twice_the_speed_takes_half_the_time() -> None:
    slow, fast = course(facts(), Lifecycle()), course(facts(), Lifecycle(speed=2))
    for one, other in zip(slow, fast, strict=True):
        assert (one.at_us - BEGUN_US) // 2 == pytest.approx(other.at_us - BEGUN_US, abs=len(slow))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(facts(), ["QUEUED"], id="a message in the queue"),
        pytest.param(
            facts(scheduled_us=BEGUN_US + US, release_us=NEVER_US), ["QUEUED", "SCHEDULED"], id="a message that is held"
        ),
        pytest.param(facts(verdict="BLOCKED"), ["QUEUED", "BLOCKED"], id="a message that never had a chance"),
    ],
)
def test_at_speed_zero_nothing_ever_happens(asked: Facts, expected: list[str]) -> None:
    assert statuses(course(asked, Lifecycle(speed=0))) == expected


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_failed_share_is_that_of_the_messages(share: float) -> None:
    ends = [statuses(course(facts(to=to), Lifecycle(failed_share=share)))[-1] for to in TO]
    assert ends.count("FAILED") / len(TO) == pytest.approx(share, abs=0.07)
    assert set(ends) <= {"FAILED", "DELIVERED"}


def test_a_failure_says_why() -> None:
    lasts = [course(facts(to=to, channel="whatsapp"), Lifecycle(failed_share=1))[-1] for to in TO]
    assert {change.reason_code for change in lasts} == {"DELIVERY_003", "DELIVERY_007"}


@pytest.mark.parametrize(("channel", "reads"), [("sms", False), ("mms", False), ("whatsapp", True), ("rcs", True)])
def test_only_whatsapp_and_rcs_tell_that_a_message_was_read(channel: str, *, reads: bool) -> None:
    changes = course(facts(channel=channel), Lifecycle(read_share=1))
    assert ("READ" in statuses(changes)) is reads


def test_under_auto_the_channel_is_known_from_the_routing_on() -> None:
    changes = course(facts(channel="auto"), Lifecycle(read_share=0))
    assert [change.channel is None for change in changes] == [True, True, False, False, False]
    picked = {course(facts(to=to, channel="auto"), Lifecycle())[-1].channel for to in TO}
    assert picked == set(ROUTES)


def test_under_auto_a_failure_is_superseded_on_another_channel() -> None:
    world = Lifecycle(failed_share=0.5, reroute_share=1, read_share=0)
    superseded = 0
    for to in TO:
        changes = course(facts(to=to, channel="auto"), world)
        if "FAILED" not in statuses(changes)[:-1]:
            continue
        at = statuses(changes).index("FAILED")
        assert statuses(changes)[at + 1 : at + 3] == ["QUEUED", "ROUTED"]
        assert changes[at + 2].channel != changes[at].channel
        superseded += 1
    assert superseded / len(TO) == pytest.approx(0.5, abs=0.08)


def test_an_explicit_channel_is_never_rerouted() -> None:
    world = Lifecycle(failed_share=1, reroute_share=1)
    assert all(statuses(course(facts(to=to), world)).count("FAILED") == 1 for to in TO)


def test_what_an_account_may_not_send_ends_at_once_with_the_reason() -> None:
    changes = course(facts(verdict="BLOCKED", reason_code="BUSINESS_003"), Lifecycle())
    assert [(change.status, change.at_us, change.reason_code) for change in changes] == [
        ("QUEUED", BEGUN_US, None),
        ("BLOCKED", BEGUN_US, "BUSINESS_003"),
    ]


def test_a_held_message_leaves_when_it_is_released_and_is_judged_then() -> None:
    later = BEGUN_US + 3600 * US
    held = course(facts(scheduled_us=later, release_us=later), Lifecycle())
    assert statuses(held)[:3] == ["QUEUED", "SCHEDULED", "PROCESSED"]
    assert (held[1].at_us, held[1].scheduled_us) == (BEGUN_US, later)
    assert held[2].at_us > later
    blocked = course(facts(scheduled_us=later, release_us=later, verdict="BLOCKED"), Lifecycle())
    assert [(change.status, change.at_us) for change in blocked][1:] == [("SCHEDULED", BEGUN_US), ("BLOCKED", later)]


def test_a_cancelled_message_keeps_the_moment_that_was_called_off() -> None:
    later = BEGUN_US + 3600 * US
    changes = course(
        facts(scheduled_us=later, release_us=later, cancelled_us=BEGUN_US + US, verdict="CANCELLED"), Lifecycle()
    )
    assert statuses(changes) == ["QUEUED", "SCHEDULED", "CANCELLED"]
    assert (changes[-1].at_us, changes[-1].scheduled_us) == (BEGUN_US + US, later)


def test_another_attempt_follows_what_was_before_and_draws_anew() -> None:
    world = Lifecycle(failed_share=0.5)
    first = [course(facts(to=to), world) for to in TO]
    again = [course(facts(to=to, attempt=2, earlier=before), world) for to, before in zip(TO, first, strict=True)]
    assert all(both[: len(before)] == before for both, before in zip(again, first, strict=True))
    assert {(before[-1].status, both[-1].status) for both, before in zip(again, first, strict=True)} == {
        ("FAILED", "FAILED"), ("FAILED", "DELIVERED"), ("DELIVERED", "FAILED"), ("DELIVERED", "DELIVERED"),
    }  # fmt: skip


def test_what_has_been_reached_grows_with_time() -> None:
    changes = course(facts(), Lifecycle())
    assert reached(changes, now_us=0) == changes[:1]
    for n, change in enumerate(changes):
        assert reached(changes, now_us=change.at_us) == changes[: n + 1]


NIGHT = parse_quiet_hours("21:00-08:00")
NEW_YORK = parse_quiet_hours("+1=21:00-08:00-05:00")


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        pytest.param(NOON, None, id="at noon"),
        pytest.param(NOON.replace(hour=20, minute=59), None, id="a minute before"),
        pytest.param(NOON.replace(hour=21), NOON.replace(hour=8) + timedelta(days=1), id="as they begin"),
        pytest.param(NOON.replace(hour=3), NOON.replace(hour=8), id="after midnight"),
        pytest.param(NOON.replace(hour=8), None, id="as they end"),
    ],
)
def test_quiet_hours_reach_over_midnight(moment: datetime, until: datetime | None) -> None:
    assert quiet_until(ANN, at_us(moment), [NIGHT]) == (None if until is None else at_us(until))


def test_quiet_hours_go_by_the_clock_of_the_longest_prefix() -> None:
    early = NOON.replace(hour=4)  # 23:00 in New York, 04:00 in London
    assert quiet_until("+14155550100", at_us(early), [NIGHT, NEW_YORK]) == at_us(NOON.replace(hour=13))
    assert quiet_until("+447700900123", at_us(early), [NIGHT, NEW_YORK]) == at_us(NOON.replace(hour=8))
    assert quiet_until("+447700900123", at_us(early), [NEW_YORK]) is None


def test_quiet_hours_of_one_day_do_not_touch_the_night() -> None:
    siesta = parse_quiet_hours("13:00-15:30")
    assert quiet_until(ANN, at_us(NOON.replace(hour=14)), [siesta]) == at_us(NOON.replace(hour=15, minute=30))
    assert quiet_until(ANN, at_us(NOON.replace(hour=16)), [siesta]) is None


@pytest.mark.parametrize("text", ["", "21-8", "25:00-08:00", "08:00-08:00", "1=21:00-08:00", "21:00-08:00 UTC"])
def test_a_text_that_names_no_hours_is_refused(text: str) -> None:
    with pytest.raises(QuietError):
        parse_quiet_hours(text)


def test_a_message_in_the_quiet_hours_is_held_until_they_end() -> None:
    begun, morning = NOON.replace(hour=22), NOON.replace(hour=8) + timedelta(days=1)
    changes = course(facts(begun_us=at_us(begun)), Lifecycle(quiet=(NIGHT,)))
    assert statuses(changes)[:3] == ["QUEUED", "SCHEDULED", "PROCESSED"]
    assert (changes[1].at_us, changes[1].scheduled_us) == (at_us(begun), at_us(morning))
    assert changes[2].at_us > at_us(morning)


def test_a_scheduled_message_that_is_released_in_the_quiet_hours_is_moved() -> None:
    release = at_us(NOON.replace(hour=23))
    changes = course(facts(scheduled_us=release, release_us=release), Lifecycle(quiet=(NIGHT,)))
    held = [change for change in changes if change.status == "SCHEDULED"]
    assert [change.at_us for change in held] == [BEGUN_US, release]
    assert held[1].scheduled_us == at_us(NOON.replace(hour=8) + timedelta(days=1))
    assert held[0].schedule_reason != held[1].schedule_reason
