"""Whose row is whose, where one list is sent for several profiles: each of them has a plan of its own.

A row is in exactly one of these plans. What names no profile is in the first, where it is excluded and told of.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MINE, OTHERS, NOBODYS = range(3)
"""The plan's own row · another plan's · one that names no profile, and is this plan's to tell of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The rows of one profile; *names* are those of all profiles, in the order of the job."""

    name: str
    names: tuple[str, ...]

    def of(self, cells: pa.Array) -> NDArray[np.int8]:
        """Return the word for each row, by what its *cells* name; blanks around a name do not count."""
        named = pc.utf8_trim_whitespace(cells)
        mine = pc.equal(named, self.name).to_numpy(zero_copy_only=False)
        found = np.where(mine, np.int8(MINE), np.int8(OTHERS))
        if self.name == self.names[0]:
            known = pc.is_in(named, pa.array(self.names)).to_numpy(zero_copy_only=False)
            found[~known] = NOBODYS
        return found.astype(np.int8)
