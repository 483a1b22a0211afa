"""Workers of a cluster that are none: everything is done at once, in this process, by the same rules."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from broadcaster.cluster.frames import Layout, empty


@dataclass(frozen=True, slots=True)
class _Done:
    """A result; what it stands for travels as bytes, so that nothing is handed over by accident."""

    pickled: bytes


class Hands:
    """See :class:`broadcaster.cluster.planner.Workers`."""

    def run(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> _Done:
        """Do *work*."""
        return _Done(pickle.dumps(work(*map(_taken, arguments), **named)))

    def told(self, results: Sequence[_Done]) -> list[Any]:
        """Return what results are."""
        return [_taken(each) for each in results]

    def together(self, frames: Sequence[_Done], layout: Layout, *, by: str, parts: int) -> list[_Done]:
        """Bring rows of equal *by* together."""
        whole = _whole(frames, layout)
        return _cut(whole, pd.util.hash_array(whole[by].to_numpy()) % parts, parts)

    def between(self, frames: Sequence[_Done], layout: Layout, *, by: str, bounds: Sequence[int]) -> list[_Done]:
        """Bring rows together by the two of *bounds* that their *by* is between."""
        whole = _whole(frames, layout)
        return _cut(whole, np.searchsorted(bounds, whole[by], side="right") - 1, len(bounds) - 1)

    def in_order(self, results: Iterable[_Done]) -> Iterator[Any]:
        """Yield what results are."""
        yield from map(_taken, results)


def _taken(value: Any) -> Any:
    if isinstance(value, _Done):
        return pickle.loads(value.pickled)  # noqa: S301 - our own bytes
    return [_taken(each) for each in value] if isinstance(value, list) else value


def _whole(frames: Sequence[_Done], layout: Layout) -> pd.DataFrame:
    """Return all rows, the last one first: whoever shuffles promises no order."""
    whole: pd.DataFrame = pd.concat([empty(layout), *map(_taken, frames)], ignore_index=True)
    return whole[::-1].astype(empty(layout).dtypes)


def _cut(whole: pd.DataFrame, part: Any, parts: int) -> list[_Done]:
    assert len(whole) == sum((part == each).sum() for each in range(parts)), "a row between no bounds"
    return [_Done(pickle.dumps(whole[part == each])) for each in range(parts)]
