"""The automaton on disk, so that it is built once for a version of the metadata.

A file that is missing, old, damaged or out of reach is not an error: then there is none. It must not know how an
automaton is built.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import phonenumbers
from numpy.typing import NDArray
from platformdirs import user_cache_path

from broadcaster.phones.automaton import Automaton

_FORMAT = 1  # of the file
_BUILDERS = ("automaton", "grammar", "judge", "numbering", "patterns", "prefixes", "refusals")  # what makes its content
_ARRAYS = ("after", "code", "length", "home", "abroad", "codes", "refusals")
_BYTES = frozenset({"refusals"})  # the others are uint16
_SEPARATOR = " "
_SHOWN = 12  # characters of a digest in a file's name


def version() -> str:
    """Return what an automaton is made of: the metadata, the interpreter, and the modules that build it."""
    modules = (Path(__file__).with_name(f"{name}.py") for name in _BUILDERS)
    try:
        source = b"".join(module.read_bytes() for module in modules)
    except OSError:  # they lie in an archive, which nobody edits
        source = b""
    built_by = hashlib.sha256(source).hexdigest()[:_SHOWN]
    return f"{_FORMAT}-{phonenumbers.__version__}-{'.'.join(map(str, sys.version_info[:3]))}-{built_by}"


def cache_path() -> Path:
    """Return where this version's automaton is kept."""
    return user_cache_path("broadcaster", appauthor=False) / f"phones-{version()}.npz"


def load(path: Path) -> Automaton | None:
    """Return the automaton in a file, or ``None`` if there is none that can be trusted."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in (*_ARRAYS, "regions", "sha256")}
        sound = arrays.pop("sha256").tobytes() == _digest(arrays)
        return _automaton(arrays) if sound else None
    except Exception:  # noqa: BLE001 - a damaged archive makes its reader raise nearly anything
        return None


def save(automaton: Automaton, path: Path) -> bool:
    """Write the automaton to a file that is whole or not there; return whether it could be written."""
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.asarray(getattr(automaton, name), dtype=np.uint8 if name in _BYTES else np.uint16) for name in _ARRAYS
    }
    arrays["regions"] = np.frombuffer(_SEPARATOR.join(automaton.regions).encode(), dtype=np.uint8)
    sha256 = np.frombuffer(_digest(arrays), dtype=np.uint8)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, sha256=sha256, **arrays)
        Path(temporary).replace(path)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        return False
    return True


def _digest(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    digest = hashlib.sha256(version().encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.digest()


def _automaton(arrays: dict[str, NDArray[np.generic]]) -> Automaton:
    return Automaton(
        after=arrays["after"].astype(np.uint16),
        code=arrays["code"].astype(np.uint16),
        length=arrays["length"].astype(np.uint16),
        home=arrays["home"].astype(np.uint16),
        abroad=int(arrays["abroad"].astype(np.int64)),
        codes=arrays["codes"].astype(np.uint16),
        refusals=arrays["refusals"].astype(np.uint8),
        regions=tuple(arrays["regions"].tobytes().decode().split(_SEPARATOR)),
    )
