"""The walker, when there is enough to walk.

To read the automaton costs as much as to judge a thousand numbers, to build it as much as some ten thousands: short
columns are judged, and nobody waits. It must not know what a column is for.
"""

from functools import cache
from pathlib import Path
from threading import Lock

import pyarrow as pa
from phonenumbers import (
    SUPPORTED_REGIONS,
    PhoneNumberFormat,
    PhoneNumberType,
    example_number_for_type,
    format_number,
)

from broadcaster.phones.automaton import build
from broadcaster.phones.cache import cache_path, load, save
from broadcaster.phones.judge import judge
from broadcaster.phones.patterns import Surprise
from broadcaster.phones.walk import Walker

_WORTH_READING = 1_000  # rows
_WORTH_BUILDING = 20_000


class Shelf:
    """Holds the walker of a process, once it is worth having. Several threads may ask."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()  # else a second thread would build what the first is reading
        self._rows = 0
        self._read = self._built = False
        self._walker: Walker | None = None

    def __repr__(self) -> str:
        """Say what there is."""
        state = "ready" if self._walker else "none to be had" if self._built else "not needed so far"
        return f"<Shelf {state}, {self._rows} rows>"

    def walker(self, rows: int) -> Walker | None:
        """Return the walker for a column of *rows*, or ``None`` when the judge is quicker or must decide alone."""
        with self._lock:
            return self._grown(rows)

    def _grown(self, rows: int) -> Walker | None:
        self._rows += rows
        if not self._read and self._rows >= _WORTH_READING:
            self._read = True
            automaton = load(self._path)
            self._walker = Walker(automaton) if automaton else None
        if self._walker is None and not self._built and self._rows >= _WORTH_BUILDING:
            self._built = True
            self._walker = self._build()
        return self._walker

    def _build(self) -> Walker | None:
        try:
            automaton = build()
        except Surprise:
            return None
        walker = Walker(automaton)
        if not agrees(walker):
            return None
        save(automaton, self._path)
        return walker


@cache
def current_shelf() -> Shelf:
    """Return the shelf of this process."""
    return Shelf(cache_path())


def agrees(walker: Walker) -> bool:
    """Tell whether a walker says what the judge says of the library's examples, whole and without their last digit."""
    for region in sorted(SUPPORTED_REGIONS):
        texts: list[str] = []
        for kind in PhoneNumberType.values():
            if example := example_number_for_type(region, kind):
                for style in (PhoneNumberFormat.E164, PhoneNumberFormat.NATIONAL):
                    texts.append(written := format_number(example, style))
                    texts.append(written[:-1])
        e164, fault = walker.walk(pa.array(texts, pa.string()), walker.homes([region]))
        for text, number, refusal in zip(texts, e164.tolist(), fault.tolist(), strict=True):
            if (number or refusal) and judge(text, region) != (number, refusal):
                return False
    return True
