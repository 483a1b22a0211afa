"""The v3 send on the wire: golden bodies, and answers of every shape."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.values import Batch, Instant, Message, Reply, Scope
from broadcaster.core.words import Channel, Mode, Shape
from broadcaster.operations import OPERATIONS
from broadcaster.operations.messages import MESSAGES_V3, encode, hear, read

NOW = Instant(wall_us=1_800_000_000_000_000)
ANNA, BEN, CARL = "+14155550100", "+14155550101", "+447700900123"
SCOPE = Scope(campaign="c", generation="0", mode=Mode.LIVE, profile=None, method="POST", path="/v3/messages")
BY_ID = Message(template_id="7ba7b820-9dad-11d1-80b4-00c04fd430c8", scope=SCOPE)
BY_NAME = Message(template_name="spring", scope=SCOPE)
TEXT = Message(text='Grüße "Anna"\n/ 😀', scope=SCOPE)
AUTO = (Channel.AUTO,)


def batch(
    *to: str, channels: tuple[Channel, ...] = (Channel.SMS,), parameters: bytes = b"{}", send_at: str | None = None
) -> Batch:
    return Batch(
        id=0, key="f1-key", to=to or (ANNA, BEN, CARL), channels=channels, parameters=parameters, send_at=send_at
    )


# Format f1, for ever: a change here changes every key.
GOLDEN = {
    "template by id": (
        BY_ID,
        batch(ANNA, BEN),
        '{"to":["+14155550100","+14155550101"],"channel":["sms"],"template":{"id":"7ba7b820-9dad-11d1-80b4-00c04fd430c8"}}',
    ),
    "template by name": (
        BY_NAME,
        batch(ANNA),
        '{"to":["+14155550100"],"channel":["sms"],"template":{"name":"spring"}}',
    ),
    "the api picks the channel": (
        BY_NAME,
        batch(ANNA, channels=AUTO),
        '{"to":["+14155550100"],"template":{"name":"spring"}}',
    ),
    "two channels, in the order asked for": (
        BY_NAME,
        batch(ANNA, channels=(Channel.WHATSAPP, Channel.SMS)),
        '{"to":["+14155550100"],"channel":["whatsapp","sms"],"template":{"name":"spring"}}',
    ),
    "parameters, not ASCII": (
        BY_NAME,
        batch(ANNA, parameters='{"a":"MÄRZ","b":"Zoë 😀"}'.encode()),
        '{"to":["+14155550100"],"channel":["sms"],"template":{"name":"spring","parameters":{"a":"MÄRZ","b":"Zoë 😀"}}}',
    ),
    "text": (TEXT, batch(ANNA, channels=AUTO), '{"to":["+14155550100"],"text":"Grüße \\"Anna\\"\\n/ 😀"}'),
    "later": (
        BY_NAME,
        batch(ANNA, channels=AUTO, send_at="2026-12-01T09:00:00+01:00"),
        '{"to":["+14155550100"],"template":{"name":"spring"},"scheduled_at":"2026-12-01T09:00:00+01:00"}',
    ),
    "sandbox": (
        replace(BY_NAME, scope=replace(SCOPE, mode=Mode.SANDBOX)),
        batch(ANNA, channels=AUTO),
        '{"to":["+14155550100"],"template":{"name":"spring"},"sandbox":true}',
    ),
    "sandbox, later, with parameters": (
        replace(BY_NAME, scope=replace(SCOPE, mode=Mode.SANDBOX)),
        batch(ANNA, parameters=b'{"a":"b"}', send_at="2026-12-01T09:00:00+01:00"),
        (
            '{"to":["+14155550100"],"channel":["sms"],"template":{"name":"spring","parameters":{"a":"b"}},'
            '"scheduled_at":"2026-12-01T09:00:00+01:00","sandbox":true}'
        ),
    ),
    "simulated mode asks like the live one": (
        replace(BY_NAME, scope=replace(SCOPE, mode=Mode.SIMULATED)),
        batch(ANNA, channels=AUTO),
        '{"to":["+14155550100"],"template":{"name":"spring"}}',
    ),
    "the profile is a header": (
        replace(BY_NAME, scope=replace(SCOPE, profile="p-1")),
        batch(ANNA, channels=AUTO),
        '{"to":["+14155550100"],"template":{"name":"spring"}}',
    ),
}


@pytest.mark.parametrize(("message", "asked", "body"), GOLDEN.values(), ids=GOLDEN)
def test_the_body_of_format_f1_is_for_ever(message: Message, asked: Batch, body: str) -> None:
    assert encode(message, asked) == body.encode()
    json.loads(body)


@given(
    to=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5),
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_every_body_reads_back_as_what_was_put_in(to: list[str], text: str) -> None:
    body = encode(Message(text=text, scope=SCOPE), batch(*to, channels=(Channel.RCS,)))

    assert json.loads(body) == {"to": to, "channel": ["rcs"], "text": text}


def test_the_request_carries_key_path_and_weight() -> None:
    asked = batch(ANNA, BEN, channels=(Channel.SMS, Channel.WHATSAPP))
    request = MESSAGES_V3.request(BY_NAME, asked)

    assert (request.method, request.path, request.key, request.messages) == ("POST", "/v3/messages", "f1-key", 4)
    assert request.body == encode(BY_NAME, asked)


def test_the_table_knows_the_operation_by_kind_and_version() -> None:
    assert OPERATIONS["message", "v3"] is MESSAGES_V3


# ---- answers ---------------------------------------------------------------------------------------------------------


def row(to: str, message_id: str | None, channel: str | None = "sms") -> dict[str, object]:
    return {"message_id": message_id, "to": to, "channel": channel, "body": "rendered \u2600", "new": [1]}


def answer(*rows: dict[str, object], **more: object) -> bytes:
    data = {"status": "QUEUED", "template_id": None, "recipients": list(rows)}
    return json.dumps({"success": True, "data": data, "error": None, "meta": {"request_id": "req_1"}, **more}).encode()


def reply(body: bytes, status: int = 202, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=body, started=NOW, ended=NOW)


BOTH = (Channel.SMS, Channel.WHATSAPP)
SPACED = "+1 415-555-0101"
ALL = (row(ANNA, "a"), row(BEN, "b"), row(CARL, "c"))
MATCHED = {
    "rows as asked": (batch(), answer(*ALL), ("a", "b", "c"), {}),
    "rows in another order": (batch(), answer(*reversed(ALL)), ("a", "b", "c"), {}),
    "channel in capitals": (batch(ANNA), answer(row(ANNA, "a", "SMS")), ("a",), {}),
    "a single channel left out": (batch(ANNA), answer(row(ANNA, "a", None)), ("a",), {}),
    "auto says null": (batch(ANNA, channels=AUTO), answer(row(ANNA, "a", None)), ("a",), {}),
    "auto says sent": (batch(ANNA, channels=AUTO), answer(row(ANNA, "a", "sent")), ("a",), {}),
    "auto says anything": (batch(ANNA, channels=AUTO), answer(row(ANNA, "a", "whatsapp")), ("a",), {}),
    "two channels as asked": (
        batch(ANNA, BEN, channels=BOTH),
        answer(row(ANNA, "1"), row(ANNA, "2", "whatsapp"), row(BEN, "3"), row(BEN, "4", "whatsapp")),
        ("1", "2", "3", "4"),
        {},
    ),
    "two channels, channel by channel": (
        batch(ANNA, BEN, channels=BOTH),
        answer(row(ANNA, "1"), row(BEN, "3"), row(ANNA, "2", "whatsapp"), row(BEN, "4", "whatsapp")),
        ("1", "2", "3", "4"),
        {},
    ),
    "a number with spaces": (batch(), answer(ALL[0], row(SPACED, "b"), ALL[2]), ("a", "b", "c"), {1: SPACED}),
    "a number without its plus": (batch(ANNA), answer(row(ANNA[1:], "a")), ("a",), {0: ANNA[1:]}),
    "one number rewritten": (batch(), answer(ALL[0], row("+5491", "b"), ALL[2]), ("a", "b", "c"), {1: "+5491"}),
    "one number rewritten on both channels": (
        batch(ANNA, BEN, channels=BOTH),
        answer(row(ANNA, "1"), row(ANNA, "2", "whatsapp"), row("+5491", "4", "whatsapp"), row("+5491", "3")),
        ("1", "2", "3", "4"),
        {1: "+5491"},
    ),
}  # fmt: skip
PARTS: dict[str, tuple[Batch, bytes, tuple[str | None, ...], dict[int, str]]] = {
    "one entry missing": (batch(), answer(ALL[0], ALL[2]), ("a", None, "c"), {}),
    "one channel missing": (batch(ANNA, channels=BOTH), answer(row(ANNA, "2", "whatsapp")), (None, "2"), {}),
    "no entry at all": (batch(ANNA), answer(), (None,), {}),
    "an entry without an id": (batch(ANNA, BEN), answer(row(ANNA, None), row(BEN, "b")), (None, "b"), {}),
    "an entry with an empty id": (batch(ANNA, BEN), answer(row(ANNA, ""), row(BEN, "b")), (None, "b"), {}),
}
FOREIGN = {
    "two numbers nobody knows": (batch(), answer(ALL[0], row("+5491", "b"), row("+5492", "c"))),
    "one unknown number for two that are missing": (batch(), answer(ALL[0], row("+5491", "b"))),
    "one more than asked for": (batch(), answer(*ALL, row("+5491", "d"))),
    "somebody twice": (batch(), answer(*ALL, row(ANNA, "d"))),
    "somebody twice in the place of another": (batch(), answer(ALL[0], row(ANNA, "b"), ALL[2])),
    "the same message id twice": (batch(), answer(ALL[0], row(BEN, "a"), ALL[2])),
    "everybody else": (batch(ANNA, BEN), answer(row("+5491", "a"), row("+5492", "b"))),
    "a channel that was not asked for": (batch(ANNA), answer(row(ANNA, "a", "whatsapp"))),
    "two channels, both left out": (batch(ANNA, channels=BOTH), answer(row(ANNA, "1", None), row(ANNA, "2", None))),
    "a number written in two ways": (batch(ANNA), answer(row(ANNA, "a"), row(ANNA[1:], "b"))),
}
UNREADABLE = {
    "nothing": b"",
    "html": b"<html>ok</html>",
    "cut off": answer(*ALL)[:-20],
    "not UTF-8": answer(*ALL).replace(b"req_1", b"\xff\xfe"),
    "too deep": b'{"success":true,"meta":' + b"[" * 100_000,
    "a list": b"[]",
    "success is false": answer(*ALL, success=False),
    "success is missing": answer(*ALL).replace(b'"success": true, ', b""),
    "success is a word": answer(*ALL, success="true"),
    "no data": answer(*ALL, data=None),
    "recipients is null": answer(data={"recipients": None}),
    "an entry without a number": answer(data={"recipients": [{"message_id": "a"}]}),
    "an id that is no text": answer(data={"recipients": [{"message_id": 5, "to": ANNA}]}),
}


@pytest.mark.parametrize(("asked", "body", "ids", "rewritten"), MATCHED.values(), ids=MATCHED)
def test_a_whole_answer_is_matched(asked: Batch, body: bytes, ids: tuple[str, ...], rewritten: dict[int, str]) -> None:
    reading = read(asked, body)

    assert (reading.message_ids, reading.server_to, reading.missing) == (ids, rewritten, 0)
    assert hear(asked, reply(body)).shape is Shape.WHOLE


@pytest.mark.parametrize(("asked", "body", "ids", "rewritten"), PARTS.values(), ids=PARTS)
def test_what_an_answer_leaves_out_is_missing(
    asked: Batch, body: bytes, ids: tuple[str | None, ...], rewritten: dict[int, str]
) -> None:
    reading = read(asked, body)

    assert (reading.message_ids, reading.server_to) == (ids, rewritten)
    assert reading.missing == ids.count(None)
    assert hear(asked, reply(body)).shape is Shape.PARTIAL


@pytest.mark.parametrize(("asked", "body"), FOREIGN.values(), ids=FOREIGN)
def test_an_answer_is_foreign_when_it_has(asked: Batch, body: bytes) -> None:
    assert hear(asked, reply(body)).shape is Shape.FOREIGN
    with pytest.raises(ValueError, match="foreign"):
        read(asked, body)


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_is_unreadable_when_it_is(body: bytes) -> None:
    assert hear(batch(), reply(body)).shape is Shape.UNREADABLE
    with pytest.raises(ValueError, match="unreadable"):
        read(batch(), body)


@given(order=st.permutations(range(6)), dropped=st.sets(st.integers(0, 5)))
def test_matching_never_depends_on_the_order_of_rows(order: list[int], dropped: set[int]) -> None:
    rows = [row(to, f"{to}/{channel}", channel) for to in (ANNA, BEN, CARL) for channel in BOTH]
    body = answer(*(rows[n] for n in order if n not in dropped))

    ids = read(batch(channels=BOTH), body).message_ids

    assert ids == tuple(None if n in dropped else rows[n]["message_id"] for n in range(6))


def test_a_success_carries_its_request_id_and_says_that_it_is_no_replay() -> None:
    heard = hear(batch(), reply(answer(*ALL)))

    assert (heard.status, heard.code, heard.request_id, heard.replayed) == (202, "", "req_1", "")


def test_a_replay_names_the_first_request() -> None:
    heard = hear(batch(), reply(answer(*ALL), idempotent_replayed="true", x_original_request_id="req_0"))

    assert heard.replayed == "req_0"


def test_an_answer_that_is_no_success_is_heard_as_an_error() -> None:
    body = json.dumps({"success": False, "error": {"code": "VALIDATION_002", "details": {"to[1]": ["bad"]}}}).encode()
    heard = hear(batch(), reply(body, 400))

    assert (heard.shape, heard.code, heard.blamed) == (Shape.ERROR, "VALIDATION_002", (1,))


def test_a_refusal_is_no_reading_whatever_its_body_says() -> None:
    assert hear(batch(), reply(answer(*ALL), 500)).shape is Shape.ERROR
