"""Reading what ``receipts.sqlite`` files say, also while they are written: states in columns, and the history of one.

A run's receipts may be in two files, its own and the one in the directory above (``serve`` with several runs), and one
message's in both. Millions of states never become objects: they pass in record batches.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from broadcaster.core.receipts import Receipt, in_order, join
from broadcaster.store.receiptfile import NAME, reading, receipt_errors, state_of

STATES = pa.schema(
    [
        ("message_id", pa.string()),
        ("status", pa.string()),
        ("channel", pa.string()),
        ("reason", pa.string()),
        ("updated_us", pa.int64()),
        ("final", pa.bool_()),
        ("price", pa.string()),
    ]
)
"""``status`` is in upper case, as stored; the manifest's word is the same in lower case."""

_AT_ONCE = 1 << 16  # rows
_QUERY = (
    "SELECT message_id, status, channel, reason, updated_us, final, price, priced_us FROM state ORDER BY message_id"
)
_RECEIPTS = (
    "SELECT message_id, status, channel, code, reason, updated_us, event_key, source, price FROM receipt "
    "WHERE message_id = ? ORDER BY id"
)
_Row = tuple[Any, ...]


def receipt_files(run_dir: Path) -> list[Path]:
    """Return the files that may have receipts of a run, of those that exist: its own, and the one above it."""
    here = run_dir.resolve()
    return [path for path in (here / NAME, here.parent / NAME) if path.is_file()]


def read_states(paths: Iterable[Path]) -> pa.Table:
    """Return the state of every message in *paths*, by message id: the columns of :data:`STATES`.

    A message that several files know is there once, folded. About 80 bytes a row; :func:`state_batches` streams.

    Raises:
        StoreError: a file cannot be read, or is damaged.
    """
    return pa.Table.from_batches(state_batches(paths), schema=STATES)


def state_batches(paths: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """Yield the same in batches of some ten thousand rows, in order of message id."""
    with ExitStack() as stack:
        cursors = [_rows(stack, path) for path in dict.fromkeys(paths)]
        rows = cursors[0] if len(cursors) == 1 else _folded(cursors)
        batch: list[_Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _AT_ONCE:
                yield _columns(batch)
                batch = []
        if batch:
            yield _columns(batch)


def history(paths: Iterable[Path], message_id: str) -> list[Receipt]:
    """Return every receipt of one message, each once, as it happened.

    Raises:
        StoreError: a file cannot be read, or is damaged.
    """
    found: dict[str, Receipt] = {}
    for path in paths:
        with reading(path) as db:
            for row in db.execute(_RECEIPTS, (message_id,)):
                receipt = _receipt(row)
                found.setdefault(receipt.event_key, receipt)
    return in_order(found.values())


def revision(paths: Iterable[Path]) -> str:
    """Return a word that changes when anything new has arrived in any of *paths*; takes no time.

    Raises:
        StoreError: a file cannot be read, or is damaged.
    """
    words = []
    for path in paths:
        with reading(path) as db:
            last = db.execute("SELECT id, received_us FROM receipt ORDER BY id DESC LIMIT 1").fetchone()
        words.append("0" if last is None else f"{last[0]}.{last[1]}")
    return "-".join(words)


def _rows(stack: ExitStack, path: Path) -> Iterator[_Row]:
    db = stack.enter_context(reading(path))
    cursor = db.execute(_QUERY)
    while True:
        with receipt_errors(path):
            few = cursor.fetchmany(_AT_ONCE)
        if not few:
            return
        yield from few


def _folded(cursors: Sequence[Iterator[_Row]]) -> Iterator[_Row]:
    """Yield the rows of several files in order, one for each message."""
    name = itemgetter(0)
    for message_id, same in groupby(heapq.merge(*cursors, key=name), key=name):
        first, *others = same
        if not others:
            yield first
            continue
        state = state_of(first[1:])
        for other in others:
            state = join(state, state_of(other[1:]))
        yield (
            message_id,
            state.status,
            state.channel,
            state.reason,
            state.updated_us,
            state.final,
            state.price,
            state.priced_us,
        )


def _columns(rows: Sequence[_Row]) -> pa.RecordBatch:
    *columns, _priced = zip(*rows, strict=True)
    columns[5] = tuple(map(bool, columns[5]))
    return pa.record_batch(
        [pa.array(column, type=field.type) for column, field in zip(columns, STATES, strict=True)], schema=STATES
    )


def _receipt(row: _Row) -> Receipt:
    message_id, status, channel, code, reason, updated_us, event_key, source, price = row
    return Receipt(
        message_id=message_id,
        status=status,
        channel=channel,
        code=code,
        reason=reason,
        updated_us=updated_us,
        event_key=event_key,
        source=source,
        price=price,
    )
