"""What is wrong with a job, as lines for people: the key's path, the wrong value, what is allowed.

Reads pydantic's findings and the models' descriptions; decides nothing about jobs.
"""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from broadcaster.job.model import Job

_WHICH = re.compile(r"\[\d+\]")  # of several tables
_LONGEST_VALUE = 60  # characters of a wrong value that are repeated
_FURTHER_AWAY = 0.7  # how alike a word of another table has to look; difflib's own 0.6 holds within the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake, at a key or in the file as a whole."""

    key: str = ""
    sentence: str

    def __str__(self) -> str:
        return f"{self.key}: {self.sentence}" if self.key else self.sentence


def mistakes_of(error: ValidationError) -> list[Mistake]:
    """Return every mistake that pydantic found in a job, in the order of the models' keys."""
    return [_mistake(found) for found in error.errors(include_url=False)]


def _mistake(found: ErrorDetails) -> Mistake:
    path, allowed = _followed(found["loc"])
    key = _dotted(path)
    match found["type"]:
        case "extra_forbidden":
            near = nearest_key(key)
            return Mistake(key=key, sentence=f"unknown key; did you mean {near}?" if near else "unknown key")
        case "sentence":
            return Mistake(key=key, sentence=found["msg"])
        case "table":
            return Mistake(key=_dotted(path[:-1]), sentence=found["msg"])
        case "missing":
            return Mistake(key=key, sentence=f"missing; it is {allowed}")
        case _:
            return Mistake(key=key, sentence=f"{_quoted(found['input'])} is not allowed; it is {allowed}")


def nearest_key(key: str) -> str | None:
    """Return the key of the job file that *key* was probably meant to be, in its own table or in another."""
    table, _, leaf = _WHICH.sub("", key).rpartition(".")
    places: dict[str, list[str]] = {}  # last word → keys
    for known in _keys(Job):
        places.setdefault(known.rpartition(".")[2], []).append(known)
    siblings = [word for word, keys in places.items() if any(known.rpartition(".")[0] == table for known in keys)]
    words = (
        [leaf] * (leaf in places)
        or difflib.get_close_matches(leaf, siblings, n=1)
        or difflib.get_close_matches(leaf, places, n=1, cutoff=_FURTHER_AWAY)
    )
    keys = places[words[0]] if words else []
    return min(keys, key=lambda known: known.rpartition(".")[0] != table, default=None)


def _keys(model: type[BaseModel], table: str = "") -> Iterator[str]:
    """Yield every key of the job file with its path."""
    for name, field in model.model_fields.items():
        yield f"{table}{name}"
        if (inner := _table(field)) is not None:
            yield from _keys(inner, f"{table}{name}.")


def _followed(loc: tuple[str | int, ...]) -> tuple[list[str | int], str]:
    """Return the path of *loc* without pydantic's own additions, and what is allowed at its end."""
    model: type[BaseModel] | None = Job
    allowed = "a table"
    path: list[str | int] = []
    for step in loc:
        if step == "[key]":  # the mistake is the name itself: it is the table's
            path.pop()
            return path, "a table of names that are not empty"
        path.append(step)
        if isinstance(step, int) and model is not None:  # which of several tables
            continue
        if model is not None and (field := model.model_fields.get(str(step))) is not None:
            model, allowed = _table(field), _allowed(field)
        else:
            allowed = "text"  # inside a table of the user's own: only parameters are one
    return path, allowed


def _table(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a table, or of each of several tables."""
    kind = next(iter(get_args(field.annotation)), field.annotation)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _dotted(path: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _allowed(field: FieldInfo) -> str:
    """Return what a field's value may be: its description, or that of the one type beside ``None``."""
    if field.description:
        return field.description
    for kind in getattr(field.annotation, "__args__", ()):
        for note in getattr(kind, "__metadata__", ()):
            if isinstance(note, FieldInfo) and note.description:
                return note.description
    return "a table"


def _quoted(value: Any) -> str:
    """Return a wrong value as TOML would show it, cut to a length that fits a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
