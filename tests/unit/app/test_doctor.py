"""What the clocks of two machines say of each other."""

from email.utils import formatdate

import pytest

from broadcaster.app.doctor import State, check_clock
from broadcaster.core.values import Instant, Reply

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


@pytest.mark.parametrize(
    ("server_us", "took_s", "state", "word"),
    [
        pytest.param(NOW, 1, State.OK, "", id="the same second"),
        pytest.param(NOW - 1 * SECOND, 0, State.OK, "", id="the second has just begun"),
        pytest.param(NOW + 20 * SECOND, 30, State.OK, "", id="somewhere within a slow exchange"),
        pytest.param(NOW + 8 * SECOND, 1, State.WARNING, "7 s behind", id="behind"),
        pytest.param(NOW - 11 * SECOND, 1, State.WARNING, "10 s ahead of", id="ahead"),
        pytest.param(NOW + 3601 * SECOND, 1, State.FAILED, "3,600 s behind", id="an hour behind"),
        pytest.param(NOW - 3601 * SECOND, 1, State.FAILED, "3,600 s ahead of", id="an hour ahead"),
        pytest.param(None, 1, State.SKIPPED, "does not tell", id="no time in the answer"),
    ],
)
def test_the_clock_is_judged_by_the_ends_of_the_exchange(
    server_us: int | None, took_s: int, state: State, word: str
) -> None:
    headers = {} if server_us is None else {"date": formatdate(server_us / SECOND, usegmt=True)}
    reply = Reply(
        status=200,
        headers=headers,
        body=b"",
        started=Instant(wall_us=NOW, boot_us=None),
        ended=Instant(wall_us=NOW + took_s * SECOND, boot_us=None),
    )
    found = check_clock(reply)
    assert found.state is state
    assert word in found.sentence
