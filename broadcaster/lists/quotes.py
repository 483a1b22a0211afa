"""Whether the quotes of a CSV file are where quotes belong, checked as the file streams by.

Arrow forgives what must not be forgiven: after a quote that was never closed it takes the following rows into one cell,
up to the next quote anywhere, and says nothing. Those rows would be people who are lost. So a quoted cell has to end
where its closing quote is. Quotes inside a cell that does not begin with one are ordinary characters, as for Arrow.

Blocks without a quote cost one search.
"""

import re

from broadcaster.errors import ListUnusable

_LONGEST = 1 << 20  # bytes of one quoted cell
_QUOTE = b'"'
_QUOTED = rb'"[^"]*+(?:""[^"]*+)*+"'
_UNQUOTED = b"."  # stands for any beginning of an unquoted cell


class Quotes:
    """The check of one file; blocks are given in order, cut anywhere."""

    def __init__(self, name: str, delimiter: str) -> None:
        self._name = name
        end = re.escape(delimiter.encode()) + rb"\r\n"
        self._ends = delimiter.encode() + b"\r\n"
        self._quoted = re.compile(_QUOTED)
        self._cells = re.compile(rb"(?:(?:%b|[^\"%b][^%b]*+|)[%b])*+" % (_QUOTED, end, end, end))
        self._open = b""  # the cell at the end of the last block, if that is not complete
        self._line = 1

    def check(self, block: bytes, *, last: bool) -> None:
        """Go over the next block; *last* says that none follows.

        Raises:
            ListUnusable: with the line where the quoted cell begins.
        """
        if _QUOTE in block or self._open.startswith(_QUOTE):
            self._scan(self._open + block)
        elif block:
            self._line += block.count(b"\n")
            self._open = b"" if block[-1] in self._ends else _UNQUOTED
        if last and self._open.startswith(_QUOTE) and not self._quoted.fullmatch(self._open):
            raise self._refused("is not closed before the file ends")

    def _scan(self, text: bytes) -> None:
        """Go over *text*, which begins where a cell begins, or inside an unquoted one."""
        complete = self._cells.match(text)
        end = complete.end() if complete else 0
        self._line += text.count(b"\n", 0, end)
        rest = text[end:]
        if not rest.startswith(_QUOTE):
            self._open = rest and _UNQUOTED
            return
        quoted = self._quoted.match(rest)
        if quoted and quoted.end() < len(rest):
            raise self._refused("is closed before the cell ends; a quote inside quotes is written twice")
        if len(rest) > _LONGEST:
            raise self._refused(f"is not closed within {_LONGEST >> 20} MB")
        self._open = rest

    def _refused(self, what: str) -> ListUnusable:
        return ListUnusable(f"{self._name}: the quote that opens a cell in line {self._line} {what}")
