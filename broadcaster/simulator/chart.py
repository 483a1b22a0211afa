"""Requests per minute as an SVG picture of stacked bars. Pure: numbers in, markup out."""

from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 12, 40  # around the bars: room for the labels
_GAP = 0.25  # of a bar's room
_LINES = 4
_LABEL_EVERY = 5  # bars


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One minute: ``label`` is its time, the numbers are the parts of the bar from the bottom up."""

    label: str
    usual: int
    refused: int
    faulted: int

    @property
    def total(self) -> int:
        """The height of the bar."""
        return self.usual + self.refused + self.faulted


def draw(bars: Sequence[Bar], *, title: str, description: str) -> str:
    """Return the picture of *bars*, oldest first. The texts must hold no markup."""
    top = scale(max((bar.total for bar in bars), default=0))
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(bars))
    return "".join(
        [
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="chart-title chart-description">',
            f'<title id="chart-title">{title}</title><desc id="chart-description">{description}</desc>',
            *_lines(top),
            *(_column(bar, _LEFT + at * step, step, top) for at, bar in enumerate(bars)),
            *(
                f'<text x="{_LEFT + (at + 0.5) * step:.1f}" y="{_HEIGHT - 23}" text-anchor="middle">{bar.label}</text>'
                for at, bar in enumerate(bars)
                if (len(bars) - 1 - at) % _LABEL_EVERY == 0
            ),
            f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.1f}" y="{_HEIGHT - 5}" text-anchor="middle">minute (UTC)</text>',
            "</svg>",
        ]
    )


def scale(largest: int) -> int:
    """Return the top of the axis for *largest*: 4, 8, 20, 40, 80, 200 … so that four lines stand at whole numbers."""
    top = _LINES
    while top < largest:
        for factor in (2, 5, 10):
            if top * factor >= largest:
                return top * factor
        top *= 10
    return top


def _lines(top: int) -> list[str]:
    """The horizontal lines with their numbers."""
    drawn = []
    for at in range(_LINES + 1):
        value = top * at // _LINES
        y = _y(value, top)
        drawn += [
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>',
        ]
    return drawn


def _column(bar: Bar, x: float, step: float, top: int) -> str:
    parts, done = [], 0
    for name, value in (("usual", bar.usual), ("refused", bar.refused), ("fault", bar.faulted)):
        if value:
            y, height = _y(done + value, top), _y(done, top) - _y(done + value, top)
            left, width = x + step * _GAP / 2, step * (1 - _GAP)
            parts.append(f'<rect class="{name}" x="{left:.1f}" y="{y:.2f}" width="{width:.1f}" height="{height:.2f}"/>')
            done += value
    return "".join(parts)


def _y(value: int, top: int) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def short(value: int) -> str:
    """Return *value* in at most five characters or so: 1,500 as ``1.5k``."""
    for size, name in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + name
    return str(value)
