"""The official SDK as a judge: it drives the simulator, and every answer is what its own models say, to the letter.

The SDK itself is lenient: it builds its models without validating, and nearly every field is optional. So the raw
answers are validated here, in strict mode, and each declared field must be there and no other, but for those that the
API leaves out or adds by its own documentation.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pydantic
import pytest
import sent_dm
from sent_dm._resource import SyncAPIResource
from sent_dm.types.api_meta import APIMeta
from sent_dm.types.error_detail import ErrorDetail
from sent_dm.types.pagination_meta import PaginationMeta
from support.sends import ANN, BOB, NOTICE, ORDER, SEND, notice, rows
from support.simulator import Simulator

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # of deleting a contact, by the SDK

NOBODY = "00000000-0000-7000-8000-000000000000"

LEFT_OUT = {
    "reason": "omitted whenever reason_code is",
    "reason_code": "present on FAILED, FILTERED and BLOCKED only",
    "scheduled_at": "present on what is or was held only",
    "auto_reply_action": "omitted for an ordinary template",
    "schedule_reason": "present on message.scheduled only",
}
"""Fields of the models that an answer may lack → what the SDK says about it."""

ADDED = {"scheduled_at": "the models are those of messages sent at once; a held one has this key, too"}

NOT_SERVED = {
    "channels.voice.": "calls: a broadcast makes none",
    "voice.": "calls: a broadcast makes none",
    "profiles.": "managing profiles is done in the dashboard; x-profile-id is understood",
    "users.": "managing people is done in the dashboard",
}
"""Prefixes of the SDK's methods that the simulator does not serve → why."""


def ahead(minutes: float) -> str:
    return (datetime.now(tz=UTC) + timedelta(minutes=minutes)).isoformat()


def message_of(sim: Simulator, **changes: Any) -> str:
    return str(rows(sim.call("POST", SEND, notice(channel=["whatsapp"], **changes)).body)[0]["message_id"])


def contact_of(sim: Simulator, phone: str) -> str:
    sim.call("POST", SEND, notice(phone, channel=["sms"]))
    return str(sim.call("GET", f"/v3/contacts?phone=%2B{phone[1:]}").json["data"]["contacts"][0]["id"])


def template_of(sim: Simulator) -> str:
    body = {"definition": {"body": {"multiChannel": {"template": "The ferry is late today."}}}}
    return str(sim.call("POST", "/v3/templates", body).json["data"]["id"])


def definition() -> Any:
    variable = {
        "id": 0,
        "name": "town",
        "type": "variable",
        "props": {"variableType": "text", "sample": "Oslo", "mediaType": "", "url": ""},
    }
    content = {"type": "text", "template": "The ferry to {{0:variable}} is late today.", "variables": [variable]}
    return {"body": {"multi_channel": content}}


Case = Callable[[sent_dm.Sent, Simulator], Any]
CASES: Mapping[str, Case] = {
    "messages.send": lambda sdk, _: sdk.messages.send(
        to=[ANN, BOB],
        channel=["sms", "whatsapp"],
        template={"id": ORDER, "parameters": {"name": "Ada", "order_id": "7"}},
        idempotency_key="sdk-1",
    ),
    "messages.retrieve_status": lambda sdk, sim: sdk.messages.retrieve_status(message_of(sim)),
    "messages.retrieve_activities": lambda sdk, sim: sdk.messages.retrieve_activities(message_of(sim)),
    "conversations.list": lambda sdk, sim: message_of(sim) and sdk.conversations.list(page=1, page_size=5),
    "conversations.list_messages": lambda sdk, sim: sdk.conversations.list_messages(contact_of(sim, ANN)),
    "me.retrieve": lambda sdk, _: sdk.me.retrieve(),
    "contacts.create": lambda sdk, _: sdk.contacts.create(phone_number="+447700900101"),
    "contacts.list": lambda sdk, sim: contact_of(sim, ANN) and sdk.contacts.list(search="1415", page_size=5),
    "contacts.retrieve": lambda sdk, sim: sdk.contacts.retrieve(contact_of(sim, ANN)),
    "contacts.update": lambda sdk, sim: sdk.contacts.update(
        contact_of(sim, "+447700900102"), opt_out=True, default_channel="sms"
    ),
    "contacts.delete": lambda sdk, sim: sdk.contacts.delete(contact_of(sim, "+447700900103")),
    "contacts.retrieve_message_summary": lambda sdk, sim: sdk.contacts.retrieve_message_summary(contact_of(sim, ANN)),
    "numbers.lookup": lambda sdk, _: sdk.numbers.lookup(ANN),
    "templates.create": lambda sdk, _: sdk.templates.create(
        definition=definition(), category="UTILITY", language="en_US", submit_for_review=True
    ),
    "templates.list": lambda sdk, _: sdk.templates.list(status="APPROVED", page_size=3),
    "templates.retrieve": lambda sdk, _: sdk.templates.retrieve(NOTICE),
    "templates.update": lambda sdk, sim: sdk.templates.update(template_of(sim), name="ferry", definition=definition()),
    "templates.delete": lambda sdk, sim: sdk.templates.delete(template_of(sim)),
}
"""Method of the SDK → a call of it that succeeds; what it needs is made over plain HTTP."""


def webhook_of(sim: Simulator) -> str:
    """A webhook with an event in its log. Its endpoint is the simulator, which answers with a 404."""
    body = {"display_name": "Orders", "endpoint_url": f"{sim.url}/hook", "event_filters": {"message": ["sent"]}}
    name = str(sim.call("POST", "/v3/webhooks", body).json["data"]["id"])
    sim.call("POST", f"/v3/webhooks/{name}/test", {"event_type": "message.delivered"})
    return name


WEBHOOK_CASES: Mapping[str, Case] = {
    "webhooks.create": lambda sdk, _: sdk.webhooks.create(
        display_name="Orders",
        endpoint_url="http://127.0.0.1:9/hook",
        event_types=["message"],
        event_filters={"message": ["delivered"]},
        retry_count=2,
        timeout_seconds=10,
    ),
    "webhooks.list": lambda sdk, sim: webhook_of(sim) and sdk.webhooks.list(is_active=True, search="ord", page_size=2),
    "webhooks.retrieve": lambda sdk, sim: sdk.webhooks.retrieve(webhook_of(sim)),
    "webhooks.update": lambda sdk, sim: sdk.webhooks.update(webhook_of(sim), display_name="Returns", retry_count=1),
    "webhooks.delete": lambda sdk, sim: sdk.webhooks.delete(webhook_of(sim)),
    "webhooks.toggle_status": lambda sdk, sim: sdk.webhooks.toggle_status(webhook_of(sim), is_active=False),
    "webhooks.test": lambda sdk, sim: sdk.webhooks.test(webhook_of(sim), event_type="message.sent"),
    "webhooks.rotate_secret": lambda sdk, sim: sdk.webhooks.rotate_secret(webhook_of(sim)),
    "webhooks.list_events": lambda sdk, sim: sdk.webhooks.list_events(webhook_of(sim), search="delivered"),
    "webhooks.list_event_types": lambda sdk, _: sdk.webhooks.list_event_types(),
}

SERVED = {**CASES, **WEBHOOK_CASES}

ODD_CASES: Mapping[str, Case] = {
    "a message sent at once, under auto": lambda sdk, _: sdk.messages.send(to=[ANN], template={"id": NOTICE}),
    "a scheduled send": lambda sdk, _: sdk.messages.send(
        to=[ANN], template={"id": NOTICE}, scheduled_at=datetime.now(tz=UTC) + timedelta(minutes=5)
    ),
    "a rehearsed send": lambda sdk, _: sdk.messages.send(to=[ANN], text="x", sandbox=True),
    "a held message": lambda sdk, sim: sdk.messages.retrieve_status(message_of(sim, scheduled_at=ahead(5))),
    "the activities of a held message": lambda sdk, sim: sdk.messages.retrieve_activities(
        message_of(sim, scheduled_at=ahead(5))
    ),
    "an mms": lambda sdk, sim: sdk.messages.retrieve_status(
        rows(sim.call("POST", SEND, notice(channel=["mms"], media_urls=["https://example.com/a.png"])).body)[0][
            "message_id"
        ]
    ),
    "a blocked message": lambda sdk, sim: sdk.messages.retrieve_status(
        rows(sim.call("POST", SEND, {"to": ["+447700900109"], "text": "x"}).body)[0]["message_id"]
    ),
    "a page with nobody on it": lambda sdk, _: sdk.contacts.list(phone="+447700900999"),
}


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """A simulator whose messages have come to their end, with profiles to show."""
    with Simulator(lifecycle_speed=1e9, read_share=1, profile_id=["6ba7b811-9dad-11d1-80b4-00c04fd430c8"]) as simulator:
        yield simulator


class Wire(httpx.HTTPTransport):
    """Keeps the answers as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[httpx.Response] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        answer.read()
        self.answers.append(answer)
        return answer


def drive(sim: Simulator, case: Case) -> tuple[Any, httpx.Response]:
    """What the SDK made of it, and the answer itself."""
    wire = Wire()
    with closing(
        sent_dm.Sent(
            api_key=sim.key, base_url=sim.url, max_retries=0, http_client=httpx.Client(transport=wire, timeout=30)
        )
    ) as sdk:
        result = case(sdk, sim)
    return result, wire.answers[-1]


def gaps(value: object, where: str = "") -> Iterator[str]:
    """Fields that an answer lacks or has too many, by their place."""
    if isinstance(value, pydantic.BaseModel):
        fields = type(value).model_fields
        for name in fields:
            if name not in value.model_fields_set and name not in LEFT_OUT:
                yield f"lacks {where}.{name}"
            yield from gaps(getattr(value, name), f"{where}.{name}")
        for name in value.model_extra or {}:
            if name not in ADDED:
                yield f"has {where}.{name}"
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from gaps(item, f"{where}[{at}]")


def judge(result: Any, answer: httpx.Response) -> None:
    """Fail unless *answer* is, strictly, what the SDK's models say."""
    if result is None:
        assert (answer.status_code, answer.content) == (204, b"")
        return
    if "pagination" not in answer.json()["data"]:
        judged = type(result).model_validate_json(answer.content, strict=True)
        assert list(gaps(judged)) == []
        return
    judge_list(result, answer.json())


def judge_list(result: Any, document: dict[str, Any]) -> None:
    """Lists are shown to the SDK's users as pages, which declare only what paging needs: judge the parts."""
    data = document["data"]
    names = set(data) - {"pagination", "message_id"}
    assert len(names) == 1
    (name,) = names
    shown = getattr(result.data, name)
    for entry, model in zip(data[name], shown, strict=True):
        assert list(gaps(validated(type(model), entry))) == []
    assert set(document) == {"success", "data", "error", "meta"}
    assert (document["success"], document["error"]) == (True, None)
    assert list(gaps(validated(PaginationMeta, data["pagination"]))) == []
    assert list(gaps(validated(APIMeta, document["meta"]))) == []


def validated(model: type[pydantic.BaseModel], document: object) -> pydantic.BaseModel:
    return model.model_validate_json(pydantic.TypeAdapter(object).dump_json(document), strict=True)


@pytest.mark.parametrize("case", SERVED.values(), ids=SERVED)
def test_the_sdk_is_answered_as_its_own_models_say(sim: Simulator, case: Case) -> None:
    judge(*drive(sim, case))


@pytest.mark.parametrize("case", ODD_CASES.values(), ids=ODD_CASES)
def test_so_are_answers_with_something_special_in_them(sim: Simulator, case: Case) -> None:
    judge(*drive(sim, case))


def test_every_method_of_the_sdk_is_judged_or_left_out_for_a_reason() -> None:
    with closing(sent_dm.Sent(api_key="x")) as sdk:
        methods = set(methods_of(sdk))
    left_out = {name for name in methods if name.startswith(tuple(NOT_SERVED))}
    print("Judged:", *sorted(SERVED), sep="\n  ")  # noqa: T201 - the list is the proof
    assert len(methods) > 50
    assert sorted(methods - left_out) == sorted(SERVED)
    assert all(any(name.startswith(prefix) for name in methods) for prefix in NOT_SERVED)


def methods_of(resource: object, prefix: str = "") -> Iterator[str]:
    """The names of all calls of the SDK, such as ``messages.send``."""
    for name, member in inspect.getmembers(type(resource)):
        if name.startswith(("_", "with_")):
            continue
        if inspect.isfunction(member):
            if prefix:  # the client's own methods are about HTTP
                yield prefix + name
        elif member.__class__.__name__ == "cached_property":
            inner = getattr(resource, name)
            if isinstance(inner, SyncAPIResource):
                yield from methods_of(inner, f"{prefix}{name}.")


class Spy:
    """Stands for the SDK and notes which method is called."""

    def __init__(self, calls: list[str], path: str = "") -> None:
        self._calls = calls
        self._path = path

    def __getattr__(self, part: str) -> "Spy":
        return Spy(self._calls, f"{self._path}.{part}".lstrip("."))

    def __call__(self, *_: object, **__: object) -> None:
        self._calls.append(self._path)


@pytest.mark.parametrize("name", sorted(SERVED))
def test_a_case_calls_what_it_is_named_after(sim: Simulator, name: str) -> None:
    calls: list[str] = []
    SERVED[name](Spy(calls), sim)  # type: ignore[arg-type]  # it quacks
    assert calls == [name]


@pytest.mark.parametrize(
    ("case", "error", "code"),
    [
        pytest.param(
            lambda sdk: sdk.messages.send(to=["x"], template={"id": NOTICE}),
            sent_dm.BadRequestError,
            "VALIDATION_002",
            id="400",
        ),
        pytest.param(
            lambda sdk: sdk.with_options(api_key="wrong").me.retrieve(),
            sent_dm.AuthenticationError,
            "AUTH_002",
            id="401",
        ),
        pytest.param(lambda sdk: sdk.messages.retrieve_status(NOBODY), sent_dm.NotFoundError, "RESOURCE_003", id="404"),
        pytest.param(
            lambda sdk: [sdk.contacts.create(phone_number="+447700900104") for _ in range(2)],
            sent_dm.ConflictError,
            "RESOURCE_007",
            id="409",
        ),
    ],
)
def test_an_error_is_the_sdks_own_and_its_envelope_is_whole(
    sim: Simulator, case: Callable[[sent_dm.Sent], object], error: type[sent_dm.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as caught:
        drive(sim, lambda sdk, _: case(sdk))
    document = caught.value.response.json()
    assert set(document) == {"success", "data", "error", "meta"}
    assert (document["success"], document["data"], document["error"]["code"]) == (False, None, code)
    assert list(gaps(validated(ErrorDetail, document["error"]))) == []
    assert list(gaps(validated(APIMeta, document["meta"]))) == []


def test_the_sdk_turns_the_pages_to_the_end(sim: Simulator) -> None:
    for _ in range(5):
        message_of(sim)
    everything, _ = drive(sim, lambda sdk, _: [message.id for message in sdk.conversations.list(page_size=2)])
    assert len(everything) == len(set(everything)) == len(sim.messages())
    assert everything == [row["message_id"] for row in reversed(sim.messages())]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ('{"message_id": "m", "to": "x", "channel": null}', "lacks .body"),
        ('{"message_id": "m", "to": "x", "channel": null, "body": null, "cost": 1}', "has .cost"),
    ],
)
def test_the_judge_sees_what_is_missing_and_what_is_too_much(document: str, complaint: str) -> None:
    row = sent_dm.types.message_send_response.DataRecipient.model_validate_json(document, strict=True)
    assert list(gaps(row)) == [complaint]
    with pytest.raises(pydantic.ValidationError):
        sent_dm.types.message_send_response.DataRecipient.model_validate_json('{"to": 5}', strict=True)
