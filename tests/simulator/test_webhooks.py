"""Webhooks as a resource: created, shown, changed, switched, tested, dropped."""

import uuid
from typing import Any

import pytest
from support.receiver import receiving
from support.sends import ANN, SEND, notice
from support.simulator import Reply, Simulator

HOOKS = "/v3/webhooks"
NOWHERE = "http://127.0.0.1:9/hook"
PROFILE = "7ba7b830-9dad-11d1-80b4-00c04fd430c9"


def create(sim: Simulator, **changes: Any) -> dict[str, Any]:
    reply = sim.call("POST", HOOKS, {"display_name": "Orders", "endpoint_url": NOWHERE, **changes})
    assert reply.status == 201, reply.body
    data: dict[str, Any] = reply.json["data"]
    return data


def on(sim: Simulator, hook: dict[str, Any], method: str, end: str = "", body: object = None) -> Reply:
    return sim.call(method, f"{HOOKS}/{hook['id']}{end}", body)


def test_a_new_webhook_is_shown_whole_with_its_secret(sim: Simulator) -> None:
    hook = create(sim)
    assert uuid.UUID(hook["id"]).version == 4
    assert hook["signing_secret"].startswith("whsec_")
    assert len(hook["signing_secret"]) == 50
    assert (hook["is_active"], hook["retry_count"], hook["timeout_seconds"]) == (True, 3, 30)
    assert hook["event_types"] == ["message", "templates", "contact", "channel", "link", "call"]
    assert (hook["consecutive_failures"], hook["last_delivery_attempt_at"]) == (0, None)


def test_the_secret_is_never_shown_in_full_again(sim: Simulator) -> None:
    hook = create(sim, display_name="Secretive")
    for reply in (
        on(sim, hook, "GET"),
        on(sim, hook, "PATCH", body={"display_name": "Still secretive"}),
        on(sim, hook, "PATCH", "/toggle-status", {"is_active": True}),
        sim.call("GET", f"{HOOKS}?search=secretive"),
    ):
        assert reply.status == 200
        assert hook["signing_secret"].encode() not in reply.body
        assert b"whsec_********" in reply.body


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        pytest.param({"display_name": None}, "VALIDATION_004", "display_name", id="no name"),
        pytest.param({"display_name": " "}, "VALIDATION_001", "display_name", id="an empty name"),
        pytest.param({"endpoint_url": "ftp://x/"}, "VALIDATION_001", "endpoint_url", id="no web address"),
        pytest.param({"retry_count": 0}, "VALIDATION_005", "retry_count", id="no retries"),
        pytest.param({"retry_count": 6}, "VALIDATION_005", "retry_count", id="too many retries"),
        pytest.param({"retry_count": "3"}, "VALIDATION_001", "retry_count", id="retries in words"),
        pytest.param({"timeout_seconds": 4}, "VALIDATION_005", "timeout_seconds", id="too little time"),
        pytest.param({"timeout_seconds": 121}, "VALIDATION_005", "timeout_seconds", id="too much time"),
        pytest.param({"event_types": "message"}, "VALIDATION_001", "event_types", id="types that are no list"),
        pytest.param({"event_types": ["weather"]}, "VALIDATION_006", "event_types", id="an unknown type"),
        pytest.param({"event_types": ["message.eaten"]}, "VALIDATION_006", "event_types", id="an unknown event"),
        pytest.param({"event_filters": []}, "VALIDATION_001", "event_filters", id="filters that are a list"),
        pytest.param({"event_filters": {"x": []}}, "VALIDATION_006", "event_filters.x", id="an unknown family"),
        pytest.param(
            {"event_filters": {"message": ["contact.opt_in"]}},
            "VALIDATION_006",
            "event_filters.message",
            id="an event of another family",
        ),
        pytest.param({"sender_profile": 1}, "VALIDATION_001", "sender_profile", id="a profile that is a number"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(
    sim: Simulator, changes: dict[str, Any], code: str, field: str
) -> None:
    reply = sim.call("POST", HOOKS, {"display_name": "x", **changes})
    assert (reply.status, reply.code) == (400, code)
    assert list(reply.json["error"]["details"]) == [field]
    if changes.get("display_name", "x"):
        hook = create(sim)
        assert on(sim, hook, "PATCH", body=changes).code == code
        assert on(sim, hook, "GET").json["data"]["updated_at"] == hook["updated_at"]


def test_a_change_replaces_only_what_it_names(sim: Simulator) -> None:
    hook = create(sim, event_filters={"message": ["failed", "message.blocked"]}, retry_count=5)
    changed = on(sim, hook, "PATCH", body={"timeout_seconds": 60, "event_types": ["message"]}).json["data"]
    assert (changed["timeout_seconds"], changed["event_types"], changed["retry_count"]) == (60, ["message"], 5)
    assert changed["event_filters"] == {"message": ["failed", "message.blocked"]}
    cleared = on(sim, hook, "PUT", body={"event_filters": None}).json["data"]
    assert cleared["event_filters"] is None
    shown = on(sim, hook, "GET").json["data"]
    assert shown == cleared


def test_the_list_is_searched_and_paged_newest_first(sim: Simulator) -> None:
    for name in ("pear one", "pear two", "PEAR three"):
        create(sim, display_name=name)
    off = create(sim, display_name="pear four")
    on(sim, off, "PATCH", "/toggle-status", {"is_active": False})

    def names(query: str) -> list[str]:
        reply = sim.call("GET", f"{HOOKS}?search=pear&{query}")
        return [hook["display_name"] for hook in reply.json["data"]["webhooks"]]

    assert names("") == ["pear four", "PEAR three", "pear two", "pear one"]
    assert names("page=2&page_size=3") == ["pear one"]
    assert names("is_active=false") == ["pear four"]
    assert len(names("is_active=true")) == 3
    assert sim.call("GET", f"{HOOKS}?is_active=perhaps").code == "VALIDATION_001"


def test_a_webhook_can_be_dropped_even_by_a_sandbox_request(sim: Simulator) -> None:
    hook = create(sim)
    assert on(sim, hook, "DELETE", body={"sandbox": True}).status == 204
    assert on(sim, hook, "GET").code == "RESOURCE_008"
    assert on(sim, hook, "DELETE").code == "RESOURCE_008"


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/events"),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
        ("PATCH", "/toggle-status"),
    ],
)
def test_a_webhook_that_is_not_there_is_a_404(sim: Simulator, method: str, end: str) -> None:
    body = None if method == "GET" else {"is_active": True}
    reply = sim.call(method, f"{HOOKS}/{uuid.uuid4()}{end}", body)
    assert (reply.status, reply.code) == (404, "RESOURCE_008")
    assert sim.call(method, f"{HOOKS}/7{end}", body).code == "VALIDATION_001"


def test_a_profile_sees_only_its_own(sim: Simulator) -> None:
    hook = create(sim)
    headers = {"x-profile-id": PROFILE}
    assert sim.call("GET", f"{HOOKS}/{hook['id']}", headers=headers).code == "RESOURCE_008"
    its = sim.call("POST", HOOKS, {"display_name": "Its own"}, headers=headers).json["data"]
    assert its["customer_id"] == PROFILE
    listed = sim.call("GET", HOOKS, headers=headers).json["data"]["webhooks"]
    assert [each["id"] for each in listed] == [its["id"]]


def test_a_sandbox_request_changes_nothing(sim: Simulator) -> None:
    reply = sim.call("POST", HOOKS, {"display_name": "Not there", "sandbox": True})
    assert (reply.status, reply.headers["x-sandbox"]) == (201, "true")
    assert on(sim, reply.json["data"], "GET").status == 404
    hook = create(sim)
    on(sim, hook, "PATCH", "/toggle-status", {"is_active": False, "sandbox": True})
    on(sim, hook, "PATCH", body={"display_name": "Other", "sandbox": True})
    shown = on(sim, hook, "GET").json["data"]
    assert (shown["is_active"], shown["display_name"]) == (True, "Orders")


def test_one_key_creates_one_webhook(sim: Simulator) -> None:
    body = {"display_name": "Once"}
    first, again = (sim.call("POST", HOOKS, body, idempotency_key="hook-once") for _ in range(2))
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"
    assert sim.call("GET", f"{HOOKS}?search=once").json["data"]["pagination"]["total_count"] == 1


def test_a_rotated_secret_is_shown_once(sim: Simulator) -> None:
    hook = create(sim)
    fresh = on(sim, hook, "POST", "/rotate-secret").json["data"]
    assert set(fresh) == {"signing_secret"}
    assert fresh["signing_secret"] != hook["signing_secret"]
    assert on(sim, hook, "GET").json["data"]["signing_secret"][-4:] == fresh["signing_secret"][-4:]


def test_a_webhook_that_is_off_cannot_be_tested(sim: Simulator) -> None:
    hook = create(sim)
    on(sim, hook, "PATCH", "/toggle-status", {"is_active": False})
    assert (on(sim, hook, "POST", "/test", {}).status, on(sim, hook, "POST", "/test", {}).code) == (400, "BUSINESS_010")
    assert on(sim, hook, "PATCH", "/toggle-status", {}).code == "VALIDATION_001"


@pytest.mark.parametrize(
    ("status", "succeeded"), [(200, True), (204, True), (302, False), (404, False), (500, False)], ids=str
)
def test_a_test_is_one_shot_and_tells_how_it_went(sim: Simulator, status: int, *, succeeded: bool) -> None:
    with receiving(lambda _: status) as receiver:
        hook = create(sim, endpoint_url=receiver.url)
        told = on(sim, hook, "POST", "/test", {"event_type": "message.failed"})
        assert (told.status, told.json["data"]["success"]) == (200, succeeded)
        (delivery,) = receiver.arrived(1)
        assert delivery.headers["x-webhook-event-type"] == "message.failed"
        (event,) = on(sim, hook, "GET", "/events").json["data"]["events"]
        assert (event["http_status_code"], event["delivery_attempts"]) == (status, 1)
        assert event["delivery_status"] == ("DELIVERED" if succeeded else "FAILED")
        assert event["event_data"] == delivery.json
        assert on(sim, hook, "GET").json["data"]["consecutive_failures"] == 0


def test_a_test_of_a_family_takes_one_of_its_events_and_an_unknown_one_is_refused(sim: Simulator) -> None:
    with receiving() as receiver:
        hook = create(sim, endpoint_url=receiver.url)
        assert on(sim, hook, "POST", "/test", {"event_type": "contact"}).json["data"]["success"]
        assert receiver.arrived(1)[0].json["event"] == "contact.opt_in"
        assert on(sim, hook, "POST", "/test", {"event_type": "weather"}).code == "VALIDATION_006"


def test_an_endpoint_that_is_not_there_is_a_failed_test(sim: Simulator) -> None:
    told = on(sim, create(sim), "POST", "/test", {}).json["data"]
    assert told["success"] is False
    assert told["message"].startswith("The test event failed: Not delivered")


def test_tests_and_rotations_have_a_limit_of_their_own() -> None:
    with Simulator(sensitive_per_minute=2) as sim:
        hook = create(sim)
        assert on(sim, hook, "POST", "/rotate-secret").status == 200
        assert on(sim, hook, "POST", "/test", {}).status == 200
        refused = on(sim, hook, "POST", "/rotate-secret")
        assert (refused.status, refused.code) == (429, "BUSINESS_002")
        assert "retry-after" in refused.headers
        assert sim.call("POST", SEND, notice(ANN)).status == 202


def test_the_event_types_are_listed_by_family(sim: Simulator) -> None:
    families = sim.call("GET", f"{HOOKS}/event-types").json["data"]["event_types"]
    assert [family["event_type"] for family in families][:2] == ["message", "templates"]
    messages = [event["event_type"] for event in families[0]["sub_types"]]
    assert len(messages) == 11
    assert "message.cancelled" in messages
