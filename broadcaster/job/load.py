"""Job files and flags to a :class:`Job`, with every mistake in one message.

Nothing is asked of the network or of the lists here: a job is right or wrong by itself.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from broadcaster.errors import JobInvalid
from broadcaster.job.kinds import unsuitable
from broadcaster.job.mistakes import Mistake, mistakes_of
from broadcaster.job.model import Job


def load_job(path: str | Path, *, flags: Mapping[str, object] | None = None) -> Job:
    """Read a job file.

    Args:
        path: the TOML file; the job's relative paths start in its directory.
        flags: values that go before those of the file, by dotted key (``limits.batch_size``); ``None`` is "not given".

    Raises:
        JobInvalid: the file cannot be read or is not a job; the message names every mistake.
    """
    file = Path(path)
    values = _parsed(file)
    for key, value in (flags or {}).items():
        if value is not None:
            _put(values, key.split("."), value)
    return job_from(values, base=file.absolute().parent, name=str(file))


def job_from(values: Mapping[str, Any], *, base: Path, name: str) -> Job:
    """Make a job of values in the shape of a job file.

    Args:
        values: tables within tables, as TOML has them.
        base: where relative paths start.
        name: what the message calls the source of the values.

    Raises:
        JobInvalid: naming every mistake.
    """
    try:
        job = Job.model_validate(dict(values), context={"base": base})
    except ValidationError as error:
        # The chain would repeat the file's values, long and unmasked.
        raise _invalid(name, mistakes_of(error)) from None
    if mistakes := unsuitable(job):
        raise _invalid(name, mistakes)
    return job


def render_campaign(job: Job, *, day: date) -> str:
    """Return the campaign's name on *day*: ``{date}`` becomes ``2026-12-01``."""
    return job.campaign.replace("{date}", day.isoformat())


def _parsed(file: Path) -> dict[str, Any]:
    """Return the file's values; refuse what is no TOML with the place where it goes wrong."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise JobInvalid(f"{file}: there is no such file") from None
    except IsADirectoryError:
        raise JobInvalid(f"{file} is a directory; name the job file in it") from None
    except OSError as error:
        raise JobInvalid(f"{file} cannot be read: {error.strerror}") from error
    try:
        text = raw.decode("utf-8-sig")  # editors on Windows put a mark in front
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        sentence = f"line {line}: the byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _invalid(str(file), [Mistake(sentence=sentence)]) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(str(file), [Mistake(sentence=f"not TOML: {error}")]) from None


def _put(values: dict[str, Any], path: list[str], value: object) -> None:
    """Set a value deep in *values*; what stands in the way and is no table stays, and is refused as such."""
    for table in path[:-1]:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            return
        values = inner
    values[path[-1]] = value


def _invalid(name: str, mistakes: Iterable[Mistake]) -> JobInvalid:
    lines = [f"  {mistake}" for mistake in mistakes]
    counted = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return JobInvalid("\n".join([f"{name}: {counted}", *lines]))
