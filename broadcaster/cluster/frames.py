"""The tables that planning sends around a cluster: narrow, of a fixed layout, as the data frames that Dask shuffles.

The only home of pandas in this room. Rows are numbered through the whole list; nothing here knows what they mean.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

_TEXT = pd.ArrowDtype(pa.large_string())

Layout = Mapping[str, Any]
NUMBERS: Layout = {"number": "int64", "row": "int64", "mark": "int8"}
VERDICTS: Layout = {"row": "int64", "first": "int64"}
SHARES: Layout = {
    "high": "uint64",
    "low": "uint64",
    "piece": "int64",
    "group": "int64",
    "first": "int64",
    "count": "int64",
    "channel": "int64",
}
JOINED: Layout = {
    "home": "int64",
    "piece": "int64",
    "group": "int64",
    "count": "int64",
    "offset": "int64",
    "channel": "int64",
}
SEATS: Layout = {"piece": "int64", "group": "int64", "start": "int64", "batch": "int64", "offset": "int64"}
PEOPLE: Layout = {"position": "int64", "row": "int64", "number": "int64"}
OPENINGS: Layout = {"position": "int64", "text": _TEXT, "channel": "int16", "slot": "int32"}


def empty(layout: Layout) -> pd.DataFrame:
    """Return a frame of a layout without rows: what Dask has to know of it."""
    return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in layout.items()})


def pack(layout: Layout, **columns: Any) -> pd.DataFrame:
    """Make a frame of arrays, which have to be all columns of *layout*; texts are Arrow's."""
    found: dict[str, Any] = {}
    for name, kind in layout.items():
        column = columns.pop(name)
        found[name] = (
            pd.arrays.ArrowExtensionArray(pa.chunked_array([column], pa.large_string()))
            if kind == _TEXT
            else np.asarray(column, dtype=kind)
        )
    if columns:
        raise ValueError(f"the layout has no columns {', '.join(columns)}")
    return pd.DataFrame(found, copy=False)


def unpack(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame's columns as arrays: what :func:`pack` was given; a column that it was sorted by is its index."""
    if frame.index.name is not None:
        frame = frame.reset_index()
    return {
        str(name): pa.array(column.array, pa.large_string()) if column.dtype == _TEXT else column.to_numpy()
        for name, column in frame.items()
    }
