from collections.abc import Iterator

import pytest
from support.simulator import Simulator


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """One process for all tests of a file that ask for nothing special; each looks only at what it wrote.

    Time does nothing to its messages: a test that reads one does not race its delivery.
    """
    with Simulator(lifecycle_speed=0) as simulator:
        yield simulator
