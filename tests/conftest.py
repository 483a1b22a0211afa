"""What holds for every test: it finds none of the user's settings and files, and leaves no task behind."""

import asyncio
import inspect
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import pacestory
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


_PACE_STORY = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what waits for minutes to the end."""
    items.sort(key=lambda item: pacestory.TEST in item.nodeid)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hear what is selected, where one process runs it all."""
    if not hasattr(session.config, "workerinput"):
        _begin_pace_story(session.config, [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Hear what is selected, in the process that outlives the others."""
    _begin_pace_story(node.config, ids)


def _begin_pace_story(config: pytest.Config, ids: list[str]) -> None:
    """Begin what takes minutes, if it is selected, so that it goes on beside the other tests."""
    selected = any(pacestory.TEST in each for each in ids) and not config.option.collectonly
    if selected and (telling := pacestory.begin(_pace_directory(config))) is not None:
        config.stash[_PACE_STORY] = telling


def _pace_directory(config: pytest.Config) -> Path:
    """Return where that is told: one place for all processes of the session."""
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # the only way to it outside a test
    return (base.parent if hasattr(config, "workerinput") else base) / "pace-story"


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it with the session."""
    if (telling := config.stash.get(_PACE_STORY, None)) is not None:
        pacestory.end(telling)


@pytest.fixture(scope="session")
def pace_story(request: pytest.FixtureRequest) -> Path:
    """Where the story of the pace is told; see ``support.pacestory``."""
    return _pace_directory(request.config)


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
