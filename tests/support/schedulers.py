"""Stand-ins for Airflow and Prefect, which are no dependency: the few names that the examples import.

A loaded example is what its scheduler would have after reading the file: a task, and how it is tried again.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from support.machine import Machine


class NoOtherTry(Exception):
    """Stands for AirflowFailException."""


@dataclass
class Failed:
    """Stands for the state of a task in Prefect that failed."""

    error: BaseException

    def result(self, *, raise_on_failure: bool) -> BaseException:
        assert not raise_on_failure
        return self.error


@dataclass
class Loaded:
    """An example as its scheduler has loaded it: the task, how it is tried again, what it is called with."""

    names: dict[str, Any]
    task: Callable[[list[str]], None] = field(init=False)
    settings: dict[str, Any] = field(init=False)
    command: list[str] = field(init=False)


def load(machine: Machine, name: str, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Run an example with stand-ins for the few names that it imports, and find out what its task is called with."""
    found = Loaded({"__name__": "example"})

    def task(**settings: Any) -> Callable[[Callable[[list[str]], None]], Callable[[list[str]], None]]:
        found.settings = settings

        def decorate(function: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
            found.task = function
            return partial(setattr, found, "command")

        return decorate

    def whole(**_: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
        return lambda function: function

    def other(*_: Any, **__: Any) -> None:
        return None

    at = datetime(2026, 12, 7, 11, tzinfo=UTC)  # 06:00 in New York
    modules: dict[str, dict[str, Any]] = {
        "airflow": {},
        "airflow.exceptions": {"AirflowFailException": NoOtherTry},
        "airflow.sdk": {"dag": whole, "task": task},
        "airflow.timetables": {},
        "airflow.timetables.trigger": {"CronTriggerTimetable": other},
        "prefect": {"flow": whole, "task": task},
        "prefect.runtime": {"flow_run": type("flow_run", (), {"scheduled_start_time": at})},
        "prefect.schedules": {"Cron": other},
    }
    for module, members in modules.items():
        stand_in = ModuleType(module)
        vars(stand_in).update(members)
        monkeypatch.setitem(sys.modules, module, stand_in)
    exec(compile(machine.example(name), name, "exec"), found.names)  # noqa: S102 - an example of ours
    return found
