"""What a shard says while it sends: for whoever reads the log of a pod or a task."""

import pytest
from support.doubles import ManualClock

from broadcaster.cli.shards import ShardLog
from broadcaster.engine.ports import Noticed, Settled, Waiting


def test_a_shard_tells_its_counts_every_ten_seconds_and_each_reason_to_wait_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = ManualClock()
    log = ShardLog("shard 7 of 64", clock=clock)

    for _ in range(30):  # one answer a second
        clock.step(1.0)
        log(Settled(accepted=100, rejected=1))
        log(Waiting(code="BUSINESS_002", sentence="Too many requests.", wait_s=1.0))
    log(Noticed(code="window_shut", sentence="The window is shut."))

    assert capsys.readouterr().err.splitlines() == [
        "shard 7 of 64: waiting: Too many requests.",
        "shard 7 of 64: 1,000 accepted, 10 rejected by this process so far",
        "shard 7 of 64: 2,000 accepted, 20 rejected by this process so far",
        "shard 7 of 64: 3,000 accepted, 30 rejected by this process so far",
        "shard 7 of 64: The window is shut.",
    ]
