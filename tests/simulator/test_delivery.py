"""What becomes of messages, seen from outside: reads, activities, cancelling, sending again, holds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.fiction import numbers
from support.sends import ANN, BOB, SEND, notice, rows
from support.simulator import Reply, Simulator

AT_ONCE = 1e9  # a life takes no time
NOBODY = "00000000-0000-7000-8000-000000000000"


def ahead(minutes: float) -> str:
    return (datetime.now(tz=UTC) + timedelta(minutes=minutes)).isoformat()


def sent(sim: Simulator, **changes: Any) -> str:
    """Send one message and return its id."""
    reply = sim.call("POST", SEND, notice(channel=["sms"], **changes))
    return str(rows(reply.body)[0]["message_id"])


def read(sim: Simulator, message: str) -> Any:
    return sim.call("GET", f"/v3/messages/{message}").json["data"]


def act(sim: Simulator, message: str, what: str, key: str | None = None) -> Reply:
    return sim.call("POST", f"/v3/messages/{message}/{what}", idempotency_key=key)


def test_a_message_is_delivered_in_time() -> None:
    with Simulator(lifecycle_speed=AT_ONCE) as sim:
        data = read(sim, sent(sim))
        assert data["status"] == "DELIVERED"
        assert [event["status"] for event in data["events"]] == ["QUEUED", "PROCESSED", "ROUTED", "SENT", "DELIVERED"]
        assert "reason_code" not in data
        assert "scheduled_at" not in data


def test_a_failure_tells_its_reason_wherever_it_is_shown() -> None:
    with Simulator(lifecycle_speed=AT_ONCE, failed_share=1) as sim:
        message = sent(sim)
        data = read(sim, message)
        assert (data["status"], data["reason_code"]) == ("FAILED", "DELIVERY_003")
        newest = sim.call("GET", f"/v3/messages/{message}/activities").json["data"]["activities"][0]
        for shown in (data["events"][-1], newest):
            assert {name: shown[name] for name in ("reason_code", "reason")} == {
                name: data[name] for name in ("reason_code", "reason")
            }


def test_the_same_person_meets_the_same_fate_in_every_run() -> None:
    ends = []
    for _ in range(2):
        with Simulator(lifecycle_speed=AT_ONCE, failed_share=0.5, seed=3) as sim:
            reply = sim.call("POST", SEND, notice(*numbers(40), channel=["sms"]))
            ends.append([read(sim, row["message_id"])["status"] for row in rows(reply.body)])
    assert ends[0] == ends[1]
    assert set(ends[0]) == {"DELIVERED", "FAILED"}


def test_the_read_shows_the_channel_that_the_api_picked() -> None:
    with Simulator(lifecycle_speed=AT_ONCE) as sim:
        reply = sim.call("POST", SEND, notice())
        assert read(sim, rows(reply.body)[0]["message_id"])["channel"] in {"sms", "whatsapp", "rcs"}


def test_activities_come_newest_first_and_by_page() -> None:
    with Simulator(lifecycle_speed=AT_ONCE) as sim:
        message = sent(sim)
        data = sim.call("GET", f"/v3/messages/{message}/activities").json["data"]
        assert data["message_id"] == message
        everything = [activity["status"] for activity in data["activities"]]
        assert everything == ["DELIVERED", "SENT", "ROUTED", "PROCESSED", "QUEUED"]
        second = sim.call("GET", f"/v3/messages/{message}/activities?page=2&page_size=2").json["data"]
        assert [activity["status"] for activity in second["activities"]] == everything[2:4]
        assert second["pagination"]["total_count"] == 5
        assert (data["activities"][0]["price"], data["activities"][0]["from"]) == ("0.0000", "+14155550100")


@pytest.mark.parametrize("what", ["activities", "cancel", "resend"])
@pytest.mark.parametrize(("message", "status", "code"), [(NOBODY, 404, "RESOURCE_003"), ("7", 400, "VALIDATION_001")])
def test_a_message_that_is_not_there(sim: Simulator, what: str, message: str, status: int, code: str) -> None:
    reply = sim.call("GET" if what == "activities" else "POST", f"/v3/messages/{message}/{what}")
    assert (reply.status, reply.code) == (status, code)


def test_a_held_message_can_be_cancelled_and_cancelled_again(sim: Simulator) -> None:
    later = ahead(minutes=30)
    message = sent(sim, scheduled_at=later)
    first, again = act(sim, message, "cancel"), act(sim, message, "cancel")
    assert (first.status, again.status) == (200, 200)
    assert first.json["data"] == again.json["data"] == read(sim, message)
    data = first.json["data"]
    assert data["status"] == "CANCELLED"
    assert [event["status"] for event in data["events"]] == ["QUEUED", "SCHEDULED", "CANCELLED"]
    assert datetime.fromisoformat(data["scheduled_at"]) == datetime.fromisoformat(later)
    assert act(sim, message, "resend").code == "BUSINESS_006"


@pytest.mark.parametrize("speed", [0, AT_ONCE])
def test_what_is_not_held_cannot_be_cancelled(speed: float) -> None:
    with Simulator(lifecycle_speed=speed) as sim:
        message = sent(sim)
        reply = act(sim, message, "cancel")
        assert (reply.status, reply.code) == (400, "BUSINESS_006")
        assert read(sim, message)["status"] != "CANCELLED"


def test_a_released_message_cannot_be_cancelled() -> None:
    with Simulator(lifecycle_speed=AT_ONCE) as sim:
        message = sent(sim, scheduled_at=ahead(minutes=30))
        assert act(sim, message, "cancel").code == "BUSINESS_006"
        statuses = [event["status"] for event in read(sim, message)["events"]]
        assert statuses == ["QUEUED", "SCHEDULED", "PROCESSED", "ROUTED", "SENT", "DELIVERED"]


def test_cancelling_takes_an_idempotency_key(sim: Simulator) -> None:
    message = sent(sim, scheduled_at=ahead(minutes=30))
    first, again = act(sim, message, "cancel", "off-1"), act(sim, message, "cancel", "off-1")
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"


def test_cancelling_outlives_a_restart() -> None:
    with Simulator() as sim:
        message = sent(sim, scheduled_at=ahead(minutes=30))
        before = act(sim, message, "cancel").json["data"]
        sim.kill()
        with Simulator(sim.state) as restarted:
            assert read(restarted, message) == before


def test_held_messages_are_limited_and_cancelling_makes_room() -> None:
    with Simulator(held_limit=2) as sim:
        body = notice(ANN, BOB, channel=["sms"], scheduled_at=ahead(minutes=30))
        held = rows(sim.call("POST", SEND, body).body)
        refused = sim.call("POST", SEND, notice(scheduled_at=ahead(minutes=30)), idempotency_key="held-1")
        assert (refused.status, refused.code) == (429, "LIMIT_001")
        assert len(sim.messages()) == 2
        assert sim.call("POST", SEND, notice()).status == 202  # the limit is for held ones
        act(sim, held[0]["message_id"], "cancel")
        assert sim.call("POST", SEND, notice(scheduled_at=ahead(minutes=30)), idempotency_key="held-1").status == 202


def test_messages_wait_in_the_quiet_hours_and_can_be_cancelled_there() -> None:
    around = [(datetime.now(tz=UTC) + timedelta(hours=hours)).strftime("%H:%M") for hours in (-2, 2)]
    with Simulator(quiet_hours=["+1=" + "-".join(around)]) as sim:
        american, british = sent(sim), sent(sim, to=["+447700900123"])
        data = read(sim, american)
        assert [event["status"] for event in data["events"]] == ["QUEUED", "SCHEDULED"]
        assert (
            timedelta(hours=1, minutes=58)
            < datetime.fromisoformat(data["scheduled_at"]) - datetime.now(tz=UTC)
            <= timedelta(hours=2)
        )
        assert "SCHEDULED" not in [event["status"] for event in read(sim, british)["events"]]
        assert act(sim, american, "cancel").json["data"]["status"] == "CANCELLED"


def test_a_failed_message_can_be_sent_again_under_its_id() -> None:
    with Simulator(lifecycle_speed=AT_ONCE, failed_share=0.5) as sim:
        reply = sim.call("POST", SEND, notice(*numbers(20), channel=["sms"]))
        before = [read(sim, row["message_id"]) for row in rows(reply.body)]
        failed = [data for data in before if data["status"] == "FAILED"]
        assert {act(sim, data["id"], "resend").status for data in failed} == {202}
        after = [read(sim, data["id"]) for data in failed]
        assert {data["status"] for data in after} == {"DELIVERED", "FAILED"}  # the chance is a new one
        for then, now in zip(failed, after, strict=True):
            events, more = now["events"][: len(then["events"])], now["events"][len(then["events"]) :]
            assert (events, more[0]["status"]) == (then["events"], "QUEUED")
        assert len(sim.messages()) == 20


def test_a_message_under_way_cannot_be_sent_again(sim: Simulator) -> None:
    assert act(sim, sent(sim), "resend").code == "BUSINESS_006"
