"""Live control: what people ordered of a run, and what of it is new to whoever works on it.

Orders are kept, not events: the last word about pausing and the last word about the rate. So it does not matter how
often, or how late, somebody looks at them. Reads no clock and no file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from broadcaster.core.words import Steering

SLOWEST, FASTEST = 1, 100_000  # requests per minute that may be ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody ordered. ``at_us`` is µs since 1970; ``per_minute`` belongs to a rate."""

    what: Steering
    who: str
    at_us: int
    per_minute: int | None = None

    def since(self, *, now_us: int, zone: tzinfo | None = None) -> str:
        """Return when it was ordered as people say it: ``10:42``, with the date unless that is today's.

        Args:
            now_us: the present.
            zone: whose time to tell; the machine's own otherwise.
        """
        then, now = (datetime.fromtimestamp(each / 1e6, tz=UTC).astimezone(zone) for each in (self.at_us, now_us))
        return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The orders that hold: the last pause or go, and the last rate; ``None`` where nobody ever ordered any."""

    switch: Order | None = None
    rate: Order | None = None

    @property
    def paused(self) -> Order | None:
        """The order that pauses the run, or ``None``: it is not paused."""
        return self.switch if self.switch is not None and self.switch.what is Steering.PAUSE else None

    def after(self, order: Order) -> "Control":
        """Return what holds after *order*."""
        return replace(self, rate=order) if order.what is Steering.RATE else replace(self, switch=order)


def changes(control: Control, order: Order) -> bool:
    """Return whether *order* changes anything: a second pause, a go without a pause or the same rate do not."""
    match order.what:
        case Steering.PAUSE:
            return control.paused is None
        case Steering.GO:
            return control.paused is not None
        case Steering.RATE:
            return control.rate is None or control.rate.per_minute != order.per_minute


def news(asked: Control, *, known: Control) -> tuple[Order, ...]:
    """Return which of the orders in *asked* are new to somebody who has followed those in *known*.

    A go is no news to whoever knows of no pause. That an order is not there any more is no order.
    """
    found: list[Order] = []
    if asked.switch is not None and asked.switch != known.switch and (asked.paused or known.paused):
        found.append(asked.switch)
    if asked.rate is not None and asked.rate != known.rate:
        found.append(asked.rate)
    return tuple(found)


def followed(orders: Iterable[Order]) -> Control:
    """Return what holds after *orders*, in their order."""
    control = Control()
    for each in orders:
        control = control.after(each)
    return control
