"""``trace``: everything that is known about one recipient, from plan, journal and receipts; works while the run sends.

Prints nothing. Numbers are masked, but for the one that was asked for.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broadcaster.clock import wall_us
from broadcaster.core.receipts import DeliveryState, Receipt, is_over, merge_status
from broadcaster.core.words import Channel, Repeat, Status
from broadcaster.errors import ConfigError
from broadcaster.phones import mask, parse_number
from broadcaster.planning.preview import place
from broadcaster.store.plan import Plan
from broadcaster.store.receipts import history, receipt_files
from broadcaster.store.rundir import RunDir
from broadcaster.store.story import Became, PlanRow, Story, StoryReader, became, find_rows, untold

_DIGIT = re.compile(r"\d(?=(?:\D*\d){2})")  # all but the last two


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whom to trace: exactly one of a number as people write it, a row of the list (from 0), a message id."""

    to: str | None = None
    row: int | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of the recipient on one channel.

    ``receipts`` are all that was ever told of its message, as it happened, and ``state`` what follows from them;
    ``over`` says whether nothing more is to be expected.
    """

    channel: Channel
    became: Became
    receipts: tuple[Receipt, ...]
    state: DeliveryState | None
    over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One row of the list: where it stands, the requests that it is in (a later retry last), and what became of it.

    ``shown`` is its number, masked unless it was asked for; of an excluded row, what the list has in its place.
    """

    row: PlanRow
    file: str | None
    line: int
    shown: str
    stories: tuple[Story, ...]
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The rows found.

    ``holder`` is the process that is working on the run now. ``creates``: contacts are created, and nobody is messaged.
    ``keyed``: the API was told the requests' keys.
    """

    campaign: str
    mode: str
    holder: str | None
    rows: tuple[Traced, ...]
    creates: bool = False
    keyed: bool = True


def trace(path: Path, asked: Asked) -> Trace:
    """Return everything that is known about one recipient of the run in *path*.

    Raises:
        ConfigError: nobody on the list is meant by that.
        StoreError: plan, journal or receipts cannot be read.
    """
    plan = Plan.open(RunDir(path))
    receipts = receipt_files(path)
    number = parse_number(asked.to, region=_region(plan)) if asked.to is not None else None
    rows = list(_rows(plan, asked, number, receipts))
    if not rows:
        raise ConfigError(_nobody(plan, asked, number))
    now_us = wall_us()
    return Trace(
        campaign=plan.head.campaign,
        mode=plan.head.mode,
        holder=plan.run_dir.holder() if plan.run_dir.is_in_use() else None,
        rows=tuple(_traced(plan, row, asked, number, receipts, now_us=now_us) for row in rows),
        creates=not plan.head.asked.sends_messages,
        keyed=plan.head.asked.repeat is not Repeat.NEVER,
    )


def _region(plan: Plan) -> str | None:
    region: str | None = plan.head.identity["recipients"]["default_region"]
    return region


def _rows(plan: Plan, asked: Asked, number: str | None, receipts: Sequence[Path]) -> Iterator[PlanRow]:
    if asked.message_id is None:
        written = asked.to.strip() if asked.to is not None else None
        yield from find_rows(plan, to=number, written=written, input_row=asked.row)
        return
    found = set()
    if plan.run_dir.journal.exists():
        with StoryReader(plan.run_dir.journal) as journal:
            found = set(journal.find_message(plan, asked.message_id))
    batches = plan.fetch([batch for batch, _ in found])
    for to in sorted({batches[batch].to[position] for batch, position in found}):
        yield from (row for row in find_rows(plan, to=to) if row.reason is None)
    if not found and (told := history(receipts, asked.message_id)):
        raise ConfigError(
            f"no delivery in {plan.run_dir.path} has this message id. {len(told)} receipts of it are known, the last "
            f"says {told[-1].status.lower()}: it is another run's, or of a message whose answer was lost ('broadcaster "
            f"reconcile {plan.run_dir.path}' looks for those)"
        )


def _nobody(plan: Plan, asked: Asked, number: str | None) -> str:
    where = plan.run_dir.path
    if asked.row is not None:
        return f"the list of {where} has no row {asked.row}; its {plan.rows:,} rows count from 0"
    if asked.message_id is not None:
        return f"no delivery in {where} has this message id, and no receipt of it is known"
    if number is None:
        return (
            "this is no valid number, and no cell of the list has this text; write it with its country code, such as "
            "+14155550100"
        )
    return f"the number is not on the list of {where}, neither messaged nor excluded"


def _traced(
    plan: Plan, row: PlanRow, asked: Asked, number: str | None, receipts: Sequence[Path], *, now_us: int
) -> Traced:
    stories = tuple(_stories(plan, row))
    file, line = place(row.head, row.input_row)
    return Traced(
        row=row,
        file=file,
        line=line,
        shown=_shown(row, asked, number),
        stories=stories,
        deliveries=tuple(
            _delivery(row, stories, channel, receipts, now_us=now_us)
            for channel in sorted({*row.channels, *(each for story in stories for each in story.batch.channels)})
        ),
    )


def _stories(plan: Plan, row: PlanRow) -> Iterator[Story]:
    if not plan.run_dir.journal.exists():
        yield from (untold(batch, position) for batch, position in plan.holding(row.number))
        return
    with StoryReader(plan.run_dir.journal) as journal, journal.at_one_moment():
        yield from (journal.story(plan, batch, position) for batch, position in plan.holding(row.number))


def _shown(row: PlanRow, asked: Asked, number: str | None) -> str:
    if row.to is not None:
        return row.to if row.to == number else mask(row.to)
    typed = asked.to is not None and asked.to.strip() == row.phone_input
    return row.phone_input if typed else _DIGIT.sub("•", row.phone_input)


def _delivery(
    row: PlanRow, stories: Sequence[Story], channel: Channel, receipts: Sequence[Path], *, now_us: int
) -> Delivery:
    story = next((each for each in reversed(stories) if channel in each.batch.channels), None)
    if story is None:
        found = Became(status=Status.EXCLUDED, reason=row.reason, error=row.error)
    else:
        found = became(story, channel)
    told = history(receipts, found.message_id) if found.message_id is not None else []
    state: DeliveryState | None = None
    for receipt in told:
        state = merge_status(state, receipt)
    return Delivery(
        channel=channel,
        became=found,
        receipts=tuple(told),
        state=state,
        over=state is not None and is_over(state, now_us=now_us),
    )
