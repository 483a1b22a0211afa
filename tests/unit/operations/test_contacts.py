"""Creating contacts on the wire: which requests follow which answers, and what the last one says."""

import json
from dataclasses import replace

import pytest

from broadcaster.core.classify import classify
from broadcaster.core.values import Batch, Instant, Message, Reply, Scope
from broadcaster.core.words import Action, Channel, Executed, Mode, Repeat, Shape
from broadcaster.operations.contacts import CONTACTS_V3, PARAMETERS, encode, hear, next_request, read

NOW = Instant(wall_us=1_800_000_000_000_000)
ANNA = "+14155550100"
ID = "8ba7b830-9dad-11d1-80b4-00c04fd430c8"
SCOPE = Scope(campaign="c", generation="0", mode=Mode.LIVE, profile=None, method="POST", path="/v3/contacts")
LIVE = Message(scope=SCOPE)
SANDBOX = Message(scope=replace(SCOPE, mode=Mode.SANDBOX))
PLAIN, OPTED_OUT = (
    Batch(id=0, key="f1-key", to=(ANNA,), channels=(Channel.AUTO,), parameters=each.encode()) for each in PARAMETERS
)


def contact(**told: object) -> dict[str, object]:
    return {"id": ID, "format_e164": ANNA, "available_channels": "sms,whatsapp", "opt_out": False, **told}


def said(status: int, data: object) -> Reply:
    body = json.dumps({"success": True, "data": data, "meta": {"request_id": "req_1"}}).encode()
    return Reply(status=status, headers={}, body=body, started=NOW, ended=NOW)


def refused(status: int, code: str) -> Reply:
    body = json.dumps({"success": False, "error": {"code": code, "message": "no"}}).encode() if code else b""
    return Reply(status=status, headers={}, body=body, started=NOW, ended=NOW)


CREATED = said(201, contact())
CREATED_OUT = said(201, contact(opt_out=True))
EXISTS = refused(409, "RESOURCE_007")
FOUND = said(200, {"contacts": [contact(id="another", format_e164="+141555501001"), contact()]})
FOUND_OUT = said(200, {"contacts": [contact(opt_out=True)]})
NOBODY = said(200, {"contacts": []})
SET = said(200, contact(opt_out=True))
SEARCH = ("GET", "/v3/contacts?phone=%2B14155550100&page_size=100", b"", None)
PATCH = ("PATCH", f"/v3/contacts/{ID}", b'{"opt_out":true}', "f1-key-o")

FOLLOWING = {  # batch, message, replies so far → the next request
    "created": (PLAIN, LIVE, (CREATED,), None),
    "created, opted out": (OPTED_OUT, LIVE, (CREATED,), PATCH),
    "created, opted out already": (OPTED_OUT, LIVE, (CREATED_OUT,), None),
    "created, opted out, set": (OPTED_OUT, LIVE, (CREATED, SET), None),
    "set, and the api does not say so": (OPTED_OUT, LIVE, (CREATED, CREATED), None),
    "there already": (PLAIN, LIVE, (EXISTS,), SEARCH),
    "there already, by a gateway without a code": (PLAIN, LIVE, (refused(409, ""),), SEARCH),
    "there already, found": (PLAIN, LIVE, (EXISTS, FOUND), None),
    "there already, found, opted out": (OPTED_OUT, LIVE, (EXISTS, FOUND), PATCH),
    "there already, found opted out": (OPTED_OUT, LIVE, (EXISTS, FOUND_OUT), None),
    "there already, has opted out at Sent": (PLAIN, LIVE, (EXISTS, FOUND_OUT), None),
    "there already, found, set": (OPTED_OUT, LIVE, (EXISTS, FOUND, SET), None),
    "there already, not found": (OPTED_OUT, LIVE, (EXISTS, NOBODY), None),
    "the search fails": (OPTED_OUT, LIVE, (EXISTS, refused(500, "INTERNAL_001")), None),
    "the same request is on its way": (PLAIN, LIVE, (refused(409, "CONFLICT_001"),), None),
    "the key is another request's": (PLAIN, LIVE, (refused(409, "CONFLICT_005"),), None),
    "refused": (OPTED_OUT, LIVE, (refused(400, "VALIDATION_002"),), None),
    "the sandbox keeps nothing": (OPTED_OUT, SANDBOX, (CREATED,), None),
}


@pytest.mark.parametrize(("batch", "message", "replies", "wanted"), FOLLOWING.values(), ids=FOLLOWING)
def test_what_follows(
    batch: Batch, message: Message, replies: tuple[Reply, ...], wanted: tuple[object, ...] | None
) -> None:
    found = next_request(message, batch, replies)
    assert wanted == (None if found is None else (found.method, found.path, found.body, found.key))


HEARD = {
    "created": (CREATED, Shape.WHOLE, Action.ACCEPT, Executed.YES),
    "found": (FOUND, Shape.WHOLE, Action.ACCEPT, Executed.YES),
    "not found, though it exists": (NOBODY, Shape.ERROR, Action.REJECT, Executed.NO),
    "gone when its opt-out was set": (refused(404, "RESOURCE_001"), Shape.ERROR, Action.REJECT, Executed.NO),
    "inherited": (refused(400, "BUSINESS_001"), Shape.ERROR, Action.REJECT, Executed.NO),
    "inherited, in May": (refused(422, "BUSINESS_001"), Shape.ERROR, Action.REJECT, Executed.NO),
    "somebody else's number": (
        said(201, contact(format_e164="+14155550199")),
        Shape.FOREIGN,
        Action.STOP,
        Executed.YES,
    ),
    "no id": (said(201, contact(id="")), Shape.UNREADABLE, Action.REPEAT, Executed.UNKNOWN),
    "on its way": (refused(409, "CONFLICT_001"), Shape.ERROR, Action.REPEAT, Executed.UNKNOWN),
}


@pytest.mark.parametrize(("reply", "shape", "action", "executed"), HEARD.values(), ids=HEARD)
def test_what_the_last_answer_means(reply: Reply, shape: Shape, action: Action, executed: Executed) -> None:
    heard = hear(PLAIN, reply)
    verdict = classify(heard, repeat=Repeat.NATURAL, doubtful=False, codes=CONTACTS_V3.codes)
    assert (heard.shape, verdict.action, verdict.executed) == (shape, action, executed)
    assert not verdict.sentence or ANNA not in verdict.sentence


READ = {
    "created": (CREATED, "sms,whatsapp", False),
    "set": (SET, "sms,whatsapp", True),
    "found among others": (FOUND, "sms,whatsapp", False),
    "channels as an array": (said(200, contact(available_channels=["sms", "rcs"])), "sms,rcs", False),
    "nothing told": (said(200, {"id": ID}), None, None),
    "a list that is named otherwise": (said(200, {"items": [contact()]}), "sms,whatsapp", False),
    "a bare list": (said(200, [contact()]), "sms,whatsapp", False),
}


@pytest.mark.parametrize(("reply", "channels", "opt_out"), READ.values(), ids=READ)
def test_the_manifest_gets_what_the_api_says_of_the_contact(
    reply: Reply, channels: str | None, opt_out: object
) -> None:
    reading = read(PLAIN, reply.body)
    assert reading.message_ids == (ID,)
    assert reading.columns == {"available_channels": (channels,), "opt_out": (opt_out,)}


def test_the_sandbox_is_asked_for_in_the_body() -> None:
    assert encode(SANDBOX, PLAIN) == b'{"phone_number":"+14155550100","sandbox":true}'
