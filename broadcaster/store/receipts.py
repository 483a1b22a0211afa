"""``receipts.sqlite``: every receipt once, and the state that follows from them.

Theory of operation. A file of its own, because ``serve`` and ``reconcile`` write while a run holds its journal; both
may write at once, each in short transactions. A receipt and the state it leads to are committed together, so the state
always is the fold of what is there (:func:`broadcaster.core.receipts.merge_status`), and a repeated receipt changes
neither. Receipts whose message nobody knows yet simply wait: they are matched by message id when a manifest is built.
No phone number is stored.

One thread writes. Callers put receipts into a queue, with a future each; the thread takes what has gathered, writes it
in one transaction, and resolves the futures after the fsync. Other than the journal's, a failed write does not end
everything: whoever waited hears of it, Sent repeats the receipt, and the next one is tried anew.
"""

import asyncio
import json
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from broadcaster.clock import wall_us
from broadcaster.core.receipts import DeliveryState, Receipt, merge_status
from broadcaster.errors import StoreError
from broadcaster.store.receiptfile import opened, receipt_errors, state_of

# What a reader needs stands here too, so that nobody has to know how the work is divided.
from broadcaster.store.receiptviews import history, read_states, receipt_files, revision, state_batches

__all__ = [
    "ReceiptsWriter",
    "history",
    "read_states",
    "receipt_files",
    "revision",
    "state_batches",
]

_MOST_AT_ONCE = 2000  # receipts of a transaction: others wait for its lock
_Waiting = tuple[Sequence[Receipt], asyncio.Future[int]]

# Whole groups pass as JSON, because SQLite gives the interpreter away at each step of a statement, and gets it back
# only when the event loop pauses: a statement for each receipt would wait as often as there are receipts.
_KNOWN = "SELECT json_group_array(event_key) FROM receipt WHERE event_key IN (SELECT value FROM json_each(?))"
_RECEIPT = "event_key, message_id, status, channel, code, reason, updated_us, received_us, price, source"
_STATE = "message_id, status, channel, reason, updated_us, final, price, priced_us"
_STATES = (
    f"SELECT json_group_array(json_array({_STATE})) FROM state "  # noqa: S608 - our own words
    "WHERE message_id IN (SELECT value FROM json_each(?))"
)


def _from_json(verb: str, table: str, columns: str) -> str:
    values = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(columns.count(",") + 1))
    return f"{verb} INTO {table} ({columns}) SELECT {values} FROM json_each(?)"  # noqa: S608 - our own words


_ADD = _from_json("INSERT", "receipt", _RECEIPT)
_PUT = _from_json("INSERT OR REPLACE", "state", _STATE)


class ReceiptsWriter:
    """Adds receipts to one file, which it makes when there is none.

    Use it inside a running event loop, as a context manager. Other processes may write to the same file.

    Raises:
        StoreError: from the constructor and from :meth:`add`, when the disk refuses or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._waiting = 0
        self._db = opened(path)
        self._identity = _identity(path)
        self._thread = threading.Thread(target=self._write, name="receipts", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<ReceiptsWriter {self.path} {self._waiting} waiting{', closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """Receipts that were handed in and are not on disk yet."""
        return self._waiting

    async def add(self, receipts: Iterable[Receipt]) -> int:
        """Write receipts down; they are on disk when it returns.

        Returns:
            How many were new. One whose ``event_key`` is there already is left out.

        Raises:
            StoreError: none of them may be on disk. Try again, or let their sender repeat them.
        """
        if self._closed:  # nobody would write them, and the caller would wait for ever
            raise StoreError(f"{self.path}: receipts are not taken any more; the program is ending")
        given = tuple(receipts)
        if not given:
            return 0
        future: asyncio.Future[int] = self._loop.create_future()
        future.add_done_callback(_retrieve)
        self._waiting += len(given)
        self._queue.put((given, future))
        # A cancelled caller must not cancel the write: it is on its way to the disk.
        return await asyncio.shield(future)

    def close(self) -> None:
        """Write what is waiting and close the file. Receipts that come later are refused."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._db.close()

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        ended = False
        while not ended:
            group: list[_Waiting] = []
            next_one = self._queue.get()
            count = 0
            while True:
                if next_one is None:
                    ended = True
                    break
                group.append(next_one)
                count += len(next_one[0])
                if count >= _MOST_AT_ONCE:
                    break
                try:
                    next_one = self._queue.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        new: list[int] = []
        failure: StoreError | None = None
        try:
            with receipt_errors(self.path):
                new = self._transact([receipts for receipts, _ in group])
        except StoreError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a thread that ends in silence would leave all callers waiting
            failure = StoreError(f"{self.path}: a receipt cannot be written ({type(error).__name__})")
        self._loop.call_soon_threadsafe(self._resolve, group, new, failure)

    def _resolve(self, group: Sequence[_Waiting], new: Sequence[int], failure: StoreError | None) -> None:
        for at, (receipts, future) in enumerate(group):
            self._waiting -= len(receipts)
            if future.cancelled():
                continue
            if failure is None:
                future.set_result(new[at])
            else:
                future.set_exception(failure)

    def _require_place(self) -> None:
        """Raise when the file has been moved or removed: what SQLite would go on writing to has no name any more.

        Nor is another made in its place: its write-ahead log, which is found by name, could still be that of the first.
        """
        if _identity(self.path) != self._identity:
            raise StoreError(
                f"{self.path} was moved or removed while receipts are written to it; end this program and start it "
                "again. Nothing is lost: Sent repeats what was not acknowledged"
            )

    def _transact(self, groups: Sequence[Sequence[Receipt]]) -> list[int]:
        """Write all in one transaction; return how many of each were new."""
        self._require_place()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            new = self._apply(groups)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return new

    def _apply(self, groups: Sequence[Sequence[Receipt]]) -> list[int]:
        keys = [receipt.event_key for group in groups for receipt in group]
        known: set[str] = set(self._json(_KNOWN, keys))
        added: list[Receipt] = []
        new: list[int] = []
        for group in groups:
            before = len(added)
            for receipt in group:
                if receipt.event_key not in known:
                    known.add(receipt.event_key)
                    added.append(receipt)
            new.append(len(added) - before)
        if added:
            names = list({receipt.message_id for receipt in added})
            states = {row[0]: state_of(row[1:]) for row in self._json(_STATES, names)}
            self._db.execute(_ADD, (json.dumps([_row(receipt, received_us=wall_us()) for receipt in added]),))
            changed = _fold(states, added)
            if changed:
                rows = [[name, *_columns(state)] for name, state in changed.items()]
                self._db.execute(_PUT, (json.dumps(rows),))
        return new

    def _json(self, query: str, names: Sequence[str]) -> list[Any]:
        found: list[Any] = json.loads(self._db.execute(query, (json.dumps(names),)).fetchone()[0])
        return found


def _fold(states: Mapping[str, DeliveryState], receipts: Iterable[Receipt]) -> dict[str, DeliveryState]:
    """Return the states that *receipts* change."""
    now = dict(states)
    for receipt in receipts:
        now[receipt.message_id] = merge_status(now.get(receipt.message_id), receipt)
    return {name: state for name, state in now.items() if state != states.get(name)}


def _row(receipt: Receipt, *, received_us: int) -> list[object]:
    return [
        receipt.event_key,
        receipt.message_id,
        receipt.status.upper(),
        receipt.channel,
        receipt.code,
        receipt.reason,
        receipt.updated_us,
        received_us,
        receipt.price,
        receipt.source,
    ]


def _columns(state: DeliveryState) -> Iterator[object]:
    yield from (state.status, state.channel, state.reason, state.updated_us, int(state.final))
    yield from (state.price, state.priced_us)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of the same name; ``None``: there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _retrieve(future: "asyncio.Future[int]") -> None:
    """Look at a failure even when its caller is gone, so that asyncio does not report it a second time."""
    if not future.cancelled():
        future.exception()
