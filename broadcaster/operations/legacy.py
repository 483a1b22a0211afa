"""The first version of the API: ``POST /v1/messages/phone`` and ``/v1/messages/contact``, one recipient a request.

Theory of operation. There is no idempotency key and no message id: an empty 204 is all that a success says. So nothing
protects a repeat, and nothing can be looked up: an attempt without a clear answer stays in doubt for ever, unless a
person decides. Two names are documented for the variables of a template; both are sent, because a server that looks at
one of them leaves the other alone, and a message without its values would go out to everybody.
"""

from typing import Any

import msgspec
import orjson

from broadcaster.core.classify import Row
from broadcaster.core.values import Batch, Heard, Message, Reading, Reply
from broadcaster.core.words import Action, Executed, Repeat, Shape
from broadcaster.operations.envelope import hear_error, request_id, retry_after_s
from broadcaster.operations.model import Operation

CONTACT_ID = "@contact_id"
"""The entry of a batch's parameters that holds the contact's id: no parameter of the template may have this name."""


class _Said(msgspec.Struct):
    success: bool = True
    meta: Any = None


_SAYINGS = msgspec.json.Decoder(_Said)


def encode_to_phone(message: Message, batch: Batch) -> bytes:
    """Return the body of a message to a number, format ``f1``."""
    return _body(b'{"phoneNumber":' + orjson.dumps(batch.to[0]), message, batch.parameters)


def encode_to_contact(message: Message, batch: Batch) -> bytes:
    """Return the body of a message to a contact, format ``f1``; its id is among the batch's parameters."""
    parameters = orjson.loads(batch.parameters)
    contact = parameters.pop(CONTACT_ID)
    return _body(b'{"contactId":' + orjson.dumps(contact), message, orjson.dumps(parameters))


def _body(recipient: bytes, message: Message, parameters: bytes) -> bytes:
    parts = [recipient, b',"templateId":', orjson.dumps(message.template_id)]
    if parameters != b"{}":
        parts += [b',"templateVariables":', parameters, b',"messageBody":', parameters]
    return b"".join([*parts, b"}"])


def hear(batch: Batch, reply: Reply) -> Heard:
    """Return what the classification may know of a reply."""
    if not 200 <= reply.status < 300:  # noqa: PLR2004 - the success class
        return hear_error(batch.to, reply)
    said = _understand(reply.body)
    return Heard(
        status=reply.status,
        shape=Shape.UNREADABLE if said is None else Shape.WHOLE,
        retry_after_s=retry_after_s(reply),
        request_id=request_id(said.meta if said else None, reply.headers),
    )


def read(batch: Batch, body: bytes) -> Reading:
    """Return that nobody told an id.

    Raises:
        ValueError: the body is no success.
    """
    if _understand(body) is None:
        raise ValueError("The answer is not one of the API")
    return Reading(message_ids=(None,) * batch.deliveries, server_to={})


def _understand(body: bytes) -> _Said | None:
    """Return what a success says, which is nothing as a rule; ``None`` where it is none of the API's."""
    if not body.strip():
        return _Said()
    try:
        said = _SAYINGS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if said.success else None


_NO_CONTACT = Row(action=Action.REJECT, executed=Executed.NO, sentence="The API does not know a contact of this id.")

TO_PHONE = Operation(
    name="messages/v1",
    method="POST",
    path="/v1/messages/phone",
    repeat=Repeat.NEVER,
    largest_batch=1,
    encode=encode_to_phone,
    hear=hear,
    read=read,
    gives_ids=False,
    looks_ahead=False,
    has_sandbox=False,
    is_legacy=True,
)
TO_CONTACT = Operation(
    name="messages/v1-contact",
    method="POST",
    path="/v1/messages/contact",
    repeat=Repeat.NEVER,
    largest_batch=1,
    encode=encode_to_contact,
    hear=hear,
    read=read,
    codes={(404, "RESOURCE_001"): _NO_CONTACT},
    gives_ids=False,
    looks_ahead=False,
    has_sandbox=False,
    is_legacy=True,
)
