"""How every look-up asks, and how it takes an answer apart: what a refusal means, and the data inside the envelope.

Look-ups repeat freely; whoever hands in ``send`` decides about pace and retries. Knows no endpoint.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from broadcaster.core.values import Heard, Lost, Reply, Request, Unsent
from broadcaster.errors import AccountRefused, ContractBroken, RequestRefused, Unreachable
from broadcaster.operations.envelope import hear_error

Sending = Callable[[Request], Awaitable[Reply | Lost | Unsent]]
T = TypeVar("T")
UNREADABLE = "The API answers a look-up in a form that cannot be read."


class _Answer(msgspec.Struct):
    data: Any
    success: bool = True


async def get(send: Sending, path: str) -> Reply:
    """Return an answer of the 2xx class; everything else is the error that it means.

    Raises:
        AccountRefused: the API refuses the key or the profile.
        Unreachable: no answer, or none that decides.
        RequestRefused: the address does not know this request.
    """
    result = await find(send, path)
    if isinstance(result, Heard):
        raise refused(result)
    return result


async def find(send: Sending, path: str) -> Reply | Heard:
    """Return an answer of the 2xx class, or a refusal that may be about the very thing looked for.

    Raises:
        AccountRefused, Unreachable: as :func:`get`.
    """
    return _decided(await send(Request(method="GET", path=path)))


async def change(send: Sending, path: str) -> Reply | Heard:
    """Ask for a change that may be asked for again and again; return as :func:`find`.

    Raises:
        AccountRefused, Unreachable: as :func:`get`.
    """
    return _decided(await send(Request(method="POST", path=path)))


def _decided(result: Reply | Lost | Unsent) -> Reply | Heard:
    if not isinstance(result, Reply):
        raise Unreachable(f"The API does not answer ({result.reason}).")
    if 200 <= result.status < 300:  # noqa: PLR2004 - the success class
        return result
    heard = hear_error((), result)
    if _of_the_account(heard):
        raise AccountRefused(f"The API refuses the key or the account (HTTP {heard.status}).{said(heard)}")
    if heard.status >= 500 or heard.status in {408, 429}:  # noqa: PLR2004 - what another try may cure
        raise Unreachable(f"The API does not serve requests at the moment (HTTP {heard.status}).{said(heard)}")
    return heard


def refused(heard: Heard) -> RequestRefused:
    """Return the error for a refusal that no caller knows a better meaning of."""
    address = "The address refuses a look-up"
    return RequestRefused(f"{address} (HTTP {heard.status}); check that it is the API's.{said(heard)}")


def said(heard: Heard) -> str:
    """Return what the API says itself, to be put behind a sentence of ours."""
    return f" It says: {heard.sentence}" if heard.sentence else ""


def data_of(reply: Reply) -> object:
    """Return the ``data`` of an answer, undecoded.

    Raises:
        ContractBroken: the body is not the documented envelope, or does not speak of success.
    """
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ContractBroken(UNREADABLE) from None
    if not answer.success:
        raise ContractBroken(UNREADABLE)
    data: object = answer.data
    return data


def read_as(kind: type[T], data: object) -> T:
    """Decode *data* as far as *kind* names its fields.

    Raises:
        ContractBroken: a field that it names is missing, or of another type.
    """
    try:
        return msgspec.convert(data, type=kind)
    except msgspec.ValidationError:
        raise ContractBroken(UNREADABLE) from None


def _of_the_account(heard: Heard) -> bool:
    return heard.status in {401, 403} or heard.code.startswith("AUTH_") or heard.code == "RESOURCE_014"
