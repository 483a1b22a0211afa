"""What is asked of the API before anything is sent: who we are, and whether the template can be sent.

Look-ups repeat freely; whoever hands in ``send`` decides about pace and retries. Answers are decoded tolerantly: what
is not needed is not looked at.
"""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from broadcaster.core.values import Heard, Lost, Reply, Request, Unsent
from broadcaster.core.words import Channel
from broadcaster.errors import AccountRefused, ContractBroken, RequestRefused, TemplateUnusable, Unreachable
from broadcaster.operations.envelope import hear_error

Sending = Callable[[Request], Awaitable[Reply | Lost | Unsent]]
T = TypeVar("T")

_UNREADABLE = "The API answers a look-up in a form that cannot be read."
_PAGE_SIZE = 100
_MOST_PAGES = 50  # of templates whose names resemble the one looked for
_FALLBACK_LETTERS = 32  # of the digest that stands for an account without an id


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who the key belongs to. ``id`` is stable; ``reply`` is the answer itself, for its time."""

    id: str
    name: str
    type: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template as far as a run depends on it; ``channels`` are those it can be rendered for."""

    id: str
    name: str
    status: str
    channels: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class _Answer(msgspec.Struct):
    data: Any
    success: bool = True


class _Me(msgspec.Struct):
    id: str | int | None = None
    name: str | None = None
    type: str | None = None


class _Template(msgspec.Struct):
    id: str
    name: str = ""
    status: str = ""
    channels: list[str] | None = None
    variables: list[str] | None = None


class _Pages(msgspec.Struct):
    has_more: bool = False


class _Templates(msgspec.Struct):
    """A page of the list; the name of the list itself is not documented."""

    templates: list[_Template] | None = None
    items: list[_Template] | None = None
    pagination: _Pages | None = None


async def me(send: Sending) -> Account:
    """Return the account of the key: the cheapest request that proves it.

    An account without an id, which the documentation leaves open, gets a digest of its type and name.

    Raises:
        AccountRefused: the API refuses the key or the profile.
        Unreachable: no answer, or none that decides.
        RequestRefused: the address does not know this request.
        ContractBroken: the answer says nothing of an account.
    """
    reply = await _get(send, "/v3/me")
    found = _as(_Me, _data(reply))
    if not (found.id or found.name):
        raise ContractBroken("The API does not say which account the key belongs to.")
    return Account(
        id=str(found.id) if found.id else _fallback_id(found),
        name=found.name or "",
        type=found.type or "",
        reply=reply,
    )


async def template(send: Sending, *, id: str | None = None, name: str | None = None) -> Template:  # noqa: A002 - as in the job file
    """Return a template by its id, or else by its exact name.

    Raises:
        TemplateUnusable: the API does not know it, or knows several of this name.
        AccountRefused, Unreachable, RequestRefused, ContractBroken: as :func:`me`.
        ValueError: neither *id* nor *name*.
    """
    if id is not None:
        return await _template_by_id(send, id)
    if name is None:
        raise ValueError("A template has an id or a name")
    same = [each for each in await _search(send, name) if each.name == name]
    if not same:
        raise TemplateUnusable(f'The account has no template named "{name}".')
    if len(same) > 1:
        raise TemplateUnusable(f'The account has {len(same)} templates named "{name}"; use template_id.')
    found = same[0]
    if found.channels is None or found.variables is None:  # the list may be shorter than the look-up by id
        return await _template_by_id(send, found.id)
    return _known(found)


def template_problems(template: Template, *, channels: Collection[Channel], parameters: Collection[str]) -> list[str]:
    """Return what keeps *template* from being sent, as sentences; empty when nothing does.

    Args:
        template: as the API describes it. Channels it does not tell are not held against it.
        channels: that the job asks for; one that the API picks itself is always possible.
        parameters: names that the job gives values for.
    """
    problems = []
    if template.status.upper() != "APPROVED":
        problems.append(f"The template is not approved: its status is {template.status or 'not told'}.")
    possible = {each.lower() for each in template.channels}
    if possible:
        impossible = sorted(each for each in channels if each is not Channel.AUTO and each not in possible)
        problems += [f"The template cannot be sent by {each}." for each in impossible]
    missing = [each for each in template.variables if each not in parameters]
    if missing:
        problems.append(f"The template needs a value for {', '.join(missing)}.")
    return problems


async def _template_by_id(send: Sending, template_id: str) -> Template:
    reply = await _get(send, f"/v3/templates/{quote(template_id, safe='')}", template=True)
    return _known(_as(_Template, _data(reply)))


async def _search(send: Sending, name: str) -> Sequence[_Template]:
    found: list[_Template] = []
    for page in range(1, _MOST_PAGES + 1):
        path = f"/v3/templates?page={page}&page_size={_PAGE_SIZE}&search={quote(name, safe='')}"
        data = _data(await _get(send, path))
        if isinstance(data, list):
            return found + _as(list[_Template], data)
        listed = _as(_Templates, data)
        found += listed.templates or listed.items or []
        if listed.pagination is None or not listed.pagination.has_more:
            break
    return found


async def _get(send: Sending, path: str, *, template: bool = False) -> Reply:
    """Return an answer of the 2xx class; everything else is the error that it means."""
    result = await send(Request(method="GET", path=path))
    if not isinstance(result, Reply):
        raise Unreachable(f"The API does not answer ({result.reason}).")
    if 200 <= result.status < 300:  # noqa: PLR2004 - the success class
        return result
    heard = hear_error((), result)
    said = f" It says: {heard.sentence}" if heard.sentence else ""
    if _of_the_account(heard):
        raise AccountRefused(f"The API refuses the key or the account (HTTP {heard.status}).{said}")
    if heard.status >= 500 or heard.status in {408, 429}:  # noqa: PLR2004 - what another try may cure
        raise Unreachable(f"The API does not serve requests at the moment (HTTP {heard.status}).{said}")
    if template and heard.status in {400, 404}:  # 400: the id is not of the right form
        raise TemplateUnusable(f"The API does not know the template (HTTP {heard.status}).{said}")
    raise RequestRefused(f"The address refuses a look-up (HTTP {heard.status}); check that it is the API's.{said}")


def _of_the_account(heard: Heard) -> bool:
    return heard.status in {401, 403} or heard.code.startswith("AUTH_") or heard.code == "RESOURCE_014"


def _data(reply: Reply) -> object:
    """Return the ``data`` of an answer, undecoded."""
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ContractBroken(_UNREADABLE) from None
    if not answer.success:
        raise ContractBroken(_UNREADABLE)
    data: object = answer.data
    return data


def _as(kind: type[T], data: object) -> T:
    """Decode *data* as far as *kind* names its fields."""
    try:
        return msgspec.convert(data, type=kind)
    except msgspec.ValidationError:
        raise ContractBroken(_UNREADABLE) from None


def _known(found: _Template) -> Template:
    return Template(
        id=found.id,
        name=found.name,
        status=found.status,
        channels=tuple(found.channels or ()),
        variables=tuple(found.variables or ()),
    )


def _fallback_id(found: _Me) -> str:
    digest = hashlib.sha256(f"{found.type or ''}\0{found.name or ''}".encode()).hexdigest()
    return f"digest-{digest[:_FALLBACK_LETTERS]}"
