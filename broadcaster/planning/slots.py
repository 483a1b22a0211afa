"""Send times of rows as columns: which slot each row has, or why it has none."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.zones import read_us, zone

NO_SLOT, NO_ZONE, LATE, BAD_ZONE = -1, -2, -3, -4
"""What a row has in place of a slot: no time is planned · its zone is not known well enough · the next time that suits
is after ``not_after`` · its own column names no zone."""
_NAMED = 40  # groups of zones that are counted by name; others are counted together
_OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Slot:
    """A send time as the API takes it, and the zones in which another one would have to suit."""

    send_at: str
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timed:
    """The slots of a list's rows: ``codes`` are places in ``slots``, or one of the negative words."""

    codes: NDArray[np.int32]
    slots: tuple[Slot, ...]
    candidates: NDArray[np.int32] = field(repr=False)
    labels: tuple[str, ...] = ()

    @classmethod
    def none(cls) -> "Timed":
        """Return what a job without a send time has."""
        nothing = np.zeros(0, dtype=np.int32)
        return cls(nothing, (), nothing)

    def counts(self, rows: NDArray[np.int64]) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many of *rows* go out at each send time, in order of time, and how many are in which zones."""
        if not self.slots:
            return {}, {}
        return self.named(
            np.bincount(self.codes[rows], minlength=len(self.slots)),
            np.bincount(self.candidates[rows], minlength=len(self.labels)),
        )

    def named(
        self, by_slot: NDArray[np.int64], by_candidates: NDArray[np.int64]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Return what :meth:`counts` does, of rows that were counted by place."""
        times: dict[str, int] = {}
        for slot, count in zip(self.slots, by_slot, strict=True):
            times[slot.send_at] = times.get(slot.send_at, 0) + int(count)
        zones: dict[str, int] = {}
        if self.labels:
            counted = by_candidates
            for rank, at in enumerate(np.argsort(-counted, kind="stable").tolist()):
                if counted[at]:
                    label = self.labels[at] if rank < _NAMED else _OTHERS
                    zones[label] = zones.get(label, 0) + int(counted[at])
        return {at: times[at] for at in sorted(times, key=read_us) if times[at]}, zones


@dataclass(frozen=True, slots=True)
class ZoneNames:
    """Gives each row the number of the zone that its own column names; 0: it names none, -1: there is no such zone."""

    names: list[str] = field(default_factory=lambda: [""])

    def number(self, cells: pa.Array) -> NDArray[np.int32]:
        """Return the numbers of a column's rows."""
        encoded = pc.fill_null(cells, "").dictionary_encode()
        numbers = np.array([self._number(text.strip()) for text in encoded.dictionary.to_pylist()], dtype=np.int32)
        found: NDArray[np.int32] = numbers[encoded.indices.to_numpy()]
        return found

    def _number(self, text: str) -> int:
        if text not in self.names:
            if zone(text) is None:
                return -1
            self.names.append(text)
        return self.names.index(text)
