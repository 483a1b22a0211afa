"""How fast a run goes against its limit: an SVG picture, and the numbers behind it. Pure: numbers in, markup out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from broadcaster.tracking.standing import MINUTE_S, Stretch, sent_between

WINDOW_S = 900
_SPANS = ((120, 5, 60), (300, 5, 60), (WINDOW_S, 10, 300))  # seconds: of the picture, of a step, between two labels
_HEIGHT = 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 14, 26  # around the plot: room for the labels
_LINES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """A row of the table: what left in one minute, and the largest limit that held in it."""

    start_s: float
    requests: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """The picture's time, in whole seconds since 1970, and how wide it is."""

    first_s: int
    span_s: int
    width: int

    def x(self, at_s: float) -> float:
        """Return where a moment is; what is outside stands at the edge."""
        share = (at_s - self.first_s) / self.span_s
        return _LEFT + min(max(share, 0.0), 1.0) * (self.width - _LEFT - _RIGHT)


def minutes(found: Sequence[Stretch], *, end_s: float) -> list[Minute]:
    """Return the minutes of the last quarter of an hour in which anything was known, newest first."""
    rows = []
    for start_s in range(int(end_s) // 60 * 60, int(end_s) - WINDOW_S, -60):
        inside = [each for each in found if each.start_s < start_s + 60 and each.end_s > start_s]
        if inside:
            limits = [each.limit for each in inside if each.limit is not None]
            sent = round(sent_between(inside, start_s, start_s + MINUTE_S))
            rows.append(Minute(start_s=start_s, requests=sent, limit=max(limits, default=None)))
    return rows


def draw(found: Sequence[Stretch], *, end_s: float, width: int, name: str) -> str:
    """Return the picture of the time before *end_s*: an area for the requests, a line for the limit.

    Its height at a moment is what left in the minute before, which is what the limit is about. It is a quarter of an
    hour long, and shorter for a younger run.

    Args:
        found: oldest first.
        end_s: seconds since 1970.
        width: about the pixels that there are, so that letters have their size.
        name: that no other picture on the page has.
    """
    age_s = end_s - min((each.start_s for each in found), default=end_s)
    span_s, step_s, label_s = next((each for each in _SPANS if age_s <= each[0]), _SPANS[-1])
    last_s = -(-int(end_s) // step_s) * step_s
    axis = _Axis(first_s=last_s - span_s, span_s=span_s, width=width)
    points = [(found[0].start_s, 0.0)] if found and found[0].start_s > axis.first_s else []
    points += [
        (at_s, sent_between(found, at_s - MINUTE_S, at_s))
        for at_s in range(axis.first_s, last_s + step_s, step_s)
        if found and found[0].start_s <= at_s
    ]
    largest = max((sent for _, sent in points), default=0.0)
    top = scale(max([largest, *(each.limit or 0 for each in found)]))
    return "".join(
        [
            f'<svg class="chart {name}" viewBox="0 0 {width} {_HEIGHT}" role="img"',
            f' aria-labelledby="{name}-t {name}-d">',
            f'<title id="{name}-t">Requests in a minute, over {span_s // 60} minutes</title>',
            f'<desc id="{name}-d">{largest:,.0f} at most. The table below has the numbers.</desc>',
            *_grid(axis, top),
            *_times(axis, label_s),
            f'<path class="area" d="{_area(points, axis, top)}"/>' if points else "",
            *(_limit(each, axis, top) for each in _limits(found, axis)),
            "</svg>",
        ]
    )


def scale(largest: float) -> int:
    """Return the top of the axis: 4, 8, 12, 20, 40, 80, 120, 200 … so that four lines stand at whole numbers."""
    top = _LINES
    while top < largest:
        for factor in (2, 3, 5, 10):
            if top * factor >= largest:
                return top * factor
        top *= 10
    return top


def _limits(found: Sequence[Stretch], axis: _Axis) -> list[Stretch]:
    """The stretches with a limit that are in the picture, neighbours of the same limit as one."""
    merged: list[Stretch] = []
    for each in found:
        if each.limit is None or each.end_s <= axis.first_s:
            continue
        before = merged[-1] if merged else None
        if before is not None and before.limit == each.limit and each.start_s - before.end_s < 1:
            merged[-1] = replace(before, end_s=each.end_s)
        else:
            merged.append(each)
    return merged


def _limit(each: Stretch, axis: _Axis, top: int) -> str:
    y = _y(each.limit or 0, top)
    return (
        f'<line class="limit" x1="{axis.x(each.start_s):.1f}" x2="{axis.x(each.end_s):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    )


def _area(points: Sequence[tuple[float, float]], axis: _Axis, top: int) -> str:
    floor = _y(0, top)
    path = [f"M{axis.x(points[0][0]):.1f} {floor:.1f}"]
    path += [f"L{axis.x(at_s):.1f} {_y(sent, top):.1f}" for at_s, sent in points]
    return "".join([*path, f"V{floor:.1f}Z"])


def _grid(axis: _Axis, top: int) -> list[str]:
    drawn = []
    for at in range(_LINES + 1):
        value = top * at // _LINES
        y = _y(value, top)
        drawn += [
            f'<line class="rule" x1="{_LEFT}" x2="{axis.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>',
        ]
    return drawn


def _times(axis: _Axis, label_s: int) -> list[str]:
    first_s, height = axis.first_s, _HEIGHT - 6
    return [
        f'<text x="{axis.x(at_s):.1f}" y="{height}" text-anchor="middle">{clock(at_s)}</text>'
        for at_s in range(-(-first_s // label_s) * label_s, first_s + axis.span_s, label_s)
    ]


def clock(at_s: float) -> str:
    """Return a moment's time of day, ``09:41``, in UTC."""
    return f"{datetime.fromtimestamp(at_s, tz=UTC):%H:%M}"


def _y(value: float, top: int) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)
