"""Numbers reserved for fiction that phonenumbers calls valid, as many as a test needs."""

from collections.abc import Iterator
from itertools import islice

_AUSTRALIAN = [f"+61{area}{block}" for area in (2, 3, 7, 8) for block in (5550, 7010)]


def numbers(count: int) -> list[str]:
    """Return *count* different numbers (80,000 at the most), the same ones every time."""
    found = list(islice(_every(), count))
    assert len(found) == count
    return found


def _every() -> Iterator[str]:
    for prefix in _AUSTRALIAN:
        for last in range(10_000):
            yield f"{prefix}{last:04d}"
