"""Figures as SVG pictures. Pure: numbers in, markup out, and every text in it escaped.

Theory of operation. A picture is as wide as its place: across, everything is measured in per cent, and up and down in
pixels, so that texts have the same size on a phone and on paper. Labels stand above their bar or line and not beside
it, and so need no room on the left. Colours are classes of the page's style sheet, which knows light, dark and print.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from broadcaster.report.figures import Group, Step, Timeline
from broadcaster.report.labels import compact, day_of, number, share, step_name, ticks
from broadcaster.report.outcomes import DELIVERED, PARTS, parts_of, total

_ROW, _BAR, _BASE = 46, 16, 21  # pixels: a labelled bar with its gap, the bar, its distance from the row's top
_TOP, _PLOT, _FOOT = 42, 150, 44  # pixels: above, of and below the plot
_LINES = 4  # at most
_FEWEST = 12  # places for bars: one alone would fill the page
_SEAM = 3  # pixels: higher parts of a column show a seam above the part below
_GAP = 0.2  # of a bar's place
_LONG = 1_000_000  # messages; from here on a count and a share have no room beside a name on a phone
_LONGEST = 20  # characters of a name
_PARTS = {part.key: part.name for part in PARTS}


def funnel(steps: Sequence[Step], *, name: str, title: str, description: str) -> str:
    """Return a bar for each step, with its count and its share of the list or of what was accepted."""
    largest = max((step.count or 0 for step in steps), default=0)
    drawn: list[str] = []
    for at, (step, label) in enumerate(zip(steps, step_shares(steps), strict=True)):
        known = step.count is not None
        drawn += _labels(at, step.name, label)
        drawn.append(_bar("track" if known else "unknown", 0, 100, at))
        if step.count and largest:
            drawn.append(_bar("step", 0, 100 * step.count / largest, at))
    return _picture(name, title, description, drawn, height=_ROW * len(steps))


def step_shares(steps: Sequence[Step]) -> list[str]:
    """Return what stands beside each step: its count, and which share of which step that is."""
    by_name = {step.name: step.count for step in steps}
    found = []
    for step in steps:
        if step.count is None:
            found.append("not known: no receipts yet")
            continue
        base, name = _base(step.name, by_name)
        whole = by_name.get(base)
        of = f" · {share(step.count, whole)} of {name}" if whole else f" {step.unit}"
        found.append(f"{number(step.count)}{of}")
    return found


def _base(name: str, counts: Mapping[str, int | None]) -> tuple[str, str]:
    """Return the step that another is a share of, and what that is called."""
    if name in {"Sent", "Delivered", "Read"}:
        return "Accepted", "accepted"
    if name == "Accepted":
        return ("Planned", "planned") if "Planned" in counts else ("Eligible", "eligible")
    return ("On the list", "the list") if name == "Eligible" else ("", "")


def groups(rows: Sequence[Group], *, told: bool, name: str, title: str, description: str) -> str:
    """Return a stacked bar for each group, as long as its share of the largest.

    Where any receipt has *told* something, the share that was delivered stands beside it.
    """
    largest = max((row.total for row in rows), default=0)
    drawn: list[str] = []
    for at, row in enumerate(rows):
        delivered = total(row.outcomes, DELIVERED)
        beside = f" · {share(delivered, row.total)} delivered" if told else ""
        every = number(row.total) if row.total < _LONG else compact(row.total)
        drawn += _labels(at, row.name, f"{every}{beside}")
        drawn.append(_bar("track", 0, 100, at))
        left = 0.0
        for key, count in parts_of(row.outcomes).items():
            if count:
                width = 100 * count / largest
                drawn.append(_bar(f"{key} segment", left, width, at, hint=f"{row.name}: {number(count)} {_PARTS[key]}"))
                left += width
    return _picture(name, title, description, drawn, height=_ROW * len(rows))


def columns(
    times: Timeline, keys: Mapping[str, str], *, name: str, title: str, description: str, unit: str = "messages"
) -> str:
    """Return stacked columns over time; *keys* gives each series its class, from the bottom up."""
    bars = len(next(iter(times.series.values())))
    places = max(bars, _FEWEST)
    step, top = scale(max(map(sum, zip(*times.series.values(), strict=True))))
    drawn = _grid(step, top)
    for at in range(bars):
        done = 0
        for series, key in keys.items():
            value = times.series[series][at]
            if value:
                height = _PLOT * value / top
                x, width = 100 * (at + _GAP / 2) / places, 100 * (1 - _GAP) / places
                y = _TOP + _PLOT - _PLOT * done / top - max(height, 1)
                drawn.append(
                    f'<rect class="{_attribute(key)}" x="{x:.3f}%" y="{y:.2f}" width="{width:.3f}%" '
                    f'height="{height - 1 if height > _SEAM else max(height, 1):.2f}"/>'
                )
                done += value
    drawn += _marks(step, top)
    drawn += _axis(times, places, unit=f"{unit} per {step_name(times.step_s)}")
    return _picture(name, title, description, drawn, height=_TOP + _PLOT + _FOOT)


def line(times: Timeline, *, limit: int, name: str, title: str, description: str) -> str:
    """Return requests in the last 60 seconds over time, under the limit's line if there is one."""
    values = next(iter(times.series.values()))
    places = max(len(values), _FEWEST)
    step, top = scale(max(*values, limit, 1))
    drawn = _grid(step, top)
    points = [point for at, value in enumerate(values) for point in ((at, value), (at + 1, value))]
    path = " ".join(f"{x},{_PLOT * (1 - y / top):.2f}" for x, y in points)
    drawn.append(
        f'<svg x="0" y="{_TOP}" width="100%" height="{_PLOT}" viewBox="0 0 {places} {_PLOT}" '
        f'preserveAspectRatio="none"><polygon class="area" points="0,{_PLOT} {path} {len(values)},{_PLOT}"/>'
        f'<polyline class="curve" points="{path}"/></svg>'
    )
    if limit:
        y = _TOP + _PLOT * (1 - limit / top)
        drawn.append(_rule("limit", y))
        drawn.append(_text("100%", y - 5, f"limit {number(limit)}", anchor="end", key="strong"))
    drawn += _marks(step, top)
    drawn += _axis(times, places, unit="requests in the last 60 seconds")
    return _picture(name, title, description, drawn, height=_TOP + _PLOT + _FOOT)


def swatch(key: str) -> str:
    """Return the little square that stands in a legend."""
    square = f'<rect class="{_attribute(key)}" width="12" height="12"/>'
    return f'<svg class="swatch" aria-hidden="true" width="12" height="12">{square}</svg>'


def scale(largest: int) -> tuple[int, int]:
    """Return the step of an axis's lines and its end: whole round numbers, at most four lines above 0."""
    step, factors = 1, (2, 5, 10)
    while True:
        for factor in (1, *factors[:-1]):
            if -(-largest // (step * factor)) <= _LINES:
                lines = max(1, -(-largest // (step * factor)))
                return step * factor, step * factor * lines
        step *= factors[-1]


def _labels(at: int, left: str, right: str) -> list[str]:
    y = at * _ROW + _BASE - 6
    name = left if len(left) <= _LONGEST else f"{left[: _LONGEST - 1]}…"
    return [_text("0", y, name, key="strong"), _text("100%", y, right, anchor="end")]


def _bar(key: str, left: float, width: float, at: int, *, hint: str = "") -> str:
    title = f"<title>{_escaped(hint)}</title>" if hint else ""
    return (
        f'<rect class="{_attribute(key)}" x="{left:.3f}%" y="{at * _ROW + _BASE}" width="{width:.3f}%" '
        f'height="{_BAR}">{title}</rect>'
    )


def _grid(step: int, top: int) -> list[str]:
    drawn = []
    for value in range(step, top + 1, step):
        y = _TOP + _PLOT * (1 - value / top)
        drawn.append(_rule("rule", y))
    return drawn


def _marks(step: int, top: int) -> list[str]:
    """Return the values of the lines; they are drawn last, so that no bar hides them."""
    return [
        _text("0", _TOP + _PLOT * (1 - value / top) - 4, compact(value), key="halo")
        for value in range(step, top + 1, step)
    ]


def _rule(key: str, y: float) -> str:
    return f'<line class="{key}" x1="0" x2="100%" y1="{y:.2f}" y2="{y:.2f}"/>'


def _axis(times: Timeline, places: int, *, unit: str) -> list[str]:
    """Return the base line, the axis's names and the moments below the plot."""
    y = _TOP + _PLOT + 16
    drawn = [_text("0", 12, unit, key="strong"), _rule("base", _TOP + _PLOT)]
    anchors = {0.0: "start", 1.0: "end"}
    for place, moment in ticks(times, places):
        drawn.append(_text(f"{100 * place:.2f}%", y, moment, anchor=anchors.get(place, "middle")))
    drawn.append(_text("50%", y + 20, f"time (UTC), {day_of(times.start)}", anchor="middle"))
    return drawn


def _text(x: str, y: float, words: str, *, anchor: str = "start", key: str = "") -> str:
    kind = f' class="{_attribute(key)}"' if key else ""
    return f'<text{kind} x="{_attribute(x)}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(words)}</text>'


def _picture(name: str, title: str, description: str, drawn: Iterable[str], *, height: int) -> str:
    name = _attribute(name)
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" width="100%" height="{height}" role="img" '
        f'aria-labelledby="{name}-title {name}-description"><title id="{name}-title">{_escaped(title)}</title>'
        f'<desc id="{name}-description">{_escaped(description)}</desc>{"".join(drawn)}</svg>'
    )


def _escaped(words: str) -> str:
    """Return text that is only ever text, without what XML does not allow."""
    return escape("".join(each if each.isprintable() else " " for each in words))


def _attribute(words: str) -> str:
    return _escaped(words)
