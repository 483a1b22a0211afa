"""The bytes of a text file as checked UTF-8, a block at a time.

Arrow checks only the columns that it converts, and lets NUL bytes through; here the whole file is checked, and what is
wrong is named with its place.
"""

import codecs
import io
from typing import TYPE_CHECKING

from broadcaster.errors import ListUnusable
from broadcaster.lists.places import Place
from broadcaster.lists.quotes import Quotes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_BLOCK = 1 << 20  # bytes read at once


def open_utf8(place: Place, encoding: str | None, *, quotes: Quotes | None = None) -> io.BufferedReader:
    """Open a text file as UTF-8 without a byte order mark, whatever it is written in.

    *encoding* is what the job says; without it the file is UTF-8, or UTF-16 if it begins with that mark. Reading raises
    :class:`ListUnusable` with the place of the first byte that is not of the encoding, of a NUL, or of a quote that
    *quotes* refuses, and when what was compressed is damaged. Offsets and lines are those of the text.
    """
    return io.BufferedReader(_Utf8(place, encoding, quotes), buffer_size=_BLOCK)


class _Utf8(io.RawIOBase):
    """The file's bytes, decoded, checked and encoded again."""

    def __init__(self, place: Place, encoding: str | None, quotes: Quotes | None) -> None:
        super().__init__()
        self._place = place
        self._file = place.open()
        start = self._read(max(len(mark) for mark, _ in _MARKS))
        mark, marked = next(((mark, name) for mark, name in _MARKS if start.startswith(mark)), (b"", "utf-8"))
        self._encoding = codecs.lookup(encoding or marked).name
        skipped = len(mark) if self._encoding == marked else 0
        self._start = start[skipped:]
        self._offset = skipped  # of the next byte that goes to the decoder
        self._decoder = codecs.getincrementaldecoder(self._encoding)("strict")
        self._quotes = quotes
        self._ready = memoryview(b"")
        self._line = 1
        self._ended = False

    def readable(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """See :class:`io.RawIOBase`."""
        while not self._ready and not self._ended:
            self._ready = memoryview(self._next())
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        """See :class:`io.RawIOBase`."""
        self._file.close()
        super().close()

    def _next(self) -> bytes:
        """Return the next block; empty at the end, or while the decoder waits for the rest of a character."""
        waiting, _ = self._decoder.getstate()
        offset = self._offset - len(waiting)
        raw, self._start = self._start or self._read(_BLOCK), b""
        self._offset += len(raw)
        self._ended = not raw
        try:
            text = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            # The error holds the whole block; its text is not for a message.
            before = error.object[: error.start].decode(self._encoding, errors="replace")
            line = self._line + before.count("\n")
            raise self._refused(offset + error.start, line, error.object[error.start]) from None
        block = text.encode()
        self._check(block)
        return block

    def _read(self, size: int) -> bytes:
        try:
            block: bytes = self._file.read(size)
        except OSError as error:
            if error.errno:
                raise
            how = self._place.compression
            raise ListUnusable(
                f"{self._place} is damaged or cut off: it is no whole {how} file; pack it again"
            ) from None
        return block

    def _check(self, block: bytes) -> None:
        found = block.find(b"\0")
        if found >= 0:
            line = self._line + block.count(b"\n", 0, found)
            raise ListUnusable(
                f"{self._place}: line {line} contains a NUL, which no text does; "
                'a file in UTF-16 without its mark needs recipients.encoding = "utf-16-le"'
            )
        self._line += block.count(b"\n")
        if self._quotes is not None:
            self._quotes.check(block, last=self._ended)

    def _refused(self, offset: int, line: int, byte: int) -> ListUnusable:
        return ListUnusable(
            f"{self._place} is not {self._encoding.upper()}: the byte 0x{byte:02x} at offset {offset}, in line {line}; "
            "save the file as UTF-8, or name what it is written in "
            '(recipients.encoding = "cp1252" for many files from Windows)'
        )
