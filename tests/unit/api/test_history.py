"""The account's messages are read whatever the casing, the fields that are told and the form of the times."""

import json
from dataclasses import dataclass, field, replace

import pytest

from broadcaster.api.history import Page, Sighting, Step, conversations, message
from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent
from broadcaster.errors import AccountRefused, BroadcasterError, ContractBroken, RequestRefused, Unreachable

NOW = Instant(wall_us=1_800_000_000_000_000)
ENTRY = {
    "id": "m-1",
    "contact_id": "c-1",
    "phone": "+14155550100",
    "phone_international": "+1 415-555-0100",
    "template_id": "t-1",
    "template_name": "spring",
    "channel": "sms",
    "status": "DELIVERED",
    "direction": "OUTBOUND",
    "created_at": "2026-12-01T09:00:00.1234567+00:00",
    "price": 0.01,
}
SEEN = Sighting(
    message_id="m-1",
    phone="+14155550100",
    channel="sms",
    direction="OUTBOUND",
    status="DELIVERED",
    template_id="t-1",
    template_name="spring",
    created_us=1_796_115_600_123_456,
    whole=True,
    price="0.01",
)


def reply(data: object, *, status: int = 200, **more: object) -> Reply:
    body = json.dumps({"success": True, "data": data, "error": None, "meta": {}, **more}).encode()
    return Reply(status=status, headers={}, body=body, started=NOW, ended=NOW)


def refusal(status: int, code: str = "") -> Reply:
    return reply(None, status=status, success=False, error={"code": code, "message": "No."})


def listed(*entries: object, **pagination: object) -> Reply:
    return reply({"messages": list(entries), "pagination": pagination})


@dataclass
class Script:
    """Answers in turn, and what was asked."""

    answers: list[Reply | Lost | Unsent]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        assert (request.method, request.body, request.key, request.messages) == ("GET", b"", None, 0)
        self.asked.append(request.path)
        return self.answers.pop(0)


def script(*answers: Reply | Lost | Unsent) -> Script:
    return Script(list(answers))


async def first(entry: object) -> Sighting:
    (seen,) = (await conversations(script(listed(entry)), page=1)).sightings
    return seen


async def test_a_page_of_messages_is_read_as_the_api_shows_it_today() -> None:
    send = script(listed(ENTRY, {**ENTRY, "id": "m-2"}, page=3, page_size=2, total_pages=7, has_more=True))

    page = await conversations(send, page=3, page_size=2)

    assert page == Page(sightings=(SEEN, replace(SEEN, message_id="m-2")), has_more=True, pages=7, asked_us=NOW.wall_us)
    assert send.asked == ["/v3/conversations?page=3&page_size=2"]


async def test_one_hundred_entries_are_asked_for_unless_told_otherwise() -> None:
    send = script(listed())

    await conversations(send, page=1)

    assert send.asked == ["/v3/conversations?page=1&page_size=100"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"direction": "outbound", "status": "delivered", "channel": "SMS"}, {}, id="words in other case"),
        pytest.param({"channel": "sent"}, {"channel": "auto"}, id="the api picks"),
        pytest.param({"channel": None}, {"channel": None}, id="no channel yet"),
        pytest.param({"channel": ""}, {"channel": None}, id="an empty channel"),
        pytest.param({"phone": "1 (415) 555-0100"}, {}, id="a number in another form"),
        pytest.param({"phone": None}, {}, id="only the international form"),
        pytest.param({"phone": None, "phone_international": None}, {"phone": None}, id="no number"),
        pytest.param({"template_id": 17}, {"template_id": "17"}, id="an id that is a number"),
        pytest.param({"template_id": None, "template_name": None}, {"template_id": None, "template_name": None},
                     id="a text message"),
        pytest.param({"status": {"now": "SENT"}, "direction": ["OUT"]}, {"status": None, "direction": None},
                     id="words that are none"),
        pytest.param({"created_at": "2026-12-01T09:00:00.123456Z"}, {}, id="a time that ends in Z"),
        pytest.param({"created_at": "2026-12-01T10:00:00.1234567+01:00"}, {}, id="a time in another zone"),
        pytest.param({"created_at": "2026-12-01T09:00:00"}, {"created_us": 1_796_115_600_000_000},
                     id="a time without zone or fraction"),
        pytest.param({"created_at": 1_796_115_600}, {"created_us": 1_796_115_600_000_000}, id="seconds since 1970"),
        pytest.param({"created_at": 1_796_115_600_123}, {"created_us": 1_796_115_600_123_000}, id="milliseconds"),
        pytest.param({"created_at": "yesterday"}, {"created_us": None}, id="no time"),
        pytest.param({"created_at": None}, {"created_us": None}, id="null for a time"),
        pytest.param({"created_at": True}, {"created_us": None}, id="true for a time"),
        pytest.param({"created_at": 1e300}, {"created_us": None}, id="a time beyond all times"),
    ],
)  # fmt: skip
async def test_an_entry_tells_what_can_be_read_of_it(changes: dict[str, object], expected: dict[str, object]) -> None:
    assert await first({**ENTRY, **changes}) == replace(SEEN, **expected)  # type: ignore[arg-type]  # a table of fields


async def test_the_names_of_the_older_api_are_understood() -> None:
    camel = {name.split("_")[0] + "".join(map(str.title, name.split("_")[1:])): value for name, value in ENTRY.items()}

    assert "createdAt" in camel
    assert await first(camel) == SEEN


@pytest.mark.parametrize("name", ["channel", "template_id", "template_name"])
async def test_an_entry_that_does_not_speak_of_channel_and_template_is_not_whole(name: str) -> None:
    told = {key: value for key, value in ENTRY.items() if key != name}

    assert await first(told) == replace(SEEN, **{name: None, "whole": False})  # type: ignore[arg-type]  # one field


async def test_an_entry_that_tells_only_its_id_is_an_entry() -> None:
    assert await first({"id": "m-1"}) == Sighting(message_id="m-1")


@pytest.mark.parametrize("entry", [{}, {"phone": "+14155550100"}, {"id": None}, None, "m-1", [ENTRY]])
async def test_what_has_no_id_is_left_out_and_the_others_are_not(entry: object) -> None:
    page = await conversations(script(listed(entry, ENTRY)), page=1)

    assert page.sightings == (SEEN,)


@pytest.mark.parametrize(
    ("answer", "has_more", "pages"),
    [
        pytest.param(listed(ENTRY, has_more=True, total_pages=4), True, 4, id="it is said that there is more"),
        pytest.param(listed(ENTRY, has_more=False), False, None, id="it is said that there is no more"),
        pytest.param(listed(ENTRY, hasMore=False, totalPages=2), False, 2, id="names in another case"),
        pytest.param(listed(ENTRY, total_pages=3), True, 3, id="pages are counted and this is not the last"),
        pytest.param(listed(ENTRY, total_pages=2), False, 2, id="pages are counted and this is the last"),
        pytest.param(listed(ENTRY), True, None, id="nothing is said"),
        pytest.param(reply({"messages": [ENTRY]}), True, None, id="no pagination at all"),
        pytest.param(reply([ENTRY]), True, None, id="a bare list"),
        pytest.param(reply({"items": [ENTRY]}), True, None, id="a list by another name"),
        pytest.param(listed(has_more=True), False, None, id="an empty page is the end"),
        pytest.param(listed({"no": "id"}, has_more=True), True, None, id="a page of entries without ids is none"),
        pytest.param(reply({"messages": None}), False, None, id="null for no messages"),
    ],
)
async def test_whether_there_is_more(answer: Reply, has_more: bool, pages: int | None) -> None:  # noqa: FBT001 - a table's column
    page = await conversations(script(answer), page=2)

    assert (page.has_more, page.pages) == (has_more, pages)


@pytest.mark.parametrize("data", [{}, {"pagination": {}}, {"messages": {"0": ENTRY}}, None, "none", 7])
async def test_an_answer_without_the_list_never_looks_like_an_empty_one(data: object) -> None:
    with pytest.raises(ContractBroken):
        await conversations(script(reply(data)), page=1)


async def test_a_message_is_found_by_its_id() -> None:
    send = script(reply({**ENTRY, "id": "m/1"}))

    assert await message(send, "m/1") == replace(SEEN, message_id="m/1")
    assert send.asked == ["/v3/messages/m%2F1"]


async def test_a_message_is_whole_whatever_it_leaves_out() -> None:
    assert await message(script(reply({"id": "m-1"})), "m-1") == Sighting(message_id="m-1", whole=True)


@pytest.mark.parametrize("answer", [refusal(404, "RESOURCE_003"), refusal(404)])
async def test_a_message_that_the_api_does_not_know_is_none(answer: Reply) -> None:
    assert await message(script(answer), "m-1") is None


@pytest.mark.parametrize("data", [None, [ENTRY], "m-1"])
async def test_an_answer_that_is_no_message_is_an_error(data: object) -> None:
    with pytest.raises(ContractBroken):
        await message(script(reply(data)), "m-1")


REFUSED = {
    "401": (refusal(401, "AUTH_002"), AccountRefused),
    "429 of a locked key": (refusal(429, "AUTH_001"), AccountRefused),
    "the profile is not ours": (refusal(404, "RESOURCE_014"), AccountRefused),
    "429": (refusal(429, "BUSINESS_002"), Unreachable),
    "500": (refusal(500, "INTERNAL_001"), Unreachable),
    "no answer": (Lost(reason="timeout", started=NOW, ended=NOW), Unreachable),
    "no connection": (Unsent(reason="name_not_found", started=NOW, ended=NOW), Unreachable),
    "400": (refusal(400, "VALIDATION_001"), RequestRefused),
    "not JSON": (Reply(status=200, headers={}, body=b"<html>", started=NOW, ended=NOW), ContractBroken),
    "success is false": (reply({"messages": []}, success=False), ContractBroken),
}


@pytest.mark.parametrize(("answer", "error"), REFUSED.values(), ids=REFUSED)
async def test_a_look_up_that_fails_says_what_is_wrong(
    answer: Reply | Lost | Unsent, error: type[BroadcasterError]
) -> None:
    with pytest.raises(error):
        await conversations(script(answer), page=1)
    with pytest.raises(error):
        await message(script(answer), "m-1")


async def test_a_list_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RequestRefused, match=r"address.*HTTP 404.*It says: No\."):
        await conversations(script(refusal(404)), page=1)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(0.01, "0.01", id="a number"),
        pytest.param(0.00001, "0.00001", id="a small number has no exponent"),
        pytest.param(2, "2", id="a whole number"),
        pytest.param(" 0.0100 ", "0.0100", id="a text, with its decimals"),
        pytest.param(None, None, id="nothing"),
        pytest.param(True, None, id="a yes"),
        pytest.param("free", None, id="a word"),
        pytest.param("NaN", None, id="no number"),
        pytest.param(-1, None, id="less than nothing"),
    ],
)
async def test_a_price_is_a_decimal_number_as_it_is_told(told: object, expected: str | None) -> None:
    assert (await first({**ENTRY, "price": told})).price == expected


async def test_the_past_of_a_message_is_read_as_far_as_it_can_be() -> None:
    events: list[object] = [
        {"status": "queued", "timestamp": "2026-12-01T09:00:00Z"},
        {"Status": "FAILED", "Timestamp": 1_796_115_601, "reason_code": "DELIVERY_003", "reason": "Unreachable"},
        {"status": "SENT"},
        {"timestamp": "2026-12-01T09:00:03Z"},
        "SENT",
    ]
    seen = await first({**ENTRY, "events": events, "reason_code": "X_1", "reason": "Why"})
    assert seen.steps == (
        Step(status="QUEUED", at_us=1_796_115_600_000_000),
        Step(status="FAILED", at_us=1_796_115_601_000_000, code="DELIVERY_003", reason="Unreachable"),
        Step(status="SENT"),
    )
    assert (seen.code, seen.reason) == ("X_1", "Why")
    assert (await first({**ENTRY, "events": "none"})).steps == ()
