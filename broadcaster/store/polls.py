"""When each message was last asked for at the API: a table beside the receipts, in the run's own file of them.

It only says in which order to go on asking. A message that nothing new was said of leaves no receipt; without this it
would be asked for first again, for ever.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.store.receiptfile import NAME, opened, reading, receipt_errors

_TABLE = "CREATE TABLE IF NOT EXISTS poll (message_id TEXT PRIMARY KEY, asked_us INTEGER NOT NULL) WITHOUT ROWID"
_AT_ONCE = 1 << 16  # rows


def note_polls(run_dir: Path, message_ids: Sequence[str], *, at_us: int) -> None:
    """Write down that *message_ids* were asked for.

    Raises:
        StoreError: the disk refuses, or the file is damaged.
    """
    path = run_dir / NAME
    with receipt_errors(path), closing(opened(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute(_TABLE)
        db.executemany("INSERT OR REPLACE INTO poll VALUES (?, ?)", [(each, at_us) for each in message_ids])
        db.execute("COMMIT")


def read_polls(run_dir: Path) -> tuple[NDArray[np.int64], pa.Array]:
    """Return when messages were asked for, and which; in no order.

    Raises:
        StoreError: the file cannot be read, or is damaged.
    """
    path = run_dir / NAME
    moments, ids = [np.zeros(0, np.int64)], [pa.array([], pa.string())]
    if path.exists():
        with reading(path) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'poll'").fetchone() is not None:
                rows = db.execute("SELECT message_id, asked_us FROM poll")
                while few := rows.fetchmany(_AT_ONCE):
                    ids.append(pa.array([each for each, _ in few], pa.string()))
                    moments.append(np.array([asked_us for _, asked_us in few], dtype=np.int64))
    return np.concatenate(moments), pa.concat_arrays(ids)
