"""What the engine may rely on in an operation: one suite on every entry of the table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from broadcaster.core.classify import classify
from broadcaster.core.values import Batch, Heard, Instant, Lost, Message, Reply, Request, Scope, Unsent
from broadcaster.core.words import Action, Channel, Executed, Mode, Repeat, Shape
from broadcaster.operations import OPERATIONS
from broadcaster.operations.legacy import CONTACT_ID
from broadcaster.operations.model import Operation
from broadcaster.store.manifest import MANIFEST, schema_of

NOW = Instant(wall_us=1_800_000_000_000_000)
ANNA = "+14155550100"
ANNAS_ID = "8ba7b830-9dad-11d1-80b4-00c04fd430c8"
TEMPLATE = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"
CONTACT = {"id": ANNAS_ID, "format_e164": ANNA, "available_channels": "sms,whatsapp", "opt_out": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A batch of an operation, its body for ever, and an answer that accepts it."""

    parameters: str
    body: str
    status: int
    answer: bytes


def _said(data: object) -> bytes:
    return json.dumps({"success": True, "data": data, "error": None, "meta": {"request_id": "req_1"}}).encode()


SAMPLES = {
    ("message", "v3"): Sample(
        parameters='{"name":"Zoë"}',
        body='{"to":["+14155550100"],"template":{"id":"7ba7b820-9dad-11d1-80b4-00c04fd430c8","parameters":{"name":"Zoë"}}}',
        status=202,
        answer=_said({"recipients": [{"to": ANNA, "message_id": ANNAS_ID, "channel": None}]}),
    ),
    ("contacts", "v3"): Sample(
        parameters="{}", body='{"phone_number":"+14155550100"}', status=201, answer=_said(CONTACT)
    ),
    ("message", "v1"): Sample(
        parameters='{"name":"Zoë"}',
        body=(
            '{"phoneNumber":"+14155550100","templateId":"7ba7b820-9dad-11d1-80b4-00c04fd430c8",'
            '"templateVariables":{"name":"Zoë"},"messageBody":{"name":"Zoë"}}'
        ),
        status=204,
        answer=b"",
    ),
    ("message", "v1-contact"): Sample(
        parameters=f'{{"{CONTACT_ID}":"{ANNAS_ID}","name":"Zoë"}}',
        body=(
            '{"contactId":"8ba7b830-9dad-11d1-80b4-00c04fd430c8","templateId":"7ba7b820-9dad-11d1-80b4-00c04fd430c8",'
            '"templateVariables":{"name":"Zoë"},"messageBody":{"name":"Zoë"}}'
        ),
        status=204,
        answer=b"",
    ),
}
ENTRIES = [pytest.param(OPERATIONS[key], SAMPLES.get(key), id="/".join(key)) for key in OPERATIONS]
every_operation = pytest.mark.parametrize(("operation", "sample"), ENTRIES)
REPEATABLE = {Repeat.KEYED, Repeat.NATURAL}
NO_ANSWERS = {
    "nothing at all": b"",
    "a page": b"<html>welcome to the hotel</html>",
    "half of an answer": b'{"success": true, "data": {"id": "8b',
    "no success": b'{"success": false, "data": null}',
    "no data": b'{"success": true, "data": null}',
    "bytes that are no text": b'{"success": true, "data": "\xff\xfe"}',
    "a number": b"42",
    "nested beyond reason": b"[" * 200_000,
}


def _message(operation: Operation) -> Message:
    scope = Scope(
        campaign="c", generation="0", mode=Mode.LIVE, profile=None, method=operation.method, path=operation.path
    )
    return Message(template_id=TEMPLATE, scope=scope)


def _batch(sample: Sample) -> Batch:
    return Batch(id=0, key="f1-key", to=(ANNA,), channels=(Channel.AUTO,), parameters=sample.parameters.encode())


def _reply(status: int, body: bytes = b"") -> Reply:
    return Reply(status=status, headers={}, body=body, started=NOW, ended=NOW)


def _judged(operation: Operation, batch: Batch, result: Reply | Lost | Unsent) -> tuple[Action, Executed]:
    heard: Heard | Lost | Unsent = operation.hear(batch, result) if isinstance(result, Reply) else result
    verdict = classify(heard, repeat=operation.repeat, doubtful=False, codes=operation.codes)
    return verdict.action, verdict.executed


def test_every_entry_of_the_table_has_a_sample_here() -> None:
    assert OPERATIONS.keys() == SAMPLES.keys()
    assert len({each.name for each in OPERATIONS.values()}) == len(OPERATIONS)


@every_operation
def test_its_body_is_format_f1_for_ever(operation: Operation, sample: Sample) -> None:
    assert operation.encode(_message(operation), _batch(sample)) == sample.body.encode()
    json.loads(sample.body)


@every_operation
def test_its_request_has_a_key_exactly_where_somebody_looks_at_it(operation: Operation, sample: Sample) -> None:
    request = operation.request(_message(operation), _batch(sample))
    assert (request.method, request.path) == (operation.method, operation.path)
    assert request.key == ("f1-key" if operation.repeat in REPEATABLE else None)
    assert request.messages == (1 if operation.sends_messages else 0)


@every_operation
def test_a_yes_is_whole_and_reads_as_what_it_promises(operation: Operation, sample: Sample) -> None:
    batch, reply = _batch(sample), _reply(sample.status, sample.answer)
    assert operation.hear(batch, reply).shape is Shape.WHOLE
    assert _judged(operation, batch, reply) == (Action.ACCEPT, Executed.YES)
    reading = operation.read(batch, sample.answer)
    assert reading.message_ids == ((ANNAS_ID,) if operation.gives_ids else (None,))
    assert set(reading.columns) == {each.name for each in operation.columns}
    assert all(len(cells) == batch.deliveries for cells in reading.columns.values())
    kinds = {each.name: each.kind for each in operation.columns}
    assert all(isinstance(cell, kinds[name]) for name, cells in reading.columns.items() for cell in cells)


@every_operation
@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_it_hears_as_a_yes_it_can_read_and_nothing_else(operation: Operation, sample: Sample, body: bytes) -> None:
    batch = _batch(sample)
    shape = operation.hear(batch, _reply(200, body)).shape
    if shape in {Shape.WHOLE, Shape.PARTIAL}:
        operation.read(batch, body)
        assert not operation.gives_ids, "there is no id in it"
    else:
        with pytest.raises(ValueError, match=r"answer"):
            operation.read(batch, body)


AMBIGUOUS = {
    "no answer": Lost(reason="timeout", started=NOW, ended=NOW),
    "500": _reply(500),
    "502 with a page": _reply(502, b"<h1>Bad Gateway</h1>"),
    "504": _reply(504),
    "408": _reply(408),
    "a yes that is a page": _reply(200, b"<html>"),
}


@every_operation
@pytest.mark.parametrize("result", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_doubt_is_repeated_only_where_something_protects(
    operation: Operation, sample: Sample, result: Reply | Lost
) -> None:
    wanted = Action.REPEAT if operation.repeat in REPEATABLE else Action.HOLD
    assert _judged(operation, _batch(sample), result) == (wanted, Executed.UNKNOWN)


DECIDED = {
    "never left": (Unsent(reason="refused", started=NOW, ended=NOW), Action.REPEAT),
    "429": (_reply(429), Action.REPEAT),
    "401": (_reply(401), Action.STOP),
    "403": (_reply(403), Action.STOP),
    "402": (_reply(402), Action.STOP),
    "400": (_reply(400), Action.SPLIT),
    "404": (_reply(404), Action.STOP),
}


@every_operation
@pytest.mark.parametrize(("result", "action"), DECIDED.values(), ids=DECIDED)
def test_a_refusal_creates_nothing(
    operation: Operation, sample: Sample, result: Reply | Unsent, action: Action
) -> None:
    assert _judged(operation, _batch(sample), result) == (action, Executed.NO)


@every_operation
def test_only_what_repeats_naturally_asks_twice_and_it_comes_to_an_end(operation: Operation, sample: Sample) -> None:
    if operation.next_request is None:
        return
    assert operation.repeat is Repeat.NATURAL
    answers = [sample.answer, _said({"contacts": [CONTACT]}), _said({"contacts": []}), b"", b"<html>"]
    replies = [_reply(status, body) for status in (200, 201, 404, 409, 429, 500) for body in answers]
    for chain in _chains(operation, _batch(sample), replies):
        assert len(chain) <= 3


def _chains(operation: Operation, batch: Batch, replies: list[Reply]) -> Iterator[tuple[Reply, ...]]:
    """Yield every way in which the API may answer."""
    further = operation.next_request
    assert further is not None
    asking: list[tuple[Reply, ...]] = [(reply,) for reply in replies]
    while asking:
        chain = asking.pop()
        following = further(_message(operation), batch, chain)
        if following is None:
            yield chain
            continue
        assert isinstance(following, Request)
        assert following.messages == 0
        assert len(chain) < 4, "it never ends"
        asking += [(*chain, reply) for reply in replies[:: len(chain) + 1]]


@every_operation
def test_its_manifest_is_everybodys_with_its_own_columns_behind(operation: Operation, sample: Sample) -> None:
    schema = schema_of(operation)
    assert sample is not None
    assert list(schema)[: len(MANIFEST)] == list(MANIFEST)
    assert len(set(schema.names)) == len(schema.names)
    own = [] if operation.id_column == "message_id" else [operation.id_column]
    assert schema.names[len(MANIFEST) :] == [*own, *(each.name for each in operation.columns)]
