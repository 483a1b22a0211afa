"""Webhooks delivered: signed, retried, doubled, out of order, given up; judged by the library of Standard Webhooks."""

import base64
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Judge
from standardwebhooks import WebhookVerificationError
from support.fiction import numbers
from support.receiver import Delivery, Receiver, receiving
from support.sends import ANN, BOB, NOTICE, SEND, notice
from support.simulator import PATIENCE_S, Simulator

from broadcaster.simulator.webhooks.rules import WebhookRules
from broadcaster.simulator.webhooks.signing import new_secret, sign

HOOKS = "/v3/webhooks"
FAST = 200.0  # a message's life takes some 30 ms
ALL = ["message.queued", "message.routed", "message.sent", "message.delivered"]


def subscribe(sim: Simulator, receiver: Receiver, **changes: Any) -> dict[str, Any]:
    reply = sim.call("POST", HOOKS, {"display_name": "x", "endpoint_url": receiver.url, **changes})
    assert reply.status == 201, reply.body
    data: dict[str, Any] = reply.json["data"]
    return data


def judged(delivery: Delivery, secret: str) -> Any:
    """The event, if the library accepts its signature: it calls the headers by the standard's names."""
    headers = {name.replace("x-webhook-", "webhook-"): value for name, value in delivery.headers.items()}
    return Judge(secret).verify(delivery.body, headers)


def log(sim: Simulator, hook: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = sim.call("GET", f"{HOOKS}/{hook['id']}/events?page_size=100").json["data"]["events"]
    return events


def shown(sim: Simulator, hook: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = sim.call("GET", f"{HOOKS}/{hook['id']}").json["data"]
    return data


def settled(sim: Simulator, hook: dict[str, Any], **expected: Any) -> list[dict[str, Any]]:
    """The log, once every event in it has the *expected* fields: an endpoint hears of an event before the log does."""
    until = time.monotonic() + PATIENCE_S
    while not (events := log(sim, hook)) or any({**event, **expected} != event for event in events):
        assert time.monotonic() < until, events
    return events


def test_the_fact_sheets_vector_is_signed_as_it_says() -> None:
    body = (
        b'{"field":"message","event":"message.delivered","payload":{"message_id":"m-1","message_status":"DELIVERED"}}'
    )
    assert len(body) == 107
    signature = sign(
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        webhook_id="3f0c2a52-0000-4000-8000-000000000001",
        timestamp=1780000000,
        body=body,
    )
    assert signature == "v1,9oqSJg9oDFccKnSfMIwrbnE+e03WkgLNcVJE+U0XX9o="


def test_every_secret_is_a_new_key_of_32_bytes() -> None:
    secrets = {new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in secrets} == {32}


def test_every_change_of_a_message_is_delivered_signed() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=FAST, read_share=0) as sim:
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN, BOB, channel=["sms"]))
        deliveries = receiver.arrived(8)
        ids = {row["message_id"] for row in sim.messages()}
        seen: dict[str, list[str]] = {}
        for delivery in deliveries:
            event = judged(delivery, hook["signing_secret"])
            headers = delivery.headers
            assert headers["content-type"] == "application/json"
            assert headers["x-webhook-id"] == hook["id"]
            assert headers["x-webhook-event-type"] == event["event"]
            assert headers["x-webhook-timestamp"].isdigit()
            assert (event["field"], event["event"]) == (
                "message",
                f"message.{event['payload']['message_status'].lower()}",
            )
            seen.setdefault(event["payload"]["message_id"], []).append(event["event"])
        assert set(seen) == ids
        assert [sorted(names) for names in seen.values()] == [sorted(ALL)] * 2
        assert len({delivery.event_id for delivery in deliveries}) == 8
        assert settled(sim, hook, delivery_status="DELIVERED", delivery_attempts=1, http_status_code=200)
        assert shown(sim, hook)["last_successful_delivery_at"] is not None


def test_a_changed_byte_or_another_secret_does_not_verify() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=FAST) as sim:
        hook = subscribe(sim, receiver)
        sim.call("POST", f"{HOOKS}/{hook['id']}/test", {})
        (delivery,) = receiver.arrived(1)
        judged(delivery, hook["signing_secret"])
        with pytest.raises(WebhookVerificationError):
            judged(Delivery(headers=delivery.headers, body=delivery.body + b" "), hook["signing_secret"])
        rotated = sim.call("POST", f"{HOOKS}/{hook['id']}/rotate-secret").json["data"]["signing_secret"]
        sim.call("POST", f"{HOOKS}/{hook['id']}/test", {})
        after = receiver.arrived(2)[1]
        judged(after, rotated)
        with pytest.raises(WebhookVerificationError):
            judged(after, hook["signing_secret"])


def test_only_what_is_wanted_is_delivered() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=FAST, read_share=0) as sim:
        subscribe(sim, receiver, event_types=["message"], event_filters={"message": ["delivered"]})
        subscribe(sim, receiver, event_types=["message.sent"])
        subscribe(sim, receiver, event_types=["contact"])
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        names = Counter(delivery.json["event"] for delivery in receiver.arrived(2))
        assert names == {"message.delivered": 1, "message.sent": 1}


def test_what_happened_before_is_not_told() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=1e6) as sim:
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        subscribe(sim, receiver)
        sim.call("POST", SEND, notice(BOB, channel=["sms"]))
        assert {delivery.json["payload"]["outbound_number"] for delivery in receiver.arrived(4)} == {BOB}


def test_a_profile_hears_of_its_own_messages_only() -> None:
    profile = {"x-profile-id": "7ba7b830-9dad-11d1-80b4-00c04fd430c9"}
    with receiving() as receiver, Simulator(lifecycle_speed=FAST) as sim:
        body = {"display_name": "x", "endpoint_url": receiver.url, "event_types": ["message.queued"]}
        sim.call("POST", HOOKS, body, headers=profile)
        sim.call("POST", SEND, notice(ANN))
        sim.call("POST", SEND, notice(BOB), headers=profile)
        (delivery,) = receiver.arrived(1)
        payload = delivery.json["payload"]
        assert (payload["outbound_number"], payload["account_id"]) == (BOB, profile["x-profile-id"])


@pytest.mark.parametrize("stamp", ["fresh", "original"])
def test_a_failed_delivery_is_tried_again_under_the_same_id(stamp: str) -> None:
    with (
        receiving(lambda number: 200 if number == 3 else 503) as receiver,
        Simulator(lifecycle_speed=0, webhook_retry_s=0.6, webhook_retry_stamp=stamp) as sim,
    ):
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN))
        first, second, third = receiver.arrived(3)
        assert first.event_id == second.event_id == third.event_id
        assert first.body == second.body == third.body
        stamps = {delivery.headers["x-webhook-timestamp"] for delivery in (first, second, third)}
        assert (len(stamps) == 1) is (stamp == "original")
        for delivery in (first, second, third):
            judged(delivery, hook["signing_secret"])
        (event,) = settled(sim, hook, delivery_status="DELIVERED")
        assert (event["delivery_attempts"], event["http_status_code"], event["error_message"]) == (3, 200, None)
        assert shown(sim, hook)["consecutive_failures"] == 0


def test_retries_wait_twice_as_long_each_time_up_to_an_hour() -> None:
    rules = WebhookRules()
    assert [rules.wait_s(attempt) for attempt in range(1, 9)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert WebhookRules(retry_s=0.5).wait_s(3) == 2.0


def test_an_event_is_given_up_after_its_retries() -> None:
    with (
        receiving(lambda _: 500) as receiver,
        Simulator(lifecycle_speed=0, webhook_retry_s=0.01) as sim,
    ):
        hook = subscribe(sim, receiver, retry_count=2)
        sim.call("POST", SEND, notice(ANN))
        (event,) = settled(sim, hook, delivery_status="FAILED")
        assert (event["delivery_attempts"], event["error_message"]) == (3, "HTTP status 500")
        assert len(receiver.arrived()) == 3
        assert (shown(sim, hook)["is_active"], shown(sim, hook)["consecutive_failures"]) == (True, 3)


def test_ten_failures_in_a_row_switch_the_endpoint_off_until_somebody_switches_it_on() -> None:
    healthy = threading.Event()
    with (
        receiving(lambda _: 200 if healthy.is_set() else 500) as receiver,
        Simulator(lifecycle_speed=0, webhook_retry_s=600) as sim,
    ):
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(*numbers(12)))
        receiver.arrived(12)
        events = settled(sim, hook, delivery_status="FAILED")
        assert len(events) == 12
        off = shown(sim, hook)
        assert off["is_active"] is False
        assert off["consecutive_failures"] >= 10
        sim.call("POST", SEND, notice(ANN))  # while it is off: nobody is told, now or later
        healthy.set()
        on = sim.call("PATCH", f"{HOOKS}/{hook['id']}/toggle-status", {"is_active": True}).json["data"]
        assert (on["is_active"], on["consecutive_failures"]) == (True, 0)
        sim.call("POST", SEND, notice(BOB))
        last = receiver.arrived(13)[12]
        assert last.json["payload"]["outbound_number"] == BOB


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(302, "HTTP status 302", id="a redirect, which is not followed"),
        pytest.param(404, "HTTP status 404", id="a refusal"),
    ],
)
def test_anything_but_a_2xx_is_a_failure(answer: int, error: str) -> None:
    with receiving(lambda _: answer) as receiver, Simulator(lifecycle_speed=0, webhook_retry_s=600) as sim:
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN))
        (event,) = settled(sim, hook, delivery_status="RETRYING")
        assert (event["error_message"], event["processing_completed_at"]) == (error, None)
        assert len(receiver.arrived()) == 1


def test_an_endpoint_that_never_answers_holds_up_nobody() -> None:
    stuck = threading.Event()

    def hang(_: int) -> int:
        stuck.wait(PATIENCE_S)
        return 200

    with receiving(hang) as receiver, Simulator(lifecycle_speed=0) as sim:
        try:
            subscribe(sim, receiver)
            sim.call("POST", SEND, notice(*numbers(100)))
            receiver.arrived(1)
            assert [sim.call("POST", SEND, notice(ANN)).status for _ in range(20)] == [202] * 20
            assert sim.stop() == 0  # nor the end
            assert sim.stderr() == ""
        finally:
            stuck.set()


def test_duplicates_come_with_the_same_id() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=FAST, webhook_duplicates=1, read_share=0) as sim:
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        times = Counter(delivery.event_id for delivery in receiver.arrived(8))
        assert list(times.values()) == [2, 2, 2, 2]
        assert {judged(delivery, hook["signing_secret"])["event"] for delivery in receiver.arrived()} == set(ALL)
        settled(sim, hook, delivery_status="DELIVERED", delivery_attempts=2)


def test_disorder_lets_later_events_overtake() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=10, webhook_disorder=0.5, read_share=0) as sim:
        subscribe(sim, receiver)
        sim.call("POST", SEND, notice(*numbers(20), channel=["sms"]))
        arrived = [delivery.json["payload"] for delivery in receiver.arrived(80)]
        by_message: dict[str, list[str]] = {}
        for payload in arrived:
            by_message.setdefault(payload["message_id"], []).append(payload["message_status"])
        proper = ["QUEUED", "ROUTED", "SENT", "DELIVERED"]
        assert [sorted(order) for order in by_message.values()] == [sorted(proper)] * 20  # nothing is lost
        assert any(order != proper for order in by_message.values())


def test_without_disorder_the_events_of_a_message_come_in_order() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=3, read_share=0) as sim:
        subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        statuses = [delivery.json["payload"]["message_status"] for delivery in receiver.arrived(4)]
        assert statuses == ["QUEUED", "ROUTED", "SENT", "DELIVERED"]


def test_chance_repeats_with_its_seed_and_keeps_its_share() -> None:
    rules = WebhookRules(duplicates=0.2, disorder=0.3)
    names = [f"+1415555{at:04d}/sms/1/0" for at in range(2000)]

    def drawn(seed: int) -> list[tuple[bool, float]]:
        return [(rules.is_doubled(name, seed=seed), rules.held_back_s(name, seed=seed, speed=1)) for name in names]

    once = drawn(1)
    assert drawn(1) == once
    assert drawn(2) != once
    assert 300 < sum(doubled for doubled, _ in once) < 500
    held = [held for _, held in once if held]
    assert 500 < len(held) < 700
    assert 0.05 <= min(held) <= max(held) <= 3.0
    assert {rules.held_back_s(name, seed=1, speed=1e9) for name in names} == {0.0, 0.05}


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        pytest.param("a", {"field": "messages", "status": "queued", "to": ANN, "from": "+14155550100"}, id="flat"),
        pytest.param("b", {"field": "messages", "payload": {"message_status": "QUEUED"}}, id="with a payload"),
        pytest.param("c", {"field": "message", "sub_type": "message.queued"}, id="with a sub type"),
        pytest.param("d", {"field": "message", "event": "message.queued"}, id="today's"),
        pytest.param("e", {"event": "message.queued", "value": {"message_status": "QUEUED"}}, id="with a value"),
        pytest.param("f", {"event": "message.status.updated", "data": {"status": "QUEUED"}}, id="the fat one"),
    ],
)
def test_an_event_can_have_the_shape_of_another_time(variant: str, expected: dict[str, Any]) -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=0, webhook_envelope=variant) as sim:
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        (delivery,) = receiver.arrived(1)
        event = judged(delivery, hook["signing_secret"])
        for name, value in expected.items():
            found = event[name]
            assert (found | value if isinstance(value, dict) else value) == found
        assert ("event" in event or "sub_type" in event) is (variant not in "ab")


def test_reasons_and_holds_are_told_where_they_apply() -> None:
    pending = {
        "to": [BOB],
        "template": {"id": "3f2504e0-4f89-41d3-9a0c-0305e82c3304", "parameters": {"code": "x", "name": "y"}},
    }
    with receiving() as receiver, Simulator(lifecycle_speed=FAST) as sim:
        subscribe(sim, receiver, event_filters={"message": ["blocked", "scheduled"]})
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        sim.call("POST", SEND, notice(ANN, scheduled_at=at))
        sim.call("POST", SEND, pending)
        told = {delivery.json["event"]: delivery.json["payload"] for delivery in receiver.arrived(2)}
        held, blocked = told["message.scheduled"], told["message.blocked"]
        assert (held["scheduled_at"], held["schedule_reason"]) == (at, "SCHEDULED_BY_SENDER")
        assert "reason_code" not in held
        assert blocked["reason_code"] == "BUSINESS_005"
        assert blocked["reason"]
        assert "scheduled_at" not in blocked
        assert held["template_id"] == NOTICE


def test_a_restart_goes_on_with_what_was_waiting_and_tells_nothing_twice(tmp_path: Path) -> None:
    with receiving(lambda number: 500 if number <= 2 else 200) as receiver:
        with Simulator(tmp_path / "s", lifecycle_speed=0, webhook_retry_s=0.5) as sim:
            hook = subscribe(sim, receiver)
            sim.call("POST", SEND, notice(ANN, BOB))
            settled(sim, hook, delivery_status="RETRYING")
            sim.kill()
        with Simulator(tmp_path / "s", lifecycle_speed=0, webhook_retry_s=0.5) as again:
            events = settled(again, hook, delivery_status="DELIVERED")
            again.call("POST", SEND, notice(ANN))
            receiver.arrived(5)
            assert len(log(again, hook)) == 3
        assert len({event["id"] for event in events}) == 2
    times = Counter(delivery.event_id for delivery in receiver.arrived())
    assert sorted(times.values()) == [1, 2, 2]


def test_a_dropped_webhook_is_told_nothing_more() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=0) as sim:
        gone, stays = subscribe(sim, receiver), subscribe(sim, receiver)
        sim.call("DELETE", f"{HOOKS}/{gone['id']}")
        sim.call("POST", SEND, notice(ANN))
        settled(sim, stays, delivery_status="DELIVERED")
        assert [delivery.headers["x-webhook-id"] for delivery in receiver.arrived()] == [stays["id"]]


def test_the_log_can_be_searched_and_shows_the_exact_body() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=FAST, read_share=0) as sim:
        hook = subscribe(sim, receiver)
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        receiver.arrived(4)
        settled(sim, hook, delivery_status="DELIVERED", response_body="ok")
        reply = sim.call("GET", f"{HOOKS}/{hook['id']}/events?search=message.sent").json["data"]
        (found,) = reply["events"]
        assert reply["pagination"]["total_count"] == 1
        (sent,) = [each for each in receiver.arrived() if each.event_id == found["id"]]
        assert found["event_data"] == sent.json


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"webhook_duplicates": 2}, "--webhook-duplicates must be from 0 to 1"),
        ({"webhook_disorder": -1}, "--webhook-disorder must be from 0 to 1"),
        ({"webhook_retry_s": -1}, "--webhook-retry-s must be 0 or more"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RuntimeError, match=sentence):
        Simulator(**options).start()
