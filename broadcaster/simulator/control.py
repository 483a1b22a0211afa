"""The simulator's own door, which the real API does not have: ``/_simulator/…`` and the page at ``/``.

No key is asked for; it is for this machine only.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from broadcaster.simulator import log
from broadcaster.simulator.envelope import Answer, encode
from broadcaster.simulator.faults import FaultError
from broadcaster.simulator.overview import overview
from broadcaster.simulator.page import page
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.profiles import find_profile, read_profile
from broadcaster.simulator.rules import load_rules
from broadcaster.simulator.validate import parse_document

PREFIX = "/_simulator/"


def is_local(remote: str | None) -> bool:
    """Whether *remote*, an IP address, is this machine."""
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False


def is_control(exchange: Exchange) -> bool:
    """Whether *exchange* is for this door and not for the API: below the prefix, or the page at ``/``."""
    return exchange.path.startswith(PREFIX) or (exchange.path == "/" and exchange.method == "GET")


async def answer_control(parts: Parts, exchange: Exchange, *, remote: str | None) -> Answer:
    """Answer a request below ``/_simulator/``: plain JSON, no envelope."""
    if not is_local(remote):
        return _plain(403, {"error": "for this machine only"})
    door = _DOORS.get(f"{exchange.method} {exchange.path.removeprefix(PREFIX)}")
    if door is None:
        return _plain(404, {"error": ", ".join(_DOORS)})
    try:
        result = await door(parts, exchange)
    except ValueError as error:
        return _plain(400, {"error": str(error)})
    return result if isinstance(result, Answer) else _plain(200, result)


async def _set_faults(parts: Parts, exchange: Exchange) -> Mapping[str, object]:
    parts.script.replace(load_rules(parse_document(exchange.body)))
    return {"rules": len(parts.script)}


async def _set_profile(parts: Parts, exchange: Exchange) -> Mapping[str, object]:
    """Play another profile: its name in a string, or an object of ``profile`` (a name or a whole one) and ``seed``."""
    document = parse_document(exchange.body)
    asked = {"profile": document} if isinstance(document, str) else document
    if not isinstance(asked, dict) or not set(asked) <= {"profile", "seed"}:
        raise FaultError("a profile's name, or an object of 'profile' and 'seed'")
    wanted, seed = asked.get("profile"), asked.get("seed")
    if seed is not None and type(seed) is not int:
        raise FaultError("'seed' must be a whole number")
    if isinstance(wanted, str):
        profile = find_profile(wanted)
    elif isinstance(wanted, dict):
        profile = read_profile(wanted, name="custom")
    else:
        raise FaultError("'profile' must be a name or an object")
    parts.script.replace(profile.rules, name=profile.name, seed=seed)
    return await _show_profile(parts, exchange)


async def _show_profile(parts: Parts, exchange: Exchange) -> Mapping[str, object]:
    del exchange
    return {"profile": parts.script.name, "seed": parts.script.seed, "rules": len(parts.script)}


async def _show_state(parts: Parts, exchange: Exchange) -> Mapping[str, object]:
    del exchange
    return await overview(parts)


async def _show_page(parts: Parts, exchange: Exchange) -> Answer:
    del exchange
    return page(await overview(parts))


async def _count_requests(parts: Parts, exchange: Exchange) -> Mapping[str, object]:
    del exchange
    return await log.count_requests(parts)


async def _count_messages(parts: Parts, exchange: Exchange) -> Mapping[str, object]:
    del exchange
    return {"count": await log.count_messages(parts)}


_DOORS: Mapping[str, Callable[[Parts, Exchange], Awaitable[object]]] = MappingProxyType(
    {
        "PUT faults": _set_faults,
        "PUT profile": _set_profile,
        "GET profile": _show_profile,
        "GET state": _show_state,
        "GET state.json": _show_state,
        "GET /": _show_page,
        "GET requests": _count_requests,
        "GET messages": _count_messages,
    }
)


def _plain(status: int, document: object) -> Answer:
    return Answer(status=status, body=encode(document))
