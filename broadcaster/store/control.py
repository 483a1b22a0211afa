"""``control.json``: what people ordered of a run while it works, or before it goes on.

Commands replace the file; the process that works on the run looks at it and writes into the journal what it followed.
Knows nothing of processes.
"""

import json
from pathlib import Path
from typing import Any

from broadcaster.clock import wall_us
from broadcaster.core.control import FASTEST, SLOWEST, Control, Order
from broadcaster.core.words import Steering
from broadcaster.errors import RunPaused, StoreDamaged, StoreError
from broadcaster.store.files import disk_errors, write_atomically
from broadcaster.store.rundir import RunDir

_VERSION = 1
_LARGEST = 1 << 16  # bytes; ours has some three hundred
_LONGEST_NAME = 200  # of who ordered; longer ones are nobody's
_SWITCHES = frozenset({Steering.PAUSE, Steering.GO})


def read_control(run_dir: RunDir) -> Control:
    """Return the orders that hold for a run; none when there is no file.

    Raises:
        StoreDamaged: the file is not what we write.
        StoreError: the disk refuses.
    """
    path = run_dir.control
    try:
        with disk_errors(path), path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Control()
        raise
    return parse_control(content, path=path, run=run_dir.path)


def write_control(run_dir: RunDir, control: Control) -> None:
    """Replace the orders of a run; durable when it returns. The caller holds :meth:`RunDir.steering`.

    Raises:
        StoreError: the disk refuses.
    """
    write_atomically(run_dir.control, control_bytes(control))


def control_bytes(control: Control) -> bytes:
    """Return what ``control.json`` says of the orders that hold."""
    words = {"version": _VERSION, "switch": _words(control.switch), "rate": _words(control.rate)}
    return json.dumps(words, ensure_ascii=False, indent=2).encode() + b"\n"


def parse_control(content: bytes, *, path: Path | str, run: Path | str) -> Control:
    """Read what :func:`control_bytes` wrote.

    Args:
        content: of the file.
        path: of the file, for people.
        run: the run, as commands name it.

    Raises:
        StoreDamaged: it is something else.
    """
    try:
        return _parsed(json.loads(content if len(content) <= _LARGEST else b""))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreDamaged(
            f"{path} cannot be read, so that nobody knows whether the run is paused; write it anew with "
            f"'broadcaster go {run}' or 'broadcaster pause {run}'"
        ) from error


def require_unpaused(control: Control, *, run: Path | str) -> None:
    """Raise :class:`RunPaused` when the orders pause the run; the sentence says by whom and how it goes on."""
    if control.paused is not None:
        raise RunPaused(f"{paused_by(run, control.paused)}; nothing is sent before 'broadcaster go {run}'")


def require_going(run_dir: RunDir) -> Control:
    """Return the orders of a run that may send.

    Raises:
        RunPaused: it is paused; the sentence says by whom and how it goes on.
        StoreError: nobody knows whether it is.
    """
    control = read_control(run_dir)
    require_unpaused(control, run=run_dir.path)
    return control


def paused_by(path: Path | str, order: Order) -> str:
    """Say who paused a run and when."""
    return f"{path} is paused by {order.who} since {order.since(now_us=wall_us())}"


def _words(order: Order | None) -> dict[str, Any] | None:
    if order is None:
        return None
    rate = {} if order.per_minute is None else {"requests_per_minute": order.per_minute}
    return {"what": str(order.what), **rate, "who": order.who, "at_us": order.at_us}


def _parsed(words: Any) -> Control:
    """Read what :func:`write_control` wrote; raises whatever a wrong word leads to."""
    if words["version"] != _VERSION:
        raise ValueError(words["version"])
    switch, rate = _order(words["switch"]), _order(words["rate"])
    if (switch and switch.what not in _SWITCHES) or (rate and rate.what is not Steering.RATE):
        raise ValueError(words)
    return Control(switch=switch, rate=rate)


def _order(words: Any) -> Order | None:
    if words is None:
        return None
    what, who, at_us = Steering(words["what"]), words["who"], words["at_us"]
    per_minute = words["requests_per_minute"] if what is Steering.RATE else None
    named = isinstance(who, str) and 0 < len(who) <= _LONGEST_NAME and who.isprintable()
    dated = type(at_us) is int and 0 <= at_us < 1 << 53  # the year 2255: any date that can be shown
    paced = per_minute is None or (type(per_minute) is int and SLOWEST <= per_minute <= FASTEST)
    if not (named and dated and paced):
        raise ValueError(words)
    return Order(what=what, who=who, at_us=at_us, per_minute=per_minute)
