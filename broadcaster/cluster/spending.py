"""What a run on a cluster spends, in the books of the machine that drives it; and what this machine spends beside it.

Theory of operation. The keeper of the limit counts every turn of every worker, but only as long as it lives, and knows
nothing of the ordinary runs on the driver's machine. So with every look it tells how much it let go, which is written
down here under its name, and hears what others on this machine spent. A launch that came to a proper end says so in the
shared directory, with the parts that are there by then: as long as no other part appears, and this machine still knows
the keeper by name, everything that was sent is in its books, and a later launch need not wait out the minute.

Books of two machines know nothing of each other. What was let go is written down half a second late.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from broadcaster.cluster.objects import home, last_parts, part_name, shards_in
from broadcaster.cluster.storage import Storage
from broadcaster.core.pacing import Source
from broadcaster.core.window import WINDOW_US, Ceilings
from broadcaster.store.spendbeside import Row, SpendBeside

_NOTED = "noted.json"


class Books:
    """The books of one launch.

    Args:
        spend: of the account that is known by now.
    """

    def __init__(self, spend: SpendBeside) -> None:
        self._spend = spend
        self._keeper = ""
        self._noted = (0, 0)  # requests and messages
        self._told: dict[str, tuple[int, int]] = {}  # what the keeper knows
        self._telling: dict[str, tuple[int, int]] = {}  # what it will know when it answers
        self._learned: int | None = None

    def __repr__(self) -> str:
        return f"<Books of {self._spend!r}, {self._noted[0]} requests>"

    def opening(self) -> list[Row]:
        """Return the last minute, for a keeper that may know nothing of it."""
        return self._news(self._spend.rows(foreign=True))

    def begin(self, keeper: str) -> None:
        """Hear the name of the keeper, which has heard the opening."""
        self._keeper, self._told = keeper, self._telling

    def knows(self, keeper: str) -> bool:
        """Return whether these books have something of the last minute that a keeper let go."""
        return self._spend.knows(keeper)

    def news(self) -> list[Row]:
        """Return what was spent beside the cluster and is not told yet."""
        return self._news(self._spend.rows(foreign=False))

    def _news(self, rows: list[Row]) -> list[Row]:
        rows = [row for row in rows if not (self._keeper and row[0].startswith(self._keeper))]
        self._telling = {name: (requests, messages) for name, _, requests, messages in rows}
        return [row for row in rows if self._told.get(row[0]) != row[2:]]

    def note(self, look: Mapping[str, Any]) -> bool:
        """Write down what the keeper says it let go; return whether everything is written down.

        Who has no limit needs no books. The keeper has heard the latest news.
        """
        self._told = self._telling
        requests, messages = look["given"]
        per_minute, messages_per_minute, source, _ = look["limit"]
        if source == Source.LEARNED and per_minute and per_minute != self._learned:
            self._learned = per_minute
            self._spend.learn(per_minute)
        ceilings = Ceilings(requests=per_minute or 0, messages=messages_per_minute or 0)
        more = requests - self._noted[0], messages - self._noted[1]
        needed = any(more) and bool(ceilings)
        if needed and not self._spend.note(self._keeper, requests=more[0], messages=more[1], ceilings=ceilings):
            return False  # with the next look, then
        self._noted = requests, messages
        return True

    @property
    def keeper(self) -> str:
        """The name under which they are kept."""
        return self._keeper


def say_noted(storage: Storage, keeper: str) -> None:
    """Say in the shared directory that everything that was sent is in the books of a keeper; nobody sends any more."""
    storage.replace(_NOTED, json.dumps({"keeper": keeper, "parts": _inventory(storage)}).encode())


def noted_by(storage: Storage) -> str | None:
    """Return in whose books everything is that was sent; ``None`` where nobody said so, or somebody has sent since."""
    try:
        words = json.loads(storage.read(_NOTED) or b"{}")
    except ValueError:
        return None
    if not isinstance(words, dict) or words.get("parts") != _inventory(storage):
        return None
    return str(words.get("keeper") or "") or None


def sent_ago_s(storage: Storage) -> float | None:
    """Return when the run was last sent to, by what its shards have written; ``None`` when that is over a minute ago.

    Whatever leaves was claimed before, and whatever comes back is written down.
    """
    youngest: float | None = None
    for shard in shards_in(storage.names("shards")):
        last = last_parts(storage.names(home(shard)))
        epoch = max(last, default=-1)  # not the last claim: who took the shard may have died before it wrote anything
        age_s = storage.age_s(part_name(shard, epoch, last[epoch])) if last else None
        if age_s is not None and age_s < WINDOW_US / 1e6:
            youngest = age_s if youngest is None else min(youngest, age_s)
    return youngest


def _inventory(storage: Storage) -> str:
    """Return a digest of which parts are there: somebody who sends adds one."""
    parts = [name for name in storage.names("shards") if "/part-" in name]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
