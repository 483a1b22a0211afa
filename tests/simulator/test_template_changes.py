"""Templates made and changed through the API."""

from typing import Any

import pytest
from support.sends import ANN, ORDER, PENDING, SEND, rows
from support.simulator import Reply, Simulator

TEMPLATES = "/v3/templates"
REJECTED = "3f2504e0-4f89-41d3-9a0c-0305e82c3305"


def content(text: str, *names: str) -> dict[str, Any]:
    return {"template": text, "variables": [{"id": at, "name": name} for at, name in enumerate(names)]}


def definition(text: str, *names: str) -> dict[str, Any]:
    return {"body": {"multiChannel": content(text, *names)}}


FERRY = definition("The ferry to {{0:variable}} leaves at {{1:variable}} today.", "town", "time")


def create(sim: Simulator, **more: Any) -> Reply:
    return sim.call("POST", TEMPLATES, {"definition": FERRY, **more})


def send(sim: Simulator, template: str) -> tuple[str, Any]:
    """The body and the status of a message with that template."""
    body = {"id": template, "parameters": {"town": "Oslo", "time": "noon"}}
    reply = sim.call("POST", SEND, {"to": [ANN], "channel": ["sms"], "template": body})
    (row,) = rows(reply.body)
    return row["body"], sim.call("GET", f"/v3/messages/{row['message_id']}").json["data"]["status"]


def test_a_new_template_is_a_draft_that_blocks(sim: Simulator) -> None:
    reply = create(sim, category="utility")
    data = reply.json["data"]
    assert (reply.status, data["status"], data["category"]) == (201, "DRAFT", "UTILITY")
    assert (data["variables"], data["name"]) == (["town", "time"], "the_ferry_to_leaves")
    assert data["channels"] == ["sms", "whatsapp", "rcs", "mms"]
    assert sim.call("GET", f"{TEMPLATES}/{data['id']}").json["data"] == data
    assert send(sim, data["id"]) == ("The ferry to Oslo leaves at noon today.", "BLOCKED")


def test_a_submitted_template_waits_for_its_review(sim: Simulator) -> None:
    data = create(sim, submit_for_review=True).json["data"]
    assert (data["status"], data["is_published"]) == ("PENDING", False)
    path = f"{TEMPLATES}/{data['id']}"
    assert sim.call("PUT", path, {"definition": FERRY}).code == "CONFLICT_006"
    assert sim.call("PUT", path, {"submit_for_review": True}).code == "CONFLICT_006"
    renamed = sim.call("PUT", path, {"name": "boats"})
    assert (renamed.status, renamed.json["data"]["name"]) == (200, "boats")


def test_a_reviewed_template_can_be_sent_and_outlives_a_restart() -> None:
    with Simulator(template_review=0) as sim:
        template = create(sim, submit_for_review=True).json["data"]["id"]
        assert sim.call("GET", f"{TEMPLATES}/{template}").json["data"]["status"] == "APPROVED"
        found = sim.call("GET", f"{TEMPLATES}?status=approved&search=ferry").json["data"]["templates"]
        assert [data["id"] for data in found] == [template]
        sim.kill()
        with Simulator(sim.state, lifecycle_speed=0) as restarted:
            assert send(restarted, template) == ("The ferry to Oslo leaves at noon today.", "QUEUED")


def test_a_template_that_is_edited_has_its_new_text_at_once() -> None:
    with Simulator(lifecycle_speed=0, template_review=0) as sim:
        body = {"definition": definition("Dear {{0:variable}}, your ferry is late.", "town"), "name": "late_ferry"}
        data = sim.call("PUT", f"{TEMPLATES}/{ORDER}", body).json["data"]
        assert (data["name"], data["variables"], data["status"]) == ("late_ferry", ["town"], "APPROVED")
        assert send(sim, ORDER)[0] == "Dear Oslo, your ferry is late."
        assert (
            sim.call("PUT", f"{TEMPLATES}/{REJECTED}", {"submit_for_review": True}).json["data"]["status"] == "PENDING"
        )
        assert sim.call("PUT", f"{TEMPLATES}/{PENDING}", {"language": "de"}).code == "CONFLICT_006"


def test_a_deleted_template_is_gone_for_good() -> None:
    with Simulator() as sim:
        assert sim.call("DELETE", f"{TEMPLATES}/{ORDER}", {"sandbox": True}).status == 204
        assert sim.call("GET", f"{TEMPLATES}/{ORDER}").status == 200
        gone = sim.call("DELETE", f"{TEMPLATES}/{ORDER}")
        assert (gone.status, gone.body) == (204, b"")
        assert sim.call("DELETE", f"{TEMPLATES}/{ORDER}").code == "RESOURCE_002"
        sim.kill()
        with Simulator(sim.state) as restarted:
            assert restarted.call("GET", f"{TEMPLATES}/{ORDER}").code == "RESOURCE_002"


def test_creating_takes_an_idempotency_key_and_a_rehearsal_creates_nothing() -> None:
    with Simulator() as sim:
        bodies = {sim.call("POST", TEMPLATES, {"definition": FERRY}, idempotency_key="t").body for _ in range(2)}
        rehearsed = create(sim, sandbox=True)
        assert (len(bodies), rehearsed.status, rehearsed.headers["x-sandbox"]) == (1, 201, "true")
        assert len(sim.call("GET", f"{TEMPLATES}?search=ferry").json["data"]["templates"]) == 1


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        pytest.param({}, "VALIDATION_004", "definition.body", id="no definition"),
        pytest.param({"definition": {"body": {}}}, "VALIDATION_001", "definition.body", id="no text at all"),
        pytest.param(
            {"definition": {"body": {"sms": content("Hello.")}}}, "VALIDATION_001", "definition.body", id="sms alone"
        ),
        pytest.param(
            {
                "definition": {
                    "body": {"multiChannel": content("Hi."), "sms": content("Hi."), "whatsapp": content("Hi.")}
                }
            },
            "VALIDATION_001",
            "definition.body",
            id="both strategies at once",
        ),
        pytest.param({"definition": definition("")}, "VALIDATION_001", "definition.body.template", id="an empty text"),
        pytest.param(
            {"definition": definition("x" * 1025)}, "VALIDATION_001", "definition.body.template", id="a long text"
        ),
        pytest.param(
            {"definition": definition("Dear {{0:variable}} there")},
            "VALIDATION_001",
            "definition.body.variables",
            id="a variable that is not declared",
        ),
        pytest.param(
            {"definition": definition("Dear {{0:variable}} there", "1st")},
            "VALIDATION_001",
            "definition.body.variables",
            id="a variable with a bad name",
        ),
        pytest.param({"definition": FERRY, "category": "SPAM"}, "VALIDATION_006", "category", id="a strange category"),
        pytest.param({"definition": FERRY, "language": 5}, "VALIDATION_001", "language", id="a language that is none"),
    ],
)
def test_a_template_is_refused(sim: Simulator, body: object, code: str, field: str) -> None:
    reply = sim.call("POST", TEMPLATES, body)
    assert (reply.status, reply.code) == (400, code)
    assert list(reply.json["error"]["details"]) == [field]


def test_a_pair_of_texts_is_as_good_as_a_shared_one(sim: Simulator) -> None:
    body = {"body": {"sms": content("The ferry is late."), "whatsapp": content("The ferry is *late*.")}}
    assert create(sim, definition=body).status == 201
