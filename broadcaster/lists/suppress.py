"""The numbers that must not be messaged, from lists of their own or from the manifests of earlier runs.

A suppression list that cannot be read is never an empty one: the run does not begin.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from broadcaster.errors import ListUnusable
from broadcaster.lists.columns import find_numbers_column
from broadcaster.lists.read import expand, open_list
from broadcaster.phones import Digits, distinct, normalise


def suppressed_numbers(files: Sequence[str], *, base: Path, phone: str | None, default_region: str | None) -> Digits:
    """Return every valid number of the files once, in rising order.

    Args:
        files: paths and globs, relative to *base*. Each file may have columns of its own.
        base: where relative paths start.
        phone: the column for numbers of the job's own list, in case these have it too.
        default_region: of numbers without a country code.

    Raises:
        ListUnusable: a file is not there, cannot be read, or has not a single valid number.
    """
    paths = expand(files, base=base)
    return distinct(_numbers(path, phone=phone, default_region=default_region) for path in paths)


def _numbers(path: Path, *, phone: str | None, default_region: str | None) -> Digits:
    source = open_list([str(path)], base=path.parent)
    column = find_numbers_column(source.columns, phone=phone, list_name=str(path))

    def judged() -> Iterator[Digits]:
        for batch in source.batches([column]):
            yield normalise(batch.column(0), default_region).e164

    numbers = distinct(judged())
    if not numbers.size:
        raise ListUnusable(
            f"{path}: the column {column!r} has not a single valid phone number; a suppression list that suppresses "
            "nobody is taken for a mistake"
        )
    return numbers
