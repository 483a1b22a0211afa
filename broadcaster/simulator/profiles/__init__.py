"""Fault profiles: the TOML files beside this module, by name, and files of the user's. Reads nothing else."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from broadcaster.simulator.faults import FaultError, Rule
from broadcaster.simulator.rules import load_rules

CALM = "calm"
_SUFFIX = ".toml"
_KEYS = frozenset({"description", "fault"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How the API misbehaves, in one word and a sentence; the default is to behave."""

    name: str = CALM
    description: str = ""
    rules: tuple[Rule, ...] = ()


@cache
def names() -> tuple[str, ...]:
    """Return the names of the profiles that come with the simulator."""
    found = (entry.name for entry in files(__name__).iterdir() if entry.name.endswith(_SUFFIX))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found))


def find_profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        FaultError: there is none.
    """
    if name not in names():
        raise FaultError(f"there is no profile {name!r}; there are {', '.join(names())}")
    return load_profile((files(__name__) / (name + _SUFFIX)).read_text(encoding="utf-8"), name=name)


def load_profile(text: str, *, name: str) -> Profile:
    """Return the profile that the TOML in *text* describes.

    Raises:
        FaultError: it is no TOML, or a rule in it makes no sense.
    """
    try:
        return read_profile(tomllib.loads(text), name=name)
    except tomllib.TOMLDecodeError as error:
        raise FaultError(f"no valid TOML: {error}") from error


def read_profile(document: Mapping[str, object], *, name: str) -> Profile:
    """Return the profile of a parsed document: ``description``, and a ``fault`` for each rule.

    Raises:
        FaultError: another key, or a rule that makes no sense.
    """
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise FaultError(f"{unknown[0]!r} is unknown in a profile; it has {' and '.join(sorted(_KEYS))}")
    description = document.get("description", "")
    if not isinstance(description, str):
        raise FaultError("'description' must be a string")
    return Profile(name=name, description=description, rules=load_rules(document.get("fault", [])))
