"""A run directory that is damaged again and again: kept as bytes, laid out with something changed in them."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The files of some directories as they were at a moment, by path."""

    places: tuple[Path, ...]
    files: Mapping[Path, bytes]

    @classmethod
    def of(cls, *places: Path) -> Self:
        return cls(
            places=places,
            files={path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()},
        )

    def lay_out(self, changed: Mapping[Path, bytes | None] | None = None) -> None:
        """Make the directories what they were, but for *changed* files; ``None`` stands for one that is gone."""
        wanted = {**self.files, **(changed or {})}
        for place in self.places:
            for path in [path for path in place.rglob("*") if path.is_file()]:
                if wanted.get(path) is None:
                    path.unlink()
        for path, content in wanted.items():
            if content is not None:
                path.write_bytes(content)


def flips(content: bytes, *, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield *content* with one bit flipped, *count* times, and where: all over those of its bytes that are not zero."""
    chance = random.Random(seed)
    used = [at for at, byte in enumerate(content) if byte]
    for _ in range(count):
        at, bit = chance.choice(used), chance.randrange(8)
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        yield f"bit {bit} of byte {at}", bytes(damaged)
