"""Where a list's bytes are, what messages call that place, and what the name says about the bytes.

It must not know what is in a file; whoever reads it does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file on this machine that a list is read from.

    Attributes:
        name: what messages call it: the path, an address, "standard input".
        path: where its bytes are.
        fetched: whether *path* is a copy that was made for this reading.
    """

    name: str
    path: Path
    fetched: bool = False

    @classmethod
    def local(cls, path: Path) -> "Place":
        """Return the place of a file of the user's."""
        return cls(name=str(path), path=path)

    def __str__(self) -> str:
        return self.name

    @property
    def compression(self) -> str | None:
        """The algorithm that the last suffix names, or ``None``."""
        return _COMPRESSED.get(self.path.suffix.lower())

    @property
    def kind(self) -> str:
        """The suffix that says what is in the file, in small letters: ``.csv`` of ``LIST.CSV.gz``."""
        return Path(self.path.stem if self.compression else self.path.name).suffix.lower()

    def open(self) -> Any:
        """Open the bytes as they were before they were compressed; a stream with ``read(size)`` and ``close()``.

        Raises:
            OSError: as the operating system says. What is damaged shows only when it is read: an :class:`OSError`
                without a number.
        """
        file = self.path.open("rb")
        return file if self.compression is None else pa.input_stream(file, compression=self.compression)
