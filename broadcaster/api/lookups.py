"""What is asked of the API before anything is sent: who we are, and whether the template can be sent.

Look-ups repeat freely; whoever hands in ``send`` decides about pace and retries. Answers are decoded tolerantly: what
is not needed is not looked at.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from broadcaster.api.asking import Sending, data_of, find, get, read_as, refused, said
from broadcaster.core.values import Heard, Reply
from broadcaster.core.words import Channel
from broadcaster.errors import ContractBroken, TemplateUnusable

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
    reply = await get(send, "/v3/me")
    found = read_as(_Me, data_of(reply))
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
    reply = await find(send, f"/v3/templates/{quote(template_id, safe='')}")
    if not isinstance(reply, Heard):
        return _known(read_as(_Template, data_of(reply)))
    if reply.status in {400, 404}:  # 400: the id is not of the right form
        raise TemplateUnusable(f"The API does not know the template (HTTP {reply.status}).{said(reply)}")
    raise refused(reply)


async def _search(send: Sending, name: str) -> Sequence[_Template]:
    found: list[_Template] = []
    for page in range(1, _MOST_PAGES + 1):
        path = f"/v3/templates?page={page}&page_size={_PAGE_SIZE}&search={quote(name, safe='')}"
        data = data_of(await get(send, path))
        if isinstance(data, list):
            return found + read_as(list[_Template], data)
        listed = read_as(_Templates, data)
        found += listed.templates or listed.items or []
        if listed.pagination is None or not listed.pagination.has_more:
            break
    return found


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
