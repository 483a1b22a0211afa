"""The first version of the API on the wire."""

import json

import pytest

from broadcaster.core.classify import classify
from broadcaster.core.values import Batch, Instant, Message, Reply, Scope
from broadcaster.core.words import Action, Channel, Executed, Mode, Shape
from broadcaster.operations.legacy import CONTACT_ID, TO_CONTACT, TO_PHONE, hear

NOW = Instant(wall_us=1_800_000_000_000_000)
ANNA = "+14155550100"
ID = "8ba7b830-9dad-11d1-80b4-00c04fd430c8"
TEMPLATE = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"
SCOPE = Scope(campaign="c", generation="0", mode=Mode.LIVE, profile=None, method="POST", path="/v1/messages/phone")
MESSAGE = Message(template_id=TEMPLATE, scope=SCOPE)


def batch(parameters: str = "{}") -> Batch:
    return Batch(id=0, key="f1-key", to=(ANNA,), channels=(Channel.AUTO,), parameters=parameters.encode())


def reply(status: int, body: bytes = b"") -> Reply:
    return Reply(status=status, headers={}, body=body, started=NOW, ended=NOW)


def test_without_variables_the_template_is_all() -> None:
    assert json.loads(TO_PHONE.encode(MESSAGE, batch())) == {"phoneNumber": ANNA, "templateId": TEMPLATE}
    asked = TO_CONTACT.encode(MESSAGE, batch(f'{{"{CONTACT_ID}":"{ID}"}}'))
    assert json.loads(asked) == {"contactId": ID, "templateId": TEMPLATE}


def test_the_variables_stand_under_both_names_that_are_documented_and_the_contact_is_none_of_them() -> None:
    asked = json.loads(TO_CONTACT.encode(MESSAGE, batch(f'{{"{CONTACT_ID}":"{ID}","a":"\\"quoted\\" 😀"}}')))
    assert asked["templateVariables"] == asked["messageBody"] == {"a": '"quoted" 😀'}
    assert asked["contactId"] == ID


YES = {
    "204, as documented": (204, b"", Shape.WHOLE),
    "200 without a body": (200, b"", Shape.WHOLE),
    "202 with some object": (202, b'{"status":"queued"}', Shape.WHOLE),
    "a login page": (200, b"<html>", Shape.UNREADABLE),
    "a no in the clothes of a yes": (200, b'{"success":false}', Shape.UNREADABLE),
}


@pytest.mark.parametrize(("status", "body", "shape"), YES.values(), ids=YES)
def test_what_is_a_yes(status: int, body: bytes, shape: Shape) -> None:
    assert hear(batch(), reply(status, body)).shape is shape


def test_a_contact_that_is_not_known_is_refused_alone() -> None:
    unknown = reply(404, b'{"success":false,"error":{"code":"RESOURCE_001","message":"no"}}')
    for operation, action in ((TO_CONTACT, Action.REJECT), (TO_PHONE, Action.STOP)):
        heard = operation.hear(batch(), unknown)
        verdict = classify(heard, repeat=operation.repeat, doubtful=False, codes=operation.codes)
        assert (verdict.action, verdict.executed) == (action, Executed.NO)
