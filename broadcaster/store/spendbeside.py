"""What others were let go who have no file here, written down beside what this machine's own processes spend.

Whoever keeps the limit for many workers elsewhere tells how much it let go; so a run of the same account on this
machine leaves room for that, and a later one finds it. It must not know who those others are.
"""

import sqlite3

from broadcaster.core.window import Ceilings
from broadcaster.store.spend import Spend
from broadcaster.store.spendrows import WHEN

_UNKNOWN = ""  # the pool of a process that does not know its account yet
_FORGET_EVERY = 100  # notes
Row = tuple[str, float, int, int]
"""A row of the last minute: a name that it keeps, so many seconds ago, requests, messages."""


class SpendBeside(Spend):
    """The last minute of an account for whoever spends elsewhere: nobody takes turns here."""

    def note(self, who: str, *, requests: int, messages: int, ceilings: Ceilings) -> bool:
        """Write down what others were let go just now, out of a known account; return whether that could be done.

        Args:
            who: let them go; a word that nobody else has.
            requests: that were let go.
            messages: in them.
            ceilings: how much the account may spend, as far as those know.
        """

        def work(db: sqlite3.Connection) -> bool:
            minute = self._minute(db)
            self._declare(minute, ceilings)
            if not self._turns % _FORGET_EVERY:
                minute.forget()
            self._turns += 1
            minute.add(self._pool, who, requests=requests, messages=messages)
            return True

        return self._briefly(work, otherwise=False)

    def rows(self, *, foreign: bool) -> list[Row]:
        """Return the account's last minute, row by row; without *foreign* what processes of this machine know of."""

        def work(db: sqlite3.Connection) -> list[Row]:
            minute = self._minute(db)
            found = minute.by_whom(self._pool, _UNKNOWN, foreign=foreign)
            return [
                (name, max(0, minute.now.us - us) / 1_000_000, requests, messages)
                for name, us, requests, messages in found
            ]

        return self._briefly(work, otherwise=[])

    def knows(self, who: str) -> bool:
        """Return whether anything of the last minute was written down here in somebody's name."""
        return any(name.startswith(f"{who}{WHEN}") for name, *_ in self.rows(foreign=False))
