from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.campaign import Begin, Campaign
from support.cli import KEY
from support.fiction import numbers
from support.simulator import Simulator
from support.warm import Warm


@pytest.fixture(scope="module")
def people() -> Iterator[str]:
    """Numbers that no test of the module has had yet."""
    return iter(numbers(8_000))


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    """One API for all tests of a module, each of which looks only at its own people."""
    with Simulator(key=KEY, lifecycle_speed=0) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Simulator]:
    """The API after a day: it remembers no key."""
    with Simulator(key=KEY, lifecycle_speed=0, idempotency_ttl=0) as simulator:
        yield simulator


@pytest.fixture
def begin(tmp_path: Path, api: Simulator, people: Iterator[str], warm: Warm) -> Iterator[Begin]:
    """Return how a campaign is begun: ``begin(40, faults=[…], limits={…})``; by default at the API that remembers."""
    begun: list[Campaign] = []

    def begin(size: int, *, at: Simulator = api, faults: list[dict[str, Any]] | None = None, **tables: Any) -> Campaign:
        at.set_faults(faults or [])
        home = tmp_path / str(len(begun))
        home.mkdir()
        begun.append(Campaign(home, at, list(islice(people, size)), warm=warm, **tables))
        return begun[-1]

    yield begin
    for each in begun:
        each.close()
