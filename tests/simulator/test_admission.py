"""The envelope of every answer, and who is let in."""

import re
import uuid
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
from support.sends import ANN, SEND, notice
from support.simulator import Simulator

from broadcaster.simulator.auth import FAILURES_ALLOWED, Lockout
from broadcaster.simulator.envelope import Refusal

ABSENT = str(uuid.UUID(int=7))
PROFILE = "7ba7b830-9dad-11d1-80b4-00c04fd430c9"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        pytest.param("GET", "/v3/me", None, 200, None, id="a read"),
        pytest.param("POST", SEND, notice(), 202, None, id="a send"),
        pytest.param("POST", SEND, b"{", 400, "VALIDATION_001", id="a body that is no JSON"),
        pytest.param("POST", SEND, b"[]", 400, "VALIDATION_001", id="a body that is no object"),
        pytest.param("POST", SEND, b"\xff\xfe\xff", 400, "VALIDATION_001", id="a body that is no text"),
        pytest.param("POST", SEND, b"[" * 100_000, 400, "VALIDATION_001", id="a body nested too deeply"),
        pytest.param("GET", "/v3/nothing", None, 404, "RESOURCE_013", id="an unknown path"),
        pytest.param("POST", "/", None, 404, "RESOURCE_013", id="the root, which only has a page"),
        pytest.param("DELETE", SEND, None, 405, "VALIDATION_001", id="a method it does not take"),
        pytest.param("GET", f"/v3/messages/{ABSENT}", None, 404, "RESOURCE_003", id="an unknown message"),
        pytest.param("GET", "/v3/messages/7", None, 400, "VALIDATION_001", id="a malformed message id"),
        pytest.param("GET", f"/v3/templates/{ABSENT}", None, 404, "RESOURCE_002", id="an unknown template"),
    ],
)
def test_every_answer_has_the_envelope_and_the_headers(
    sim: Simulator, method: str, path: str, body: object, status: int, code: str | None
) -> None:
    reply = sim.call(method, path, body)

    assert reply.status == status
    document = reply.json
    assert list(document) == ["success", "data", "error", "meta"]
    assert document["success"] is (code is None)
    if code is None:
        assert document["data"] is not None
        assert document["error"] is None
    else:
        assert document["data"] is None
        assert set(document["error"]) == {"code", "message", "details", "doc_url"}
        assert document["error"]["code"] == code
        assert document["error"]["doc_url"].endswith(code)
    assert document["meta"]["version"] == reply.headers["x-api-version"] == "v3"
    assert document["meta"]["request_id"] == reply.headers["x-request-id"]
    assert datetime.fromisoformat(document["meta"]["timestamp"]).tzinfo is not None
    assert re.fullmatch(r"\d+ms", reply.headers["x-response-time"])
    assert parsedate_to_datetime(reply.headers["date"]).tzinfo is not None
    assert reply.headers["content-type"].startswith("application/json")


def test_a_405_says_what_is_allowed(sim: Simulator) -> None:
    assert sim.call("DELETE", SEND).headers["allow"] == "POST"


@pytest.mark.parametrize("key", [None, "wrong"], ids=["no key", "a wrong key"])
def test_without_the_right_key_nothing_happens(key: str | None) -> None:
    with Simulator() as sim:
        reply = sim.call("POST", SEND, notice(), key=key)
        assert (reply.status, reply.code) == (401, "AUTH_002")
        assert sim.messages() == []
        assert [(row["status"], row["code"]) for row in sim.requests()] == [(401, "AUTH_002")]


def test_ten_failures_lock_the_credential_and_no_other() -> None:
    with Simulator() as sim:
        statuses = [sim.call("GET", "/v3/me", key="wrong").status for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        locked = sim.call("GET", "/v3/me", key="wrong")
        assert 55 <= int(locked.headers["retry-after"]) <= 60
        assert sim.call("GET", "/v3/me", key="also wrong").status == 401
        assert sim.call("GET", "/v3/me").status == 200


def test_requests_without_a_credential_lock_nothing() -> None:
    with Simulator() as sim:
        assert [sim.call("GET", "/v3/me", key=None).status for _ in range(12)] == [401] * 12


def test_each_lock_is_twice_as_long_as_the_last_up_to_an_hour() -> None:
    lockout, now, waits = Lockout(), 0.0, []
    for _ in range(8):
        for _ in range(FAILURES_ALLOWED):
            lockout.check(b"k", now=now)
            lockout.fail(b"k", now=now)
        with pytest.raises(Refusal) as caught:
            lockout.check(b"k", now=now)
        waits.append(int(caught.value.headers["Retry-After"]))
        now += waits[-1]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_only_consecutive_failures_count() -> None:
    lockout = Lockout()
    for _ in range(FAILURES_ALLOWED - 1):
        lockout.fail(b"k", now=0.0)
    lockout.succeed(b"k")
    lockout.fail(b"k", now=0.0)
    lockout.check(b"k", now=0.0)


def test_a_profile_is_echoed_and_noted(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, notice(), headers={"x-profile-id": PROFILE.upper()})
    assert reply.status == 202
    assert reply.headers["x-profile-id"] == PROFILE
    assert sim.messages()[-1]["profile_id"] == PROFILE


def test_a_malformed_profile_is_refused(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, notice(), headers={"x-profile-id": "me"})
    assert (reply.status, reply.code) == (400, "VALIDATION_003")


def test_the_accounts_own_id_is_no_profile(sim: Simulator) -> None:
    own = sim.call("GET", "/v3/me").json["data"]["id"]
    reply = sim.call("GET", "/v3/me", headers={"x-profile-id": own})
    assert (reply.status, reply.code) == (404, "RESOURCE_014")


def test_with_known_profiles_any_other_one_is_unknown() -> None:
    with Simulator(profile_id=[PROFILE]) as sim:
        assert sim.call("GET", "/v3/me", headers={"x-profile-id": PROFILE}).status == 200
        reply = sim.call("GET", "/v3/me", headers={"x-profile-id": ABSENT})
        assert (reply.status, reply.code) == (404, "RESOURCE_014")
        assert [profile["id"] for profile in sim.call("GET", "/v3/me").json["data"]["profiles"]] == [PROFILE]


def test_a_profiles_own_key_may_not_name_a_profile() -> None:
    with Simulator(account='{"type": "profile"}') as sim:
        reply = sim.call("GET", "/v3/me", headers={"x-profile-id": PROFILE})
        assert (reply.status, reply.code) == (403, "AUTH_004")


def test_the_account_is_described_and_can_be_configured() -> None:
    with Simulator(account='{"name": "Harbour Office", "id": "acc-1"}') as sim:
        data = sim.call("GET", "/v3/me").json["data"]
    assert (data["id"], data["type"], data["name"]) == ("acc-1", "organization", "Harbour Office")
    assert {name: channel["configured"] for name, channel in data["channels"].items()} == {
        "sms": True,
        "whatsapp": True,
        "rcs": True,
    }
    assert data["sending_phone_number"] == ANN


def test_the_state_files_account_id_is_a_uuid(sim: Simulator) -> None:
    account = sim.call("GET", "/v3/me").json["data"]["id"]
    assert str(uuid.UUID(account)) == account


def test_a_profiles_own_key_acts_for_it_from_a_pool_of_its_own() -> None:
    with Simulator(profile_id=[PROFILE], requests_per_minute=2) as sim:
        own = f"{sim.key}:{PROFILE}"
        me = sim.call("GET", "/v3/me", key=own)
        assert (me.json["data"]["id"], me.json["data"]["type"], me.json["data"]["profiles"]) == (PROFILE, "profile", [])
        assert sim.call("POST", SEND, notice(), key=own).status == 202
        assert sim.messages()[-1]["profile_id"] == PROFILE
        assert sim.call("GET", "/v3/me", key=own).status == 429
        assert sim.call("GET", "/v3/me").json["data"]["type"] == "organization"  # whose pool is full still


def test_a_profiles_own_key_is_that_of_a_known_profile_and_names_none() -> None:
    with Simulator(profile_id=[PROFILE]) as sim:
        for key, headers, code in (
            (f"{sim.key}:{ABSENT}", {}, "AUTH_002"),
            (f"wrong:{PROFILE}", {}, "AUTH_002"),
            (f"{sim.key}:", {}, "AUTH_002"),
            (f"{sim.key}:{PROFILE}", {"x-profile-id": PROFILE}, "AUTH_004"),
        ):
            assert sim.call("GET", "/v3/me", key=key, headers=headers).json["error"]["code"] == code, key


def test_the_same_idempotency_key_of_two_accounts_is_two_requests() -> None:
    with Simulator(profile_id=[PROFILE]) as sim:
        for key in (sim.key, f"{sim.key}:{PROFILE}"):
            assert sim.call("POST", SEND, notice(), key=key, idempotency_key="same").status == 202
        assert len(sim.messages()) == 2
