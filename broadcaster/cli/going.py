"""How far something long has come that is not a run: all the time on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from broadcaster.cli.screen import console

T = TypeVar("T")
_LINE_EVERY_S = 10.0  # where no terminal is watching


@contextmanager
def going(what: str, line: Callable[[T], str]) -> Iterator[Callable[[T], None]]:
    """Yield what is to be told how far it has come; *line* says it to people, *what* stands there until it does."""
    screen = console()
    said_s = time.monotonic()

    def say(so_far: T) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= _LINE_EVERY_S:
            said_s = time.monotonic()
            screen.print(line(so_far))

    if not screen.is_terminal:
        yield say
        return
    with screen.status(what) as status:
        yield lambda so_far: status.update(line(so_far))
