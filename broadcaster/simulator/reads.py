"""Templates, read: ``GET /v3/templates`` and ``GET /v3/templates/{id}``."""

from broadcaster.simulator.account import account_id
from broadcaster.simulator.envelope import Answer, Refusal, success
from broadcaster.simulator.pages import read_page
from broadcaster.simulator.parts import Exchange, Parts


async def list_templates(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/templates?page&page_size&search&status&category``, in the order of definition."""
    query, page = exchange.query, read_page(exchange.query)
    found = parts.catalogue.select(
        search=query.get("search", ""), status=query.get("status", ""), category=query.get("category", "")
    )
    customer = account_id(parts.settings, parts.ledger.account_id)
    shown = [template.as_json(customer) for template in found[page.start : page.start + page.size]]
    data = {"templates": shown, "pagination": page.describe(len(found))}
    return success(data, request_id=exchange.request_id)


async def show_template(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/templates/{id}``."""
    template = parts.catalogue.by_id(exchange.params["id"])
    if template is None:
        raise Refusal(code="RESOURCE_002")
    customer = account_id(parts.settings, parts.ledger.account_id)
    return success(template.as_json(customer), request_id=exchange.request_id)
