from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import KEY, Cli
from support.simulator import Simulator
from support.warm import Warm


@pytest.fixture
def cli(tmp_path: Path, warm: Warm) -> Cli:
    """A user in an empty home, without a key."""
    return Cli(tmp_path, launcher=warm)


@pytest.fixture
def sim(cli: Cli) -> Iterator[Simulator]:
    """A Sent API that this user's live runs go to."""
    with Simulator(key=KEY) as simulator:
        cli.use(simulator)
        yield simulator


@pytest.fixture(scope="module")
def idle() -> Iterator[Simulator]:
    """The API that no request to send may reach."""
    with Simulator(key=KEY) as simulator:
        yield simulator
