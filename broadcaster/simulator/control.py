"""The simulator's own door, which the real API does not have: ``/_simulator/…``. No key; this machine only."""

import ipaddress

from broadcaster.simulator import log
from broadcaster.simulator.envelope import Answer, encode
from broadcaster.simulator.faults import FaultError, load_rules
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.validate import parse_document

PREFIX = "/_simulator/"


def is_local(remote: str | None) -> bool:
    """Whether *remote*, an IP address, is this machine."""
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False


async def answer_control(parts: Parts, exchange: Exchange, *, remote: str | None) -> Answer:
    """Answer a request below ``/_simulator/``: plain JSON, no envelope."""
    if not is_local(remote):
        return _plain(403, {"error": "for this machine only"})
    match exchange.method, exchange.path.removeprefix(PREFIX):
        case "PUT", "faults":
            try:
                rules = load_rules(parse_document(exchange.body))
            except (FaultError, ValueError) as error:
                return _plain(400, {"error": str(error)})
            parts.script.replace(rules)
            return _plain(200, {"rules": len(rules)})
        case "GET", "requests":
            return _plain(200, await log.count_requests(parts))
        case "GET", "messages":
            return _plain(200, {"count": await log.count_messages(parts)})
        case _:
            return _plain(404, {"error": "PUT faults, GET requests, GET messages"})


def _plain(status: int, document: object) -> Answer:
    return Answer(status=status, body=encode(document))
