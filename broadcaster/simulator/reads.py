"""Templates, read: ``GET /v3/templates`` and ``GET /v3/templates/{id}``."""

import math

from broadcaster.simulator.account import account_id
from broadcaster.simulator.envelope import Answer, Refusal, success
from broadcaster.simulator.parts import Exchange, Parts

_PAGE_SIZE = 20
_LARGEST_PAGE = 100


async def list_templates(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/templates?page&page_size&search&status``, in the order of definition."""
    query = exchange.query
    page = _number(exchange, "page", default=1)
    size = min(_number(exchange, "page_size", default=_PAGE_SIZE), _LARGEST_PAGE)
    found = parts.catalogue.select(search=query.get("search", ""), status=query.get("status", ""))
    customer = account_id(parts.settings, parts.ledger.account_id)
    pages = math.ceil(len(found) / size)
    data = {
        "templates": [template.as_json(customer) for template in found[(page - 1) * size : page * size]],
        "pagination": {
            "page": page,
            "page_size": size,
            "total_count": len(found),
            "total_pages": pages,
            "has_more": page < pages,
            "cursors": None,
        },
    }
    return success(data, request_id=exchange.request_id)


async def show_template(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/templates/{id}``."""
    template = parts.catalogue.by_id(exchange.params["id"])
    if template is None:
        raise Refusal(code="RESOURCE_002")
    customer = account_id(parts.settings, parts.ledger.account_id)
    return success(template.as_json(customer), request_id=exchange.request_id)


def _number(exchange: Exchange, name: str, *, default: int) -> int:
    """A positive whole number of the query."""
    given = exchange.query.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise Refusal(code="VALIDATION_005", details={name: ["must be a positive number"]})
    return int(given)
