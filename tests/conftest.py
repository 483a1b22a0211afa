"""What holds for every test: it finds none of the user's settings and files, and leaves no task behind."""

import asyncio
import inspect
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.warm import Warm


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch, _homes: Path) -> None:
    """No key, no address, no profile; a home and a state directory that are empty."""
    for name in [name for name in os.environ if name.startswith("SENT_")]:
        monkeypatch.delenv(name)
    home = tempfile.mkdtemp(dir=_homes)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_STATE_HOME", str(Path(home, ".state")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(home, ".cache")))


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)  # a task that was cancelled at the very end may still take its last step
    left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks that nobody waited for: {left}"


@pytest.fixture(autouse=True)
def _guard_tasks(request: pytest.FixtureRequest) -> None:
    """Watch the loop of every asynchronous test; the others have none."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_task_left")


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """The program, imported once for all commands that run to their end."""
    with Warm() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the mutants and their catchers; here, because the process that prints collects no tests itself."""
    caught = [
        str(line)
        for report in terminalreporter.getreports("passed")
        for name, line in report.user_properties
        if name == "mutant" and report.when == "call"
    ]
    if caught:
        terminalreporter.section("mutants and what catches them")
        for line in sorted(caught):
            terminalreporter.line(line)
