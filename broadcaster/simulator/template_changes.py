"""Templates, written: ``POST /v3/templates``, ``PUT`` and ``DELETE /v3/templates/{id}``. Changes outlive a restart."""

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from broadcaster.simulator.account import account_id
from broadcaster.simulator.definitions import name_for, read_body, read_category, read_text
from broadcaster.simulator.envelope import Answer, Refusal, moment, no_content, success
from broadcaster.simulator.lifecycle import US
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.templates import Template
from broadcaster.simulator.validate import parse_json
from broadcaster.simulator.writes import write

_CREATED = 201
_EDITABLE = frozenset({"DRAFT", "REJECTED", "APPROVED"})
_SANDBOX = {"X-Sandbox": "true"}
_ALL = ("sms", "whatsapp", "rcs", "mms")  # what a shared body, or a pair, renders on


async def recall_templates(parts: Parts) -> None:
    """Lay the changes of earlier lives over the catalogue; call it once, before serving."""

    def job(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
        return connection.execute("SELECT id, document FROM template ORDER BY rowid").fetchall()

    for template_id, document in await parts.ledger.run(job):
        if document is None:
            parts.catalogue.drop(template_id)
        else:
            fields = json.loads(document)
            parts.catalogue.put(Template(**{**fields, "channels": tuple(fields["channels"])}))


async def create_template(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/templates``: 201, a DRAFT, or PENDING when submitted for review."""

    def make(document: Mapping[str, object], now_us: int) -> Template:
        body = read_body(document.get("definition"))
        template = Template(
            id=str(uuid.uuid4()),
            name=name_for(body),
            body=body,
            status="DRAFT",
            category=read_category(document.get("category"), otherwise="MARKETING"),
            language=read_text(document, "language", otherwise="en_US"),
            channels=_ALL,
            created_at=moment(now_us),
            updated_at=moment(now_us),
        )
        return _submitted(parts, template, document, now_us)

    return await _keep(parts, exchange, make, status=_CREATED)


async def update_template(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``PUT /v3/templates/{id}``.

    Raises:
        Refusal: 404 ``RESOURCE_002``; 409 ``CONFLICT_006`` for anything but the name of one in review.
    """

    def make(document: Mapping[str, object], now_us: int) -> Template:
        template = _found(parts, exchange)
        content = [name for name in ("definition", "category", "language") if document.get(name) is not None]
        if template.status == "PENDING" and (content or document.get("submit_for_review") is True):
            raise Refusal(code="CONFLICT_006")
        if content and template.status not in _EDITABLE:
            sentence = "Template (except display name) cannot be updated unless it is in draft or rejected status"
            raise Refusal(code="VALIDATION_001", details={content[0]: [sentence]})
        changed = replace(
            template,
            name=read_text(document, "name", otherwise=template.name),
            body=read_body(document["definition"]) if "definition" in content else template.body,
            category=read_category(document.get("category"), otherwise=template.category),
            language=read_text(document, "language", otherwise=template.language),
            updated_at=moment(now_us),
        )
        return _submitted(parts, changed, document, now_us) if template.status in _EDITABLE else changed

    return await _keep(parts, exchange, make, status=200)


async def delete_template(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``DELETE /v3/templates/{id}``: 204."""
    template = _found(parts, exchange)
    if exchange.body and parse_json(exchange.body).get("sandbox") is True:
        return no_content().with_headers(_SANDBOX)

    def job(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO template VALUES (?, NULL)", (template.id,))

    await parts.ledger.run(job)
    parts.catalogue.drop(template.id)
    return no_content()


def _found(parts: Parts, exchange: Exchange) -> Template:
    template = parts.catalogue.by_id(exchange.params["id"])
    if template is None:
        raise Refusal(code="RESOURCE_002")
    return template


def _submitted(parts: Parts, template: Template, document: Mapping[str, object], now_us: int) -> Template:
    if document.get("submit_for_review") is not True:
        return template
    due_us = parts.settings.world.after(now_us, parts.settings.template_review_s * US)
    return replace(template, status="PENDING", review_us=due_us)


async def _keep(
    parts: Parts, exchange: Exchange, make: Callable[[Mapping[str, object], int], Template], *, status: int
) -> Answer:
    """Keep the template that *make* makes of the request and the present moment, unless it is only a rehearsal."""
    kept: list[Template] = []

    def work(connection: sqlite3.Connection) -> Answer:
        document = parse_json(exchange.body)
        template = make(document, time.time_ns() // 1000)
        sandbox = document.get("sandbox") is True
        if not sandbox:
            row = (template.id, json.dumps(asdict(template)))
            connection.execute("INSERT OR REPLACE INTO template VALUES (?, ?)", row)
            kept.append(template)
        data = template.as_json(account_id(parts.settings, parts.ledger.account_id))
        return success(data, request_id=exchange.request_id, status=status, headers=_SANDBOX if sandbox else {})

    answer = await write(parts, exchange, work)
    for template in kept:  # only now is it durable
        parts.catalogue.put(template)
    return answer
