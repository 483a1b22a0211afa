"""The page at ``/``: what the simulator received, for a person. Pure: the overview in, HTML out.

Nothing on it comes from elsewhere, and its policy lets the browser fetch nothing else: what clients send is shown here.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from broadcaster.simulator.chart import Bar, draw
from broadcaster.simulator.envelope import Answer

_MEANINGS = {
    "status": "answered with a status, not executed",
    "drop_before": "connection closed, not executed",
    "reset_before": "connection reset, not executed",
    "status_after_accept": "executed, answered with another status",
    "drop_after_accept": "executed, connection closed",
    "reset_after_accept": "executed, connection reset",
    "truncate": "executed, answer cut off",
    "slow": "answered late",
    "html": "executed, answered with a page",
    "empty_body": "executed, answered without a body",
    "cut_json": "executed, half of the JSON",
    "wrong_shape": "executed, JSON of another form",
    "bloat": "executed, a very long answer",
    "omit_rows": "executed, recipients missing from the answer",
    "extra_row": "executed, one recipient too many",
    "foreign_row": "executed, somebody else in the answer",
    "duplicate_id": "executed, one message id twice",
}
_LIMITS = {
    "BUSINESS_002": "too many requests, messages or failed keys in a minute",
    "LIMIT_001": "too many scheduled messages",
}


def page(document: Mapping[str, Any]) -> Answer:
    """Return the page that shows *document*, an overview."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    body = Template(_asset("page.html")).substitute(
        nonce=nonce, style=_asset("page.css"), script=_asset("page.js"), main=_main(document)
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Answer(status=200, body=body.encode(), headers=headers, content_type="text/html; charset=utf-8")


@cache
def _asset(name: str) -> str:
    return (files("broadcaster.simulator") / "assets" / name).read_text(encoding="utf-8")


def _main(document: Mapping[str, Any]) -> str:
    messages, requests = document["messages"], document["requests"]
    return "".join(
        [
            _facts(document),
            _tiles(document),
            '<div class="columns"><div class="stack">',
            _per_minute(requests["per_minute"]),
            _answers(requests),
            '</div><div class="stack">',
            _faults(requests["faults"]),
            _over_limit(requests["over_limit"]),
            "</div></div>",
            _newest(messages),
        ]
    )


def _facts(document: Mapping[str, Any]) -> str:
    profile, limits = document["profile"], document["limits"]
    allowed = [f"{limits[name]:,} {name.split('_')[0]}" for name in limits if limits[name]]
    facts = {
        "faults": f"{profile['name']} ({_count(profile['rules'], 'rule')}, seed {profile['seed']})",
        "limits a minute": " and ".join(allowed) or "none",
        "ledger": "in memory" if document["state"] == ":memory:" else document["state"],
        "as of": f"{_clock(document['now'])} UTC",
    }
    items = "".join(f"<li>{name}: <b>{escape(value)}</b></li>" for name, value in facts.items())
    return f'<ul class="facts">{items}</ul>'


def _tiles(document: Mapping[str, Any]) -> str:
    requests = document["requests"]
    tiles = {
        "Messages": document["messages"]["count"],
        "Requests": requests["count"],
        "Faults given": sum(requests["faults"].values()),
        "Idempotent replays": requests["replays"],
        "Over a limit": sum(requests["over_limit"].values()),
        "Left unanswered": requests["unanswered"],
    }
    inside = "".join(
        f'<div><dt>{name}</dt><dd id="count-{name.lower().replace(" ", "-")}">{value:,}</dd></div>'
        for name, value in tiles.items()
    )
    return f'<dl class="tiles">{inside}</dl>'


def _per_minute(minutes: Sequence[Mapping[str, Any]]) -> str:
    bars = [
        Bar(
            label=_clock(minute["minute"])[:5],
            usual=minute["requests"] - minute["refused"] - minute["with_fault"],
            refused=minute["refused"],
            faulted=minute["with_fault"],
        )
        for minute in minutes
    ]
    total, most = sum(bar.total for bar in bars), max(bar.total for bar in bars)
    picture = draw(
        bars,
        title=f"Requests per minute, last {len(bars)} minutes",
        description=f"{total:,} requests in all, {most:,} in the busiest minute. The table below has every number.",
    )
    swatch = '<svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{}" width="10" height="10"/></svg>'
    legend = "".join(
        f"<li>{swatch.format(name)}{words}</li>"
        for name, words in (("usual", "answered as asked"), ("refused", "refused"), ("fault", "with a fault"))
    )
    rows = [(bar.label, bar.total, bar.usual, bar.refused, bar.faulted) for bar in reversed(bars)]
    table = _table(("minute (UTC)", "requests", "as asked", "refused", "with a fault"), rows, caption="Newest first")
    return _section(
        "requests-per-minute",
        "Requests per minute",
        f'<figure>{picture}<ul class="legend">{legend}</ul></figure>'
        '<p class="note">The last bar is the minute under way.</p>'
        f'<details id="minutes"><summary>The numbers as a table</summary>{table}</details>',
    )


def _answers(requests: Mapping[str, Any]) -> str:
    rows = [
        (entry["status"] or "no answer", entry["code"] or "none", f"{entry['count']:,}")
        for entry in requests["answers"]
    ]
    shown = _table(("status", "code", "requests"), rows) if rows else _nothing("No request so far.")
    return _section("answers", "Answers given", shown)


def _faults(faults: Mapping[str, int]) -> str:
    rows = [(_MEANINGS.get(name, name), f"{count:,}") for name, count in faults.items()]
    shown = _table(("fault", "requests"), rows) if rows else _nothing("None so far.")
    return _section("faults", "Faults given", shown)


def _over_limit(codes: Mapping[str, int]) -> str:
    rows = [(f"{_LIMITS.get(code, 'over a limit')} ({code})", f"{count:,}") for code, count in codes.items()]
    shown = _table(("limit", "requests"), rows) if rows else _nothing("Every limit was kept.")
    return _section("limits", "Limits exceeded", shown)


def _newest(messages: Mapping[str, Any]) -> str:
    newest = messages["newest"]
    if not newest:
        return _section("messages", "Messages", _nothing("None so far."))
    decided = ", ".join(f"{count:,} {status}" for status, count in messages["by_decision"].items())
    head = '<th scope="col">{}</th>'
    columns = "".join(head.format(name) for name in ("sent (UTC)", "to", "channel", "status"))
    wide = "".join(f'<th scope="col" class="wide">{name}</th>' for name in ("reason", "template", "message id"))
    rows = "".join(
        f'<tr><td>{_clock(each["created_at"])}</td><th scope="row">{escape(each["to"])}</th>'
        f"<td>{escape(each['channel'] or 'auto')}</td><td>{escape(each['status'])}</td>"
        f'<td class="wide reason">{escape(each["reason_code"] or "")}</td>'
        f'<td class="wide">{escape(each["template"] or "text")}</td>'
        f'<td class="wide id">{escape(each["message_id"])}</td></tr>'
        for each in newest
    )
    caption = f"{messages['count']:,} messages; as accepted: {escape(decided)}. The newest {len(newest)}, newest first."
    return _section(
        "messages",
        "Messages",
        '<div class="scroll" id="messages-table" tabindex="0" role="region" aria-labelledby="messages-title">'
        f"<table><caption>{caption}</caption><thead><tr>{columns}{wide}</tr></thead><tbody>{rows}</tbody></table></div>",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """A table whose first column names the row and whose numbers stand on the right."""
    titles = "".join(f'<th scope="col"{_aligned(at, head)}>{name}</th>' for at, name in enumerate(head))
    body = "".join(
        f'<tr><th scope="row">{escape(str(first))}</th>'
        + "".join(f"<td{_aligned(at, head)}>{escape(str(cell))}</td>" for at, cell in enumerate(rest, start=1))
        + "</tr>"
        for first, *rest in rows
    )
    said = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="scroll"><table>{said}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _aligned(at: int, head: Sequence[str]) -> str:
    return "" if at == 0 or head[at] == "code" else ' class="number"'


def _section(name: str, title: str, inside: str) -> str:
    return f'<section aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{inside}</section>'


def _nothing(words: str) -> str:
    return f'<p class="empty">{words}</p>'


def _clock(timestamp: str) -> str:
    """The time of day in a timestamp."""
    return timestamp[11:19]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
