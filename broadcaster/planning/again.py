"""Whom ``retry-failed`` sends to again: what definitely did not arrive, and may be tried again.

Theory of operation. Two words say that a message did not arrive. The API's own refusal created nothing: that is in the
journal (:mod:`broadcaster.store.refusals`). And receipts: what was blocked, has failed for good, was filtered or
called off. Which of these may be tried again, and where, is decided by their codes (:mod:`broadcaster.core.remedy`).
The manifest joins both, so it is read here, row by row of the plan, and only what did not arrive is looked at.

A delivery has one word, the latest. Whoever was sent it again on another channel is judged by that message alone; so
nobody gets it on both. Whatever was ever in doubt stays out: an attempt that nobody heard of may have arrived.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.receipts import NOT_ARRIVED, SETTLING_US
from broadcaster.core.remedy import Again, Cause, again, cause_of
from broadcaster.core.words import Channel, Status
from broadcaster.store.added import Added
from broadcaster.store.facts import Facts
from broadcaster.store.parquet import reading, record_batches
from broadcaster.store.plan import ROW_SHIFT, Plan
from broadcaster.store.refusals import doubted_rows, refused_deliveries
from broadcaster.store.spread import CHANNELS, Spread

UNDELIVERED = pa.schema(
    [
        ("row", pa.int64()),
        ("channel", pa.int8()),
        ("message_id", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("updated_us", pa.int64()),
    ]
)
"""What a retry rests on, besides refusals: ``plan-N.parquet`` of its part. ``channel`` is a place in ``CHANNELS``."""

_COLUMNS = [
    "channel", "status", "reason", "message_id",
    "delivery_status", "delivery_channel", "delivery_reason", "delivery_updated_at",
]  # fmt: skip
_LOST = tuple(sorted(each.lower() for each in NOT_ARRIVED))
_CODE = re.compile(r"[A-Z][A-Za-z_]{0,45}[0-9]{0,3}")  # what may be shown; anything else is somebody's sentence
_DOUBT = "may have arrived by an earlier attempt"
_ELSEWHERE = "were sent again on another channel"
_THERE = "have a message on that channel"
_YOUNG = "failed a few minutes ago: another route may be tried"
_LEFT_OUT = {
    Cause.CONSENT: "must not be messaged",
    Cause.NUMBER: "cannot be reached",
    Cause.CHANNEL: "not on this channel: --channel names another",
    Cause.CONVERSATION: "free text needs an open conversation",
    Cause.ROUTE: "forbidden by a rule of the account",
    Cause.CANCELLED: "were cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Whom to send to again.

    Attributes:
        masks: by row of the plan, the channels to send on, as bits by their places in ``CHANNELS``; 0 is not at all.
        again: how many deliveries are sent again for which reason; *left_out* are not, and why.
        replaced: deliveries that get a new word, by their status; the others are new.
        undelivered: what is sent again because of receipts, as :data:`UNDELIVERED`.
    """

    masks: NDArray[np.uint8]
    again: dict[str, int]
    left_out: dict[str, int]
    replaced: dict[str, int]
    undelivered: pa.Table

    @property
    def recipients(self) -> int:
        """How many people."""
        return int(np.count_nonzero(self.masks))


def choose(plan: Plan, facts: Facts, *, channel: Channel | None, now_us: int) -> Selection:
    """Choose whom to send to again.

    Args:
        plan: of a run whose manifest is current and that has nothing pending.
        facts: of its journal.
        channel: where to send; ``None``: where it did not arrive.
        now_us: µs since 1970; what failed a moment ago may yet be rerouted.

    Raises:
        StoreError: plan, journal or manifest cannot be read.
    """
    added = Added(plan)
    table, own = _lost(plan, added)
    rows, ranks = table["row"].to_numpy(), table["rank"].to_numpy()
    kinds, labels, may = _judged(table, target=channel, now_us=now_us)
    rejected = pc.equal(table["status"], str(Status.REJECTED)).to_numpy(zero_copy_only=False)
    refused = refused_deliveries(plan, facts)[rows, ranks]
    doubted = np.where(rejected, ~refused, doubted_rows(plan, facts)[rows])
    last = np.full(plan.rows, -1, dtype=np.int8)
    last[added.rows] = added.last
    elsewhere = (last[rows] >= 0) & (last[rows] != ranks)
    chosen = may & ~doubted & ~elsewhere
    left_out = [(doubted, _DOUBT), (elsewhere & ~doubted, _ELSEWHERE)]
    target = ranks if channel is None else np.full(len(rows), CHANNELS.index(channel), dtype=ranks.dtype)
    if channel is not None:
        itself = np.zeros(plan.rows, dtype=bool)  # rows whose message on that very channel is sent again
        itself[rows[chosen & (ranks == target)]] = True
        there = chosen & (ranks != target) & (own[rows] >> target & 1 == 1) & ~itself[rows]
        chosen &= ~there
        left_out.append((there, _THERE))
    masks = np.zeros(plan.rows, dtype=np.uint8)
    np.bitwise_or.at(masks, rows[chosen], np.left_shift(1, target[chosen]).astype(np.uint8))
    replaced = chosen & (ranks == target)
    return Selection(
        masks=masks,
        again=_counted(labels, kinds[chosen]),
        left_out={
            **_counted(labels, kinds[~may & ~doubted & ~elsewhere]),
            **{why: int(which.sum()) for which, why in left_out if which.any()},
        },
        replaced={
            str(Status.REJECTED): int((replaced & rejected).sum()),
            str(Status.ACCEPTED): int((replaced & ~rejected).sum()),
        },
        undelivered=_undelivered(table.filter(pa.array(chosen & ~rejected))),
    )


def _undelivered(table: pa.Table) -> pa.Table:
    columns = [table["row"], table["rank"], table["message_id"], pc.utf8_upper(table["delivery_status"]),
               table["delivery_reason"], table["delivery_updated_at"].cast(pa.int64())]  # fmt: skip
    return pa.table(columns, schema=UNDELIVERED)


def _counted(labels: list[str], kinds: NDArray[np.int64]) -> dict[str, int]:
    """Count by label, the most frequent first."""
    found: Counter[str] = Counter()
    for kind, count in enumerate(np.bincount(kinds, minlength=len(labels)).tolist()):
        if count:
            found[labels[kind]] += count
    return dict(found.most_common())


def _lost(plan: Plan, added: Added) -> tuple[pa.Table, NDArray[np.uint8]]:
    """Return the manifest's deliveries that did not arrive with their rows, and by row the channels that it has."""
    own = np.zeros(plan.rows, dtype=np.uint8)
    spreads = _spread(plan, added)
    found: list[pa.Table] = []
    waiting = np.zeros(0, dtype=np.int64)
    with reading(plan.run_dir.manifest) as file:
        for batch in record_batches(file, _COLUMNS):
            while len(waiting) < batch.num_rows:
                waiting = np.concatenate([waiting, next(spreads)])
            rows, waiting = waiting[: batch.num_rows], waiting[batch.num_rows :]
            encoded = batch.column("channel").dictionary_encode()
            places = np.array([CHANNELS.index(Channel(each)) for each in encoded.dictionary.to_pylist()], dtype=np.int8)
            ranks = places[encoded.indices.to_numpy()]
            np.bitwise_or.at(own, rows, np.left_shift(1, ranks).astype(np.uint8))
            lost = pc.and_(
                pc.equal(batch.column("status"), str(Status.ACCEPTED)),
                pc.fill_null(pc.is_in(batch.column("delivery_status"), pa.array(_LOST)), fill_value=False),
            )
            lost = pc.or_(lost, pc.equal(batch.column("status"), str(Status.REJECTED)))
            table = pa.Table.from_batches([batch])
            table = table.append_column("row", pa.array(rows)).append_column("rank", pa.array(ranks))
            found.append(table.filter(lost))
    return pa.concat_tables(found).combine_chunks(), own


def _spread(plan: Plan, added: Added) -> Iterator[NDArray[np.int64]]:
    """Yield the row of the plan that each of the manifest's rows is about, in its order."""
    for part in plan.parts:
        first = part.head.first_row
        for group, rows in enumerate(part.read_rows(["channels"])):
            begin = first + (group << ROW_SHIFT)
            yield begin + Spread.of(rows["channels"], more=added.within(begin, rows.num_rows)).rows


def _judged(
    table: pa.Table, *, target: Channel | None, now_us: int
) -> tuple[NDArray[np.int64], list[str], NDArray[np.bool_]]:
    """Return of each delivery what kind of end it met, the label of each kind, and whether it may be sent again."""
    moments = table["delivery_updated_at"].cast(pa.int64()).fill_null(0).to_numpy()
    young = pa.array(now_us - moments < SETTLING_US)
    texts = [table["status"], table["delivery_status"], table["delivery_reason"], table["reason"], table["channel"],
             table["delivery_channel"], young.cast(pa.string())]  # fmt: skip
    joined = pc.binary_join_element_wise(*(pc.fill_null(each.cast(pa.string()), "") for each in texts), "\0")
    encoded = (
        joined.combine_chunks().dictionary_encode() if len(joined) else pa.array([], pa.string()).dictionary_encode()
    )
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    verdicts = [_judge(each.split("\0"), target) for each in encoded.dictionary.to_pylist()]
    kinds = encoded.indices.to_numpy().astype(np.int64)
    return kinds, [label for label, _ in verdicts], np.array([may for _, may in verdicts], dtype=bool)[kinds]


def _judge(words: list[str], target: Channel | None) -> tuple[str, bool]:
    """Return, for one kind of end, its label and whether it may be sent again, on *target* or where it was."""
    status, delivery, reason, refusal, asked, used, young = words
    code = refusal if status == Status.REJECTED else reason
    told = f" ({code})" if _CODE.fullmatch(code) else ""
    if status == Status.REJECTED:  # the API's word at once; only consent is for ever
        forbidden = cause_of("FAILED", code) is Cause.CONSENT
        return (f"{_LEFT_OUT[Cause.CONSENT]}{told}", False) if forbidden else (f"rejected{told}", True)
    cause = cause_of(delivery.upper(), code or None)
    if cause is None:
        raise ValueError(delivery)
    if delivery == "failed" and young == "true" and asked == Channel.AUTO:
        return _YOUNG, False
    allowed = again(cause)
    elsewhere = target is not None and str(target) not in {asked, used}
    if allowed is Again.NEVER or (allowed is Again.ELSEWHERE and not elsewhere):
        return f"{_LEFT_OUT.get(cause, delivery)}{told}", False
    return f"{delivery}{told}", True
