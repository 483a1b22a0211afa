"""Creating contacts: ``POST /v3/contacts``, one number a request; what it takes besides, and its answers.

Theory of operation. Three requests may be needed for one number. It is created; where the API has it already (409), it
is looked up by its number, because the refusal does not name it; where the list says that it has opted out and the
contact does not say so yet, that is set. An opt-out is never taken back: whoever opted out at Sent stays opted out.
Whatever was done before is found done, so all of it may be done again at any time.

The last of the replies is the answer, and the only one that is kept: each of the three shows the contact.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from broadcaster.core.classify import Row
from broadcaster.core.values import Batch, Heard, Message, Reading, Reply, Request
from broadcaster.core.words import Action, Executed, Mode, Repeat, Shape
from broadcaster.operations.envelope import hear_error, request_id, retry_after_s
from broadcaster.operations.model import Column, Operation

PATH = "/v3/contacts"
PARAMETERS = ("{}", '{"opt_out":true}')
"""What a batch says besides the number, as the plan has it: of whom the list says nothing, and of who has opted out."""

_OPT_OUT = PARAMETERS[1].encode()
_CONFLICT = 409
_EXISTS = "RESOURCE_007"
_ANOTHER_CONFLICT = "CONFLICT_"  # the same request is still on its way, or its key belongs to another one
_PAGE_SIZE = 100  # a whole number is part of few others


class Found(msgspec.Struct):
    """A contact as the API shows it; whatever it does not tell is not there."""

    id: str = ""
    phone_number: str = ""
    format_e164: str = ""
    available_channels: Any = None
    opt_out: Any = None

    @property
    def digits(self) -> str:
        """The number without any mark; "" where it is not told."""
        return _digits(self.format_e164 or self.phone_number)


class _Answer(msgspec.Struct):
    data: Any
    success: bool = True
    meta: Any = None


_ANSWERS = msgspec.json.Decoder(_Answer)


def encode(message: Message, batch: Batch) -> bytes:
    """Return the body of a contact's creation, format ``f1``."""
    sandbox = b',"sandbox":true' if message.scope.mode is Mode.SANDBOX else b""
    return b'{"phone_number":' + orjson.dumps(batch.to[0]) + sandbox + b"}"


def next_request(message: Message, batch: Batch, replies: tuple[Reply, ...]) -> Request | None:
    """Return the look-up of a contact that is there already, or the setting of its opt-out; ``None`` when all is said.

    Sent's sandbox keeps nothing, so that there is nothing to set in it.
    """
    was_there = _is_there(batch, replies[0])
    if was_there and len(replies) == 1:
        return Request(method="GET", path=f"{PATH}?phone={quote(batch.to[0], safe='')}&page_size={_PAGE_SIZE}")
    is_set = len(replies) > (2 if was_there else 1)
    if is_set or batch.parameters != _OPT_OUT or message.scope.mode is Mode.SANDBOX or not _is_yes(replies[-1]):
        return None
    contact = _understand(batch, replies[-1].body)[1]
    if contact is None or contact.opt_out is True:
        return None
    return Request(
        method="PATCH",
        path=f"{PATH}/{quote(contact.id, safe='')}",
        body=b'{"opt_out":true}',
        key=f"{batch.key}-o",  # a key of its own: another request, and as deterministic
    )


def hear(batch: Batch, reply: Reply) -> Heard:
    """Return what the classification may know of the last reply.

    A search that does not find the number leaves the refusal before it as it was.
    """
    if not _is_yes(reply):
        return hear_error(batch.to, reply)
    shape, _, meta = _understand(batch, reply.body)
    named = request_id(meta, reply.headers)
    if shape is Shape.ERROR:
        return Heard(status=_CONFLICT, shape=shape, code=_EXISTS, request_id=named)
    return Heard(status=reply.status, shape=shape, retry_after_s=retry_after_s(reply), request_id=named)


def read(batch: Batch, body: bytes) -> Reading:
    """Return the id of the contact, and what the API says of it.

    Raises:
        ValueError: the body does not show it.
    """
    shape, contact, _ = _understand(batch, body)
    if contact is None:
        raise ValueError(f"The answer is {shape}")
    told = contact.opt_out if isinstance(contact.opt_out, bool) else None
    return Reading(
        message_ids=(contact.id,),
        server_to={},
        columns={"available_channels": (_channels(contact.available_channels),), "opt_out": (told,)},
    )


def contacts_in(data: object) -> list[object] | None:
    """Return the entries of a list of contacts; ``None`` where *data* is no list."""
    if isinstance(data, dict):
        data = next((data[name] for name in ("contacts", "items") if name in data), None)
    return data if isinstance(data, list) else None


def as_found(entry: object) -> Found | None:
    """Return an entry as a contact; ``None`` where it is none or has no id."""
    try:
        found = msgspec.convert(entry, type=Found)
    except msgspec.ValidationError:
        return None
    return found if found.id else None


def _understand(batch: Batch, body: bytes) -> tuple[Shape, Found | None, object]:
    """Find the contact in an answer; there is one exactly when the answer is whole.

    ``ERROR`` is a list that does not have it.
    """
    try:
        answer = _ANSWERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Shape.UNREADABLE, None, None
    if not answer.success:
        return Shape.UNREADABLE, None, answer.meta
    entries = contacts_in(answer.data)
    if entries is not None:
        found = next((each for each in map(as_found, entries) if each and each.digits == batch.to[0][1:]), None)
        return (Shape.WHOLE if found else Shape.ERROR), found, answer.meta
    contact = as_found(answer.data)
    if contact is None:
        return Shape.UNREADABLE, None, answer.meta
    if contact.digits not in {"", batch.to[0][1:]}:
        return Shape.FOREIGN, None, answer.meta
    return Shape.WHOLE, contact, answer.meta


def _is_yes(reply: Reply) -> bool:
    return 200 <= reply.status < 300  # noqa: PLR2004 - the success class


def _is_there(batch: Batch, reply: Reply) -> bool:
    """Whether the creation was refused because there is such a contact; a gateway may have dropped the code."""
    return reply.status == _CONFLICT and not hear_error(batch.to, reply).code.startswith(_ANOTHER_CONFLICT)


def _channels(told: object) -> str | None:
    """Return available channels as the API writes them, with commas between; some versions may send an array."""
    if isinstance(told, str):
        return told
    return ",".join(map(str, told)) if isinstance(told, list) else None


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _refused(sentence: str) -> Row:
    return Row(action=Action.REJECT, executed=Executed.NO, sentence=sentence)


_READ_ONLY = _refused("The contact is inherited from another account and cannot be changed: its opt-out is not set.")
_CODES: Mapping[tuple[int, str], Row] = MappingProxyType(
    {
        (_CONFLICT, _EXISTS): _refused("The API has a contact of this number and does not show it."),
        (404, "RESOURCE_001"): _refused("The contact was gone when its opt-out was to be set."),
        (400, "BUSINESS_001"): _READ_ONLY,
        (422, "BUSINESS_001"): _READ_ONLY,
    }
)

CONTACTS_V3 = Operation(
    name="contacts/v3",
    method="POST",
    path=PATH,
    repeat=Repeat.NATURAL,
    largest_batch=1,
    encode=encode,
    hear=hear,
    read=read,
    next_request=next_request,
    codes=_CODES,
    columns=(Column(name="available_channels", kind=str), Column(name="opt_out", kind=bool)),
    id_column="contact_id",
    sends_messages=False,
    takes_opt_outs=True,
)
