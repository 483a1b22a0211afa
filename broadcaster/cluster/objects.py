"""What the objects of a shard are called, and how facts are laid down in them.

A part holds facts: each a handful of rows for the journal's tables, with the word for their table and never any SQL. It
says which part of what it is, so that a copy under another name is found out, and has a checksum over all of it.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from broadcaster.errors import StoreDamaged
from broadcaster.store.rows import KINDS, Statement

Fact = Sequence[Statement]

_MAGIC = b"BPF1"  # broadcaster, part of facts, format 1
_CRC = 4  # bytes
_SEEN = "seen"  # which parts of the owners before were there when the shard was taken
_PART = re.compile(r"part-(\d+)-(\d+)$")
_EPOCH = re.compile(r"epoch-(\d+)\.json$")
_SHARD = re.compile(r"shards/(\d+)/")
_WORDS = {statement: kind for kind, statement in KINDS.items()}
_WIDTHS = {kind: statement.count("?") for kind, statement in KINDS.items()}


class _Part(msgspec.Struct, array_like=True):
    shard: int
    epoch: int
    number: int
    writer: str
    facts: list[list[tuple[str, list[list[Any]]]]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Part)


def home(shard: int) -> str:
    """Return what the names of a shard's objects begin with."""
    return f"shards/{shard:05}"


def epoch_name(shard: int, epoch: int) -> str:
    """Return the name of a claim of a shard."""
    return f"{home(shard)}/epoch-{epoch:04}.json"


def part_name(shard: int, epoch: int, number: int) -> str:
    """Return the name of an owner's part; number 0 says what the owner saw when it took the shard."""
    return f"{home(shard)}/part-{epoch:04}-{number:06}"


def beat_name(shard: int, epoch: int) -> str:
    """Return the name of an owner's sign of life; each has its own, so that one that wakes up speaks for no other."""
    return f"{home(shard)}/beat-{epoch:04}"


def done_name(shard: int) -> str:
    """Return the name of the word that nothing is left to do in the shard."""
    return f"{home(shard)}/done"


def shards_in(names: Iterable[str]) -> list[int]:
    """Return which shards the objects with these names are of."""
    return sorted({int(found[1]) for name in names if (found := _SHARD.match(name))})


def last_epoch(names: Iterable[str]) -> int:
    """Return the last claim of a shard among its objects, -1 when there is none; the parts of one show it too."""
    found = (_EPOCH.search(name) or _PART.search(name) for name in names)
    return max((int(each[1]) for each in found if each is not None), default=-1)


def last_parts(names: Iterable[str]) -> dict[int, int]:
    """Return, per owner, the number of its last part among a shard's objects."""
    last: dict[int, int] = defaultdict(int)
    for name in names:
        if (found := _PART.search(name)) is not None:
            epoch, number = int(found[1]), int(found[2])
            last[epoch] = max(last[epoch], number)
    return dict(sorted(last.items()))


def pack(facts: Iterable[Fact], *, shard: int, epoch: int, number: int, writer: str) -> bytes:
    """Return the content of a part. *writer* is a word that no other process has."""
    laid = [[(_WORDS[statement], list(map(list, rows))) for statement, rows in fact if rows] for fact in facts]
    return _sealed(_Part(shard=shard, epoch=epoch, number=number, writer=writer, facts=laid))


def pack_seen(seen: dict[int, int], *, shard: int, epoch: int, writer: str) -> bytes:
    """Return the content of part 0: the last part of each owner before, as the new one found them."""
    rows: list[list[Any]] = [list(each) for each in seen.items()]
    return _sealed(_Part(shard=shard, epoch=epoch, number=0, writer=writer, facts=[[(_SEEN, rows)]]))


def unpack(content: bytes | None, *, shard: int, epoch: int, number: int, where: str) -> list[Fact]:
    """Return the facts of a part.

    Raises:
        StoreDamaged: it is missing or damaged, or another; the sentence names *where* it should be.
    """
    part = _opened(content, shard=shard, epoch=epoch, number=number, where=where)
    facts: list[Fact] = []
    for laid in part.facts:
        for kind, rows in laid:
            if kind not in KINDS or any(len(row) != _WIDTHS[kind] for row in rows):
                raise _damaged(where, f"rows of {kind!r} that this version does not know")
        facts.append([(KINDS[kind], rows) for kind, rows in laid])
    return facts


def unpack_seen(content: bytes | None, *, shard: int, epoch: int, where: str) -> dict[int, int]:
    """Return what :func:`pack_seen` wrote; raise :class:`StoreDamaged` as :func:`unpack` does."""
    part = _opened(content, shard=shard, epoch=epoch, number=0, where=where)
    try:
        (((kind, rows),),) = part.facts
        seen = {int(owner): int(last) for owner, last in rows}
    except (ValueError, TypeError) as error:
        raise _damaged(where, "something else in it") from error
    if kind != _SEEN:
        raise _damaged(where, "something else in it")
    return seen


def _sealed(part: _Part) -> bytes:
    body = _ENCODER.encode(part)
    return _MAGIC + zlib.crc32(body).to_bytes(_CRC, "little") + body


def _opened(content: bytes | None, *, shard: int, epoch: int, number: int, where: str) -> _Part:
    if content is None:
        raise StoreDamaged(f"{where} is missing; restore it from a copy, nothing is sent or counted without it")
    crc, body = content[len(_MAGIC) :][:_CRC], content[len(_MAGIC) + _CRC :]
    if not content.startswith(_MAGIC) or int.from_bytes(crc, "little") != zlib.crc32(body):
        raise _damaged(where, "a wrong checksum")
    try:
        part = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise _damaged(where, "no part of facts in it") from error
    if (part.shard, part.epoch, part.number) != (shard, epoch, number):
        raise _damaged(where, "another part in it")
    return part


def _damaged(where: str, what: str) -> StoreDamaged:
    return StoreDamaged(f"{where} is damaged: it has {what}; restore it from a copy")
