"""Contacts and their conversations, numbers, and the old way of sending to them."""

from typing import Any

import pytest
from support.sends import ANN, BOB, EVE, NOTICE, ORDER, SEND, notice, order, rows
from support.simulator import Reply, Simulator

CONTACTS = "/v3/contacts"
NOBODY = "00000000-0000-7000-8000-000000000000"
PROFILE = {"x-profile-id": "6ba7b811-9dad-11d1-80b4-00c04fd430c8"}
SENDER = {"x-sender-id": "6ba7b812-9dad-11d1-80b4-00c04fd430c8"}


def contacts(sim: Simulator, query: str = "", **more: Any) -> Any:
    return sim.call("GET", f"{CONTACTS}?{query}", **more).json["data"]


def phones(sim: Simulator, query: str = "", **more: Any) -> list[str]:
    return [contact["format_e164"] for contact in contacts(sim, query, **more)["contacts"]]


def create(sim: Simulator, phone: str, **more: Any) -> Reply:
    return sim.call("POST", CONTACTS, {"phone_number": phone}, **more)


def test_sending_creates_contacts_once_each() -> None:
    with Simulator() as sim:
        sim.call("POST", SEND, notice(ANN, BOB, channel=["sms", "whatsapp"]))
        assert sorted(phones(sim)) == [ANN, BOB]
        sim.call("POST", SEND, notice(BOB, EVE))
        assert sorted(phones(sim)) == [ANN, BOB, EVE]


def test_a_message_names_the_contact_it_went_to() -> None:
    with Simulator() as sim:
        message = rows(sim.call("POST", SEND, notice(ANN)).body)[0]["message_id"]
        (contact,) = contacts(sim)["contacts"]
        assert sim.call("GET", f"/v3/messages/{message}").json["data"]["contact_id"] == contact["id"]
        assert sim.call("GET", f"{CONTACTS}/{contact['id'].upper()}").json["data"] == contact


def test_a_contact_shows_its_number_in_every_form() -> None:
    with Simulator() as sim:
        data = create(sim, "+447700900123").json["data"]
        expected = {
            "phone_number": "+447700900123",
            "format_e164": "+447700900123",
            "format_international": "+44 7700900123",
            "format_national": "7700900123",
            "format_rfc": "tel:+44-7700900123",
            "country_code": "44",
            "region_code": "GB",
            "available_channels": "sms,whatsapp",
            "default_channel": None,
            "opt_out": False,
            "is_inherited": False,
        }
        assert {name: data[name] for name in expected} == expected


def test_contacts_come_newest_first_by_page() -> None:
    with Simulator() as sim:
        for phone in (ANN, BOB, EVE):
            assert create(sim, phone).status == 201
        assert phones(sim, "page_size=2") == [EVE, BOB]
        data = contacts(sim, "page=2&page_size=2")
        assert [contact["format_e164"] for contact in data["contacts"]] == [ANN]
        assert data["pagination"] == {
            "page": 2, "page_size": 2, "total_count": 3, "total_pages": 2, "has_more": False, "cursors": None,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("phone=%2B14155550101", [BOB], id="the whole number"),
        pytest.param("search=0101", [BOB], id="a part of it"),
        pytest.param("search=(415)%20555-0101", [BOB], id="as people write it"),
        pytest.param("search=Bob", [], id="a name, which contacts do not have"),
        pytest.param("channel=sms", [BOB, ANN], id="a channel all have"),
    ],
)
def test_contacts_can_be_searched(query: str, found: list[str]) -> None:
    with Simulator() as sim:
        create(sim, ANN)
        create(sim, BOB)
        assert phones(sim, query) == found


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", CONTACTS + "?channel=fax", None, 400, "VALIDATION_006"),
        ("GET", CONTACTS + "?page=0", None, 400, "VALIDATION_005"),
        ("GET", CONTACTS + "?page=99999999999999999999", None, 400, "VALIDATION_005"),
        ("GET", f"{CONTACTS}/{NOBODY}", None, 404, "RESOURCE_001"),
        ("GET", f"{CONTACTS}/me", None, 400, "VALIDATION_001"),
        ("GET", f"{CONTACTS}/{NOBODY}/message-summary", None, 404, "RESOURCE_001"),
        ("POST", CONTACTS, {}, 400, "VALIDATION_004"),
        ("POST", CONTACTS, {"phone_number": "4155550100"}, 400, "VALIDATION_002"),
        ("PATCH", f"{CONTACTS}/{NOBODY}", {"opt_out": True}, 404, "RESOURCE_001"),
        ("PATCH", f"{CONTACTS}/{NOBODY}", {"opt_out": "yes"}, 400, "VALIDATION_001"),
        ("PATCH", f"{CONTACTS}/{NOBODY}", {"default_channel": "fax"}, 400, "VALIDATION_006"),
        ("DELETE", f"{CONTACTS}/{NOBODY}", None, 404, "RESOURCE_001"),
        ("GET", f"/v3/conversations/{NOBODY}", None, 404, "RESOURCE_013"),
        ("GET", "/v3/numbers/lookup/abc", None, 400, "VALIDATION_002"),
    ],
)
def test_what_cannot_be_done_with_contacts(
    sim: Simulator, method: str, path: str, body: object, status: int, code: str
) -> None:
    reply = sim.call(method, path, body)
    assert (reply.status, reply.code) == (status, code)


def test_a_number_is_one_contact_however_it_came() -> None:
    with Simulator() as sim:
        sim.call("POST", SEND, notice(ANN))
        assert (create(sim, ANN).status, create(sim, ANN).code) == (409, "RESOURCE_007")
        assert phones(sim) == [ANN]


def test_creating_and_changing_take_idempotency_keys() -> None:
    with Simulator() as sim:
        first, again = (create(sim, ANN, idempotency_key="ann") for _ in range(2))
        assert (first.status, again.status, again.body) == (201, 201, first.body)
        assert again.headers["x-original-request-id"] == first.headers["x-request-id"]
        assert create(sim, BOB, idempotency_key="ann").code == "CONFLICT_005"
        path = f"{CONTACTS}/{first.json['data']['id']}"
        changes = [sim.call("PATCH", path, {"opt_out": True}, idempotency_key="out") for _ in range(2)]
        assert changes[0].body == changes[1].body
        assert changes[1].headers["idempotent-replayed"] == "true"


def test_a_refused_key_is_free_for_another_try() -> None:
    with Simulator() as sim:
        assert create(sim, "x", idempotency_key="ann").code == "VALIDATION_002"
        assert create(sim, ANN, idempotency_key="ann").status == 201


def test_a_rehearsal_changes_nothing() -> None:
    with Simulator() as sim:
        reply = sim.call("POST", CONTACTS, {"phone_number": ANN, "sandbox": True})
        assert (reply.status, reply.headers["x-sandbox"]) == (201, "true")
        assert phones(sim) == []
        path = f"{CONTACTS}/{create(sim, ANN).json['data']['id']}"
        changed = sim.call("PATCH", path, {"opt_out": True, "sandbox": True})
        assert changed.json["data"]["opt_out"] is True
        assert sim.call("DELETE", path, {"sandbox": True}).status == 204
        assert sim.call("GET", path).json["data"]["opt_out"] is False


def test_a_change_stays_and_leaves_the_rest_alone() -> None:
    with Simulator() as sim:
        path = f"{CONTACTS}/{create(sim, ANN).json['data']['id']}"
        sim.call("PATCH", path, {"default_channel": "whatsapp"})
        sim.call("PATCH", path, {"opt_out": True})
        sim.kill()
        with Simulator(sim.state) as restarted:
            data = restarted.call("GET", path).json["data"]
            assert (data["default_channel"], data["opt_out"]) == ("whatsapp", True)
            assert data["updated_at"] > data["created_at"]


def test_a_deleted_contact_is_forgotten_until_the_next_send() -> None:
    with Simulator() as sim:
        sim.call("POST", SEND, notice(ANN))
        path = f"{CONTACTS}/{contacts(sim)['contacts'][0]['id']}"
        sim.call("PATCH", path, {"opt_out": True})
        gone = sim.call("DELETE", path)
        assert (gone.status, gone.body) == (204, b"")
        assert phones(sim) == []
        sim.call("POST", SEND, notice(ANN))
        assert sim.call("GET", path).json["data"]["opt_out"] is False  # the consent went with it


def test_a_profile_has_contacts_of_its_own() -> None:
    with Simulator() as sim:
        create(sim, ANN)
        assert create(sim, ANN, headers=PROFILE).status == 201
        sim.call("POST", SEND, notice(BOB), headers=PROFILE)
        assert phones(sim) == [ANN]
        assert sorted(phones(sim, headers=PROFILE)) == [ANN, BOB]


def test_conversations_are_all_messages_newest_first() -> None:
    with Simulator() as sim:
        for to in (ANN, BOB, ANN):
            sim.call("POST", SEND, order(to=[to], channel=["sms"]))
        sim.call("POST", SEND, notice(EVE), headers=PROFILE)
        data = sim.call("GET", "/v3/conversations?page_size=2").json["data"]
        assert [message["phone"] for message in data["messages"]] == [ANN, BOB]
        assert data["pagination"]["total_count"] == 3
        newest = data["messages"][0]
        assert newest["id"] == sim.messages()[2]["message_id"]
        assert (newest["channel"], newest["direction"], newest["template_id"]) == ("sms", "OUTBOUND", ORDER)
        of_ann = sim.call("GET", f"/v3/conversations/{newest['contact_id']}").json["data"]
        assert [message["phone"] for message in of_ann["messages"]] == [ANN, ANN]
        of_profile = sim.call("GET", "/v3/conversations", headers=PROFILE).json["data"]["messages"]
        assert [message["phone"] for message in of_profile] == [EVE]


def test_a_summary_counts_what_became_of_the_messages() -> None:
    with Simulator(lifecycle_speed=1e9, failed_share=1) as sim:
        sim.call("POST", SEND, notice(ANN, channel=["sms"]))
        sim.call("POST", SEND, notice(ANN, channel=["sms", "rcs"]))
        contact = contacts(sim)["contacts"][0]["id"]
        data = sim.call("GET", f"{CONTACTS}/{contact}/message-summary").json["data"]
        assert (data["message_count"], data["channels_used"]) == (3, ["rcs", "sms"])
        assert data["channel_scores"][1] == {"channel": "sms", "success_score": 0, "fail_score": 100}
        assert data["first_message_at"] < data["last_message_at"]


def test_a_number_can_be_looked_up() -> None:
    with Simulator(refuse_number=[BOB]) as sim:
        data = sim.call("GET", "/v3/numbers/lookup/%2B14155550100").json["data"]
        assert (data["phone_number"], data["is_valid"], data["line_type"]) == (ANN, True, "mobile")
        assert data["country_code"] == "1"
        assert sim.call("GET", f"/v3/numbers/lookup/{BOB}").json["data"]["is_valid"] is False


@pytest.mark.parametrize("variables", ["templateVariables", "messageBody"])
def test_the_first_version_sends_to_a_number_and_says_nothing(variables: str) -> None:
    with Simulator() as sim:
        body = {"phoneNumber": ANN, "templateId": ORDER, variables: {"name": "Ada", "order_id": "7"}}
        reply = sim.call("POST", "/v1/messages/phone", body, headers=SENDER, idempotency_key="ignored")
        assert (reply.status, reply.body) == (204, b"")
        sim.call("POST", "/v1/messages/phone", body, headers=SENDER, idempotency_key="ignored")
        rendered = "Hi Ada, your order #7 has been confirmed."
        assert [(row["recipient"], row["channel"], row["body"]) for row in sim.messages()] == [
            (ANN, "auto", rendered),
            (ANN, "auto", rendered),
        ]


def test_the_first_version_sends_to_a_contact() -> None:
    with Simulator() as sim:
        contact = create(sim, BOB).json["data"]["id"]
        body = {"contactId": contact, "templateId": NOTICE}
        assert sim.call("POST", "/v1/messages/contact", body, headers=SENDER).status == 204
        assert [row["recipient"] for row in sim.messages()] == [BOB]
        body["contactId"] = NOBODY
        assert sim.call("POST", "/v1/messages/contact", body, headers=SENDER).code == "RESOURCE_001"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param({"phoneNumber": ANN, "templateId": NOTICE}, {}, 401, "AUTH_002", id="no sender id"),
        pytest.param({"phoneNumber": ANN, "templateId": NOTICE}, {"x-sender-id": "me"}, 401, "AUTH_002", id="no GUID"),
        pytest.param({"templateId": NOTICE}, SENDER, 400, "VALIDATION_004", id="no number"),
        pytest.param({"phoneNumber": ANN}, SENDER, 400, "VALIDATION_004", id="no template"),
        pytest.param({"phoneNumber": "x", "templateId": NOTICE}, SENDER, 400, "VALIDATION_002", id="a bad number"),
        pytest.param({"phoneNumber": ANN, "templateId": NOBODY}, SENDER, 404, "RESOURCE_002", id="a strange template"),
    ],
)
def test_the_first_version_refuses(
    sim: Simulator, body: object, headers: dict[str, str], status: int, code: str
) -> None:
    reply = sim.call("POST", "/v1/messages/phone", body, headers=headers)
    assert (reply.status, reply.code) == (status, code)
