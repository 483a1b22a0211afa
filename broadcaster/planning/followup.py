"""What a plan has already: the anti-join behind ``--extend``."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.words import Reason
from broadcaster.planning.exclude import ELIGIBLE, MALFORMED, is_in
from broadcaster.store.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Numbers of earlier parts: those that are planned, those that have any row, and invalid cells as written.

    ``malformed`` are the sentences about rows that could not be read: they name the line.
    """

    planned: NDArray[np.int64]
    seen: NDArray[np.int64]
    invalid: pa.Array
    malformed: frozenset[str] = frozenset()

    @classmethod
    def none(cls) -> "Known":
        """Return what a first part knows."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(planned=empty, seen=empty, invalid=pa.array([], pa.string()))

    @classmethod
    def of(cls, plan: Plan) -> "Known":
        """Read the rows of all parts."""
        planned, seen, invalid = [], [], []
        malformed: set[str] = set()
        for part in plan.parts:
            for table in part.read_rows(["phone_input", "to", "batch", "reason", "error"]):
                valid = table.filter(pc.is_valid(table["to"]))
                numbers = pc.cast(pc.utf8_slice_codeunits(valid["to"], 1), pa.int64()).to_numpy()
                seen.append(numbers)
                planned.append(numbers[pc.is_valid(valid["batch"]).to_numpy()])
                others = table.filter(pc.is_null(table["to"]))
                unread = pc.equal(others["reason"].cast(pa.string()), str(Reason.MALFORMED_ROW))
                malformed.update(others.filter(unread)["error"].to_pylist())
                invalid.append(others.filter(pc.invert(unread))["phone_input"].combine_chunks())
        return cls(
            planned=np.unique(np.concatenate(planned)),
            seen=np.unique(np.concatenate(seen)),
            invalid=pc.unique(pa.chunked_array(invalid, pa.string())),
            malformed=frozenset(malformed),
        )

    def repeats(
        self,
        numbers: NDArray[np.int64],
        codes: NDArray[np.uint8],
        cells: pa.ChunkedArray,
        malformed: Mapping[int, str] | None = None,
    ) -> NDArray[np.bool_]:
        """Return the rows that an extension leaves out: planned already, or excluded again.

        *malformed* says of the rows that could not be read what is wrong with them.
        """
        again: NDArray[np.bool_] = is_in(numbers, self.planned) | ((codes != ELIGIBLE) & is_in(numbers, self.seen))
        if len(self.invalid):
            again |= (numbers == 0) & (codes != MALFORMED) & pc.is_in(cells, self.invalid).to_numpy()
        again[[row for row, sentence in (malformed or {}).items() if sentence in self.malformed]] = True
        return again
