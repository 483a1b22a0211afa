"""A journal in memory that only contradicts: do facts agree with those before them? For whoever keeps them elsewhere.

The tables are the journal's own, so that what would be refused there is refused here. Answers, which take the most room
and contradict nothing, are left out.
"""

import sqlite3
from collections.abc import Iterable

from broadcaster.store.journal import journal_errors
from broadcaster.store.rows import KINDS, SCHEMA, Statement, gathered, insert


class Shadow:
    """The facts of one writer so far; to be used by one thread at a time."""

    def __init__(self, where: str) -> None:
        """Begin without any facts; *where* they are really kept is for messages."""
        self._where = where
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.executescript(SCHEMA)

    def admit(self, statements: Iterable[Statement]) -> None:
        """Take facts, all or none.

        Raises:
            StoreError: they contradict each other, or what was admitted before.
        """
        with journal_errors(self._where):
            self._db.execute("BEGIN")
            try:
                for statement, rows in gathered(statements).items():
                    if statement != KINDS["answer"]:
                        insert(self._db, statement, rows)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Forget all of it."""
        self._db.close()
