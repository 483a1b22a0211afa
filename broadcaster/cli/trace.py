"""``broadcaster trace``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broadcaster.cli import options
from broadcaster.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broadcaster.app.trace import Delivery, Trace, Traced
    from broadcaster.core.receipts import Receipt
    from broadcaster.store.story import Story

_Line = tuple[int | None, str]  # a moment in µs, if it has one, and what happened
_EXECUTED = {"yes": "", "no": "it did nothing", "unknown": "it may have been executed"}
_CAUSES = {"resend": "sent again by decision"}


@click.command(name="trace")
@options.run_dir_or_url()
@click.option("--to", metavar="NUMBER", help="The recipient's number, as people write it.")
@click.option("--row", type=click.IntRange(min=0), metavar="N", help="The row of the list, from 0 (input_row).")
@click.option("--message-id", metavar="ID", help="The API's id of one of the messages.")
@options.json_output
def command(path: Path, *, to: str | None, row: int | None, message_id: str | None, as_json: bool) -> ExitCode:
    """Tell everything that is known about one recipient, also while the run is sending.

    Where they stand in the list, why they were left out; the requests that they are in, with every attempt, answer and
    decision; every receipt of their messages, and what became of them. Times are UTC. Other numbers are masked, and so
    is this one unless it is asked for by --to. Exit code 2 when the list does not have them.

    \b
    Example:
      broadcaster trace runs/spring-sale-2026 --to +14155550100
      broadcaster trace s3://my-bucket/spring-sale --row 17
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.trace import Asked, trace
    from broadcaster.cli.telling import print_json

    if sum(each is not None for each in (to, row, message_id)) != 1:
        raise ConfigError("say whom to trace: exactly one of --to NUMBER, --row N, --message-id ID")
    found = trace(path, Asked(to=to, row=row, message_id=message_id))
    if as_json:
        print_json(_as_json(found))
        return ExitCode.DONE
    for each in found.rows:
        _print(found, each)
    return ExitCode.DONE


def _print(found: "Trace", traced: "Traced") -> None:
    row = traced.row
    click.echo(f"{traced.shown or 'an empty cell'} in {found.campaign} ({found.mode})")
    part = f", extension {row.head.part}" if row.head.part else ""
    named = f", id {row.recipient_id}" if row.recipient_id is not None else ""
    line = f"line {traced.line}{f' of {traced.file}' if traced.file else ''}"
    click.echo(f"  list       row {row.input_row}, {line}{part}{named}")
    if row.reason is not None:
        click.echo(f"  excluded   {row.reason}: {row.error}")
    for story in traced.stories:
        _print_story(story, keyed=found.keyed)
    if row.reason is None:
        for delivery in traced.deliveries:
            _print_delivery(delivery, is_running=found.holder is not None, creates=found.creates)


def _print_story(story: "Story", *, keyed: bool) -> None:
    batch = story.batch
    of = "" if batch.parent is None else f" of {_request(batch.parent)} ({_CAUSES.get(story.cause, story.cause)})"
    key = f"key {batch.key}" if keyed else "no key"
    others = f"recipient {story.position + 1} of {len(batch.to)}"
    click.echo(f"  {_request(batch.id) + of:<10} {others}, {'+'.join(batch.channels)}, {key}")
    for at_us, what in sorted(_events(story), key=lambda line: line[0] or 0):
        click.echo(f"    {_moment(at_us)}  {what}")
    for part in story.parts:
        _print_story(part, keyed=keyed)


def _events(story: "Story") -> "Iterator[_Line]":
    """Yield what happened to a request, as sentences."""
    if story.claim is not None:
        yield story.claim.since.wall_us, f"claimed before it was sent, by {story.claimed_by}"
    for attempt in story.attempts:
        answer = f"HTTP {attempt.http}" if attempt.http is not None else "no answer"
        words = [
            f"attempt {attempt.n}: {answer}",
            attempt.code,
            _named(attempt.request_id),
            _EXECUTED[attempt.executed],
        ]
        yield attempt.started.wall_us, _joined(*words, attempt.sentence)
    for decided in story.decisions:
        yield decided.at_us, _joined(f"{decided.who} decided: {decided.what}", decided.note)
    for proof in story.proofs:
        yield proof.seen_us, f"found at the API ({proof.source}): {proof.channel} message {proof.message_id}"
    ended = story.outcome
    if ended is not None:
        answer = f"HTTP {ended.http}" if ended.http is not None else ""
        attempts = f"after {ended.attempts} attempts" if ended.attempts > 1 else ""
        again = f"a replay of {ended.replayed}" if ended.replayed else ""
        code = ended.code if not story.blame else ""
        yield (
            ended.settled_us,
            _joined(str(ended.state), answer, code, _named(ended.request_id), attempts, again, ended.sentence),
        )
        if story.blame:
            yield ended.settled_us, _joined("the API named this recipient", *story.blame)


def _print_delivery(delivery: "Delivery", *, is_running: bool, creates: bool) -> None:
    found = delivery.became
    what = found.status.replace("_", " ")
    if found.status == "in_doubt" and is_running:
        what = "in doubt, or on its way: the run is going on"
    message = f"{'contact' if creates else 'message'} {found.message_id}" if found.message_id is not None else ""
    where = "contact" if creates else delivery.channel
    click.echo(f"  {where:<10} {_joined(what, message, found.reason or '', found.error or '')}")
    for receipt in delivery.receipts:
        click.echo(f"    {_moment(receipt.updated_us)}  {_told(receipt)}")
    if delivery.state is not None:
        state = delivery.state
        on = f" on {state.channel}" if state.channel else ""
        cost = f", price {state.price}" if state.price is not None else ""
        still = "" if delivery.over else ", may still change"
        click.echo(f"    now {state.status.lower()}{on}{cost}{still}")
    elif found.message_id is not None and not creates:
        click.echo("    no receipt yet: 'broadcaster reconcile' asks the API, 'broadcaster serve' hears webhooks")


def _told(receipt: "Receipt") -> str:
    on = f"on {receipt.channel}" if receipt.channel else ""
    return _joined(f"{receipt.status.lower()} ({receipt.source})", on, receipt.code or "", receipt.reason or "")


def _request(batch: int) -> str:
    return f"request {batch}" if batch >= 0 else f"part {batch}"


def _named(request_id: str) -> str:
    return f"request id {request_id}" if request_id else ""


def _joined(*words: str) -> str:
    return ", ".join(each for each in words if each)


def _moment(at_us: int | None) -> str:
    """Return a time as people read it, in UTC, to the millisecond."""
    if at_us is None:
        return " " * 23
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:23]


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else datetime.fromtimestamp(at_us / 1e6, tz=UTC).isoformat()


def _as_json(found: "Trace") -> dict[str, Any]:
    return {
        "campaign": found.campaign,
        "mode": found.mode,
        "holder": found.holder,
        "rows": [
            {
                "part": each.row.head.part,
                "input_row": each.row.input_row,
                "file": each.file,
                "line": each.line,
                "recipient_id": each.row.recipient_id,
                "to": each.shown,
                "reason": each.row.reason,
                "error": each.row.error,
                "requests": [_story_json(story) for story in each.stories],
                "deliveries": [_delivery_json(delivery) for delivery in each.deliveries],
            }
            for each in found.rows
        ],
    }


def _story_json(story: "Story") -> dict[str, Any]:
    batch, ended = story.batch, story.outcome
    return {
        "batch": batch.id,
        "parent": batch.parent,
        "cause": story.cause or None,
        "idempotency_key": batch.key,
        "position": story.position,
        "recipients": len(batch.to),
        "channels": list(batch.channels),
        "claimed_at": None if story.claim is None else _iso(story.claim.since.wall_us),
        "claimed_by": story.claimed_by or None,
        "attempts": [
            {
                "n": each.n,
                "started_at": _iso(each.started.wall_us),
                "ended_at": _iso(each.ended.wall_us),
                "executed": each.executed,
                "http_status": each.http,
                "code": each.code or None,
                "request_id": each.request_id or None,
                "sentence": each.sentence or None,
            }
            for each in story.attempts
        ],
        "outcome": None
        if ended is None
        else {
            "state": ended.state,
            "settled_at": _iso(ended.settled_us),
            "attempts": ended.attempts,
            "http_status": ended.http,
            "code": ended.code or None,
            "sentence": ended.sentence or None,
            "request_id": ended.request_id or None,
            "replayed": ended.replayed or None,
        },
        "blame": None if story.blame is None else {"code": story.blame[0], "sentence": story.blame[1]},
        "evidence": [
            {
                "channel": each.channel,
                "message_id": each.message_id,
                "source": each.source,
                "seen_at": _iso(each.seen_us),
            }
            for each in story.proofs
        ],
        "decisions": [
            {"at": _iso(each.at_us), "who": each.who, "what": each.what, "note": each.note} for each in story.decisions
        ],
        "parts": [_story_json(each) for each in story.parts],
    }


def _delivery_json(delivery: "Delivery") -> dict[str, Any]:
    found, state = delivery.became, delivery.state
    return {
        "channel": delivery.channel,
        "status": found.status,
        "reason": found.reason,
        "error": found.error,
        "message_id": found.message_id,
        "delivery_status": None if state is None else state.status.lower(),
        "delivery_channel": None if state is None else state.channel,
        "delivery_reason": None if state is None else state.reason,
        "delivery_updated_at": None if state is None else _iso(state.updated_us),
        "price": None if state is None else state.price,
        "over": delivery.over,
        "receipts": [
            {
                "status": each.status.lower(),
                "updated_at": _iso(each.updated_us),
                "channel": each.channel,
                "code": each.code,
                "reason": each.reason,
                "source": each.source,
                "price": each.price,
            }
            for each in delivery.receipts
        ],
    }
