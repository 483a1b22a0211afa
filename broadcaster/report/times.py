"""Moments into bars: pure arithmetic on seconds."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from broadcaster.report.figures import Timeline

_MOST = 48  # bars: more are thinner than a finger on a phone
_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800,
)  # fmt: skip
_MINUTE_S = 60
_S = 1_000_000  # microseconds


def iso(us: int | None) -> str | None:
    """Return a moment as text."""
    return None if us is None else datetime.fromtimestamp(us / _S, tz=UTC).isoformat(timespec="seconds")


def step_s(first: int, last: int) -> int:
    """Return how many seconds a bar stands for, so that all fit: a round number."""
    for step in _STEPS_S:
        if last // step - first // step < _MOST:
            return step
    return ((last - first) // ((_MOST - 1) * _STEPS_S[-1]) + 1) * _STEPS_S[-1]


def timeline(counts: Mapping[str, Mapping[int, int]]) -> Timeline | None:
    """Return counts by name and second as bars; ``None`` when there are none."""
    seconds = [second for each in counts.values() for second in each]
    if not seconds:
        return None
    step = step_s(min(seconds), max(seconds))
    start = min(seconds) // step
    bars = max(seconds) // step - start + 1
    series = {}
    for name, each in counts.items():
        values = [0] * bars
        for second, count in each.items():
            values[second // step - start] += count
        series[name] = tuple(values)
    return Timeline(start=iso(start * step * _S) or "", step_s=step, series=series)


def busiest(moments_us: NDArray[np.int64], weights: NDArray[np.int64] | None = None) -> int:
    """Return the most that happened in any 60 seconds; *moments_us* are sorted."""
    if not len(moments_us):
        return 0
    until = np.searchsorted(moments_us, moments_us + _MINUTE_S * _S, side="left")
    done = np.arange(len(moments_us) + 1) if weights is None else np.concatenate(([0], np.cumsum(weights)))
    return int((done[until] - done[:-1]).max())


def rolling(moments_us: NDArray[np.int64]) -> Timeline | None:
    """Return how many of the sorted moments were in the 60 seconds before the end of each bar.

    A bar that is longer than a minute shows the most of its minutes.
    """
    if not len(moments_us):
        return None
    first, last = int(moments_us[0]) // _S, int(moments_us[-1]) // _S
    step = step_s(first, last)
    start = first // step
    bars = last // step - start + 1
    # For each moment, how many are in the 60 seconds that end with it: the window is fullest at a moment.
    since = np.searchsorted(moments_us, moments_us - _MINUTE_S * _S, side="right")
    full = np.arange(1, len(moments_us) + 1) - since
    values = np.zeros(bars, dtype=np.int64)
    np.maximum.at(values, moments_us // (_S * step) - start, full)
    if step < _MINUTE_S:  # in a bar without any, the window empties slowly
        ends = (np.arange(start, start + bars) + 1) * step * _S
        still = np.searchsorted(moments_us, ends) - np.searchsorted(moments_us, ends - _MINUTE_S * _S)
        values = np.maximum(values, still)
    return Timeline(start=iso(start * step * _S) or "", step_s=step, series={"requests": tuple(values.tolist())})
