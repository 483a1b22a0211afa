"""A simulator's ledger, read as data, against a run's plan and manifest: who was really messaged, and how often.

The only thing known of the simulator here is the table ``message`` of its state file.
"""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from broadcaster.core.words import Status
from broadcaster.errors import StoreDamaged
from broadcaster.store.parquet import reading, record_batches
from broadcaster.store.rundir import RunDir

_COLUMNS = ["to", "channel", "status", "message_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The ledger's word on a run, in deliveries.

    Attributes:
        messages: that the simulator created.
        twice: deliveries that it created more than once.
        lost: deliveries that should have gone out and are not in it: accepted, pending or in doubt by the manifest.
        strangers: messages to somebody whom the plan does not message.
        misnamed: accepted deliveries whose message id is another's or nobody's.
    """

    messages: int
    twice: int
    lost: int
    strangers: int
    misnamed: int

    @property
    def holds(self) -> bool:
        """Whether nobody was messaged twice and nobody was lost."""
        return not (self.twice or self.lost or self.strangers or self.misnamed)


def prove(run_dir: RunDir, ledger: Path) -> Proof:
    """Compare the ledger with the manifest, delivery by delivery.

    Raises:
        StoreDamaged: when either cannot be read.
    """
    sent, ids = _sent(ledger)
    planned: set[tuple[str, str]] = set()
    lost = misnamed = 0
    with reading(run_dir.manifest) as file:
        for batch in record_batches(file, _COLUMNS):
            for row in batch.to_pylist():
                delivery = (row["to"], row["channel"])
                if row["status"] == Status.EXCLUDED:
                    continue
                planned.add(delivery)
                lost += row["status"] != Status.REJECTED and delivery not in sent
                misnamed += row["status"] == Status.ACCEPTED and ids.get(row["message_id"]) != delivery
    return Proof(
        messages=sum(sent.values()),
        twice=sum(1 for count in sent.values() if count > 1),
        lost=lost,
        strangers=sum(1 for delivery in sent if delivery not in planned),
        misnamed=misnamed,
    )


def messages(ledger: Path) -> int:
    """Return how many messages the ledger holds now; 0 before it is made."""
    if not ledger.exists():
        return 0
    try:
        db = sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            return int(db.execute("SELECT count(*) FROM message").fetchone()[0])
        finally:
            db.close()
    except sqlite3.OperationalError:  # it is being made
        return 0


def _sent(ledger: Path) -> tuple[Counter[tuple[str, str]], dict[str, tuple[str, str]]]:
    sent: Counter[tuple[str, str]] = Counter()
    ids: dict[str, tuple[str, str]] = {}
    try:
        db = sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            for message_id, recipient, channel in db.execute("SELECT message_id, recipient, channel FROM message"):
                sent[recipient, channel] += 1
                ids[message_id] = (recipient, channel)
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(f"{ledger}: the simulator's ledger cannot be read ({error})") from error
    return sent, ids
