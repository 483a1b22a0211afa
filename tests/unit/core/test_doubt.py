import pytest

from broadcaster.core.doubt import may_repeat
from broadcaster.core.values import Claim, Instant
from broadcaster.core.words import Repeat

HOUR_US = 3600 * 1_000_000
T0_US = 1_800_000_000_000_000
WINDOW_S, MARGIN_S = 24 * 3600.0, 3600.0


def instant(wall_h: float, boot_h: float | None = None, boot: str | None = "boot-a") -> Instant:
    boot_us = None if boot_h is None else int(boot_h * HOUR_US)
    return Instant(wall_us=T0_US + int(wall_h * HOUR_US), boot_us=boot_us, boot=boot)


# claimed at · now · server then · server now · allowed
ROWS = {
    "just claimed": (instant(0, 5), instant(0, 5), None, None, True),
    "inside the window": (instant(0, 5), instant(22.9, 27.9), None, None, True),
    "one moment before the margin": (instant(0, 0), instant(0, 23 - 1e-9), None, None, True),
    "exactly at the margin": (instant(0, 0), instant(23, 23), None, None, False),
    "beyond the window": (instant(0, 5), instant(30, 35), None, None, False),
    "wall set forward inside one boot": (instant(0, 5), instant(72, 6), None, None, True),
    "wall set back inside one boot": (instant(0, 5), instant(-72, 6), None, None, True),
    "wall set back hides an old claim inside one boot": (instant(0, 5), instant(1, 30), None, None, False),
    "boot clock gone back inside one boot": (instant(0, 5), instant(1, 4), None, None, False),
    "restarted, wall inside": (instant(0, 5), instant(2, 0.1, "boot-b"), None, None, True),
    "restarted, wall beyond": (instant(0, 5), instant(23.5, 0.1, "boot-b"), None, None, False),
    "restarted, wall gone back": (instant(0, 5), instant(-0.1, 0.1, "boot-b"), None, None, False),
    "another machine whose wall is behind, server inside": (instant(0, 5), instant(-0.1, 0.1, "boot-b"), 0, 1, True),
    "another machine, wall behind by less than ten minutes": (instant(0, 5), instant(-0.16, 9, "boot-b"), 0, 1, True),
    "another machine, wall behind by more than that": (instant(0, 5), instant(-0.17, 9, "boot-b"), 0, 1, False),
    "another machine, server with what the walls differ by": (instant(0, 5), instant(-0.1, 9, "b"), 0, 22.95, False),
    "another machine whose wall is behind, server gone back": (instant(0, 5), instant(-0.1, 9, "boot-b"), 1, 0, False),
    "another machine, in the same second of the server": (instant(0, 5), instant(-0.1, 9, "b"), 0.0003, 0, True),
    "another machine whose wall is behind, server only now": (instant(0, 5), instant(-0.1, 9, "b"), None, 1, False),
    "wall gone back inside one boot id that tells no time": (instant(0, None), instant(-0.1, None), 0, 1, True),
    "restarted, server knows it is older": (instant(0, 5), instant(2, 0.1, "boot-b"), 0, 25, False),
    "restarted, wall knows it is older": (instant(0, 5), instant(25, 0.1, "boot-b"), 0, 2, False),
    "restarted, both inside": (instant(0, 5), instant(2, 0.1, "boot-b"), 0, 2.5, True),
    "no boot id, server inside": (instant(0, None, None), instant(2, None, None), 0, 2, True),
    "no boot id, server beyond": (instant(0, None, None), instant(2, None, None), 0, 23, False),
    "no boot id and no server time": (instant(0, None, None), instant(2, None, None), None, None, False),
    "no boot id, server time only now": (instant(0, None, None), instant(2, None, None), None, 2, False),
    "inside one boot, server knows it is older: a restored snapshot": (instant(0, 5), instant(1, 6), 0, 40, False),
    "inside one boot, server knows it is younger": (instant(0, 5), instant(30, 35), 0, 1, False),
    "inside one boot, all agree": (instant(0, 5), instant(1, 6), 0, 1, True),
    "no boot id any more": (instant(0, 5), instant(2, None, None), None, None, False),
}  # fmt: skip


def server_us(hours: float | None) -> int | None:
    return None if hours is None else T0_US + int(hours * HOUR_US)


@pytest.mark.parametrize(("since", "now", "server_then", "server_now", "allowed"), ROWS.values(), ids=ROWS)
def test_a_keyed_request_may_be_repeated(
    since: Instant,
    now: Instant,
    server_then: float | None,
    server_now: float | None,
    allowed: bool,  # noqa: FBT001 - a column
) -> None:
    answer = may_repeat(
        Claim(batch=1, since=since, server_us=server_us(server_then)),
        now,
        server_us=server_us(server_now),
        window_s=WINDOW_S,
        margin_s=MARGIN_S,
        repeat=Repeat.KEYED,
    )

    assert answer.allowed is allowed
    assert bool(answer) is allowed
    assert (answer.reason == "") is allowed


@pytest.mark.parametrize(("repeat", "allowed"), [(Repeat.NATURAL, True), (Repeat.NEVER, False)])
@pytest.mark.parametrize("hours", [0, 48])
def test_what_needs_no_key_goes_by_its_nature_and_not_by_time(repeat: Repeat, allowed: bool, hours: int) -> None:  # noqa: FBT001 - a column
    answer = may_repeat(
        Claim(batch=1, since=instant(0, 1)),
        instant(hours, 1 + hours),
        server_us=None,
        window_s=WINDOW_S,
        margin_s=MARGIN_S,
        repeat=repeat,
    )

    assert answer.allowed is allowed
