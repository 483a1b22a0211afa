"""Which contact each row is sent to, where the list names contacts by their ids: one contact is one person."""

import json

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.operations.legacy import CONTACT_ID


def contacts_of(parameters: pa.Array, sets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return a number for each row's contact: the same id, in whatever case, is the same number.

    Args:
        parameters: canonical JSON objects that hold the id.
        sets: which of them each row has.
    """
    numbers: dict[str, int] = {}
    of_set = np.array(
        [numbers.setdefault(str(_id(text)).strip().lower(), len(numbers)) for text in parameters.to_pylist()],
        dtype=np.int64,
    )
    found: NDArray[np.int64] = of_set[sets]
    return found


def _id(text: str) -> object:
    try:
        return json.loads(text)[CONTACT_ID]
    except ValueError:  # of a row that is left out: its cells are no part of any message
        return text
