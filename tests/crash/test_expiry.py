"""The API forgets a key: what was in flight then stays in doubt, and everything else is sent."""

import time
from collections.abc import Sequence

import pytest
from support.campaign import BATCH, Begin
from support.cli import wait_until
from support.failpoints import FAILPOINTS
from support.simulator import Simulator

_IN_FLIGHT = "broadcaster.api.wire:Wire._body:before:4"  # the second POST of a process, which was executed
_SENDERS = 4
WINDOW_S = 2.0


def test_after_the_window_nobody_is_messaged_twice_and_doubt_is_bounded(begin: Begin, forgetful: Simulator) -> None:
    """In real time, with a window of seconds; the senders bound the doubt."""
    campaign = begin(60, at=forgetful, api={"idempotency_window": f"{WINDOW_S:.0f}s"})
    campaign.killed(_IN_FLIGHT)
    over = time.monotonic() + WINDOW_S
    wait_until(lambda: time.monotonic() > over, what="the window has passed")
    campaign.finish(in_doubt=_SENDERS * BATCH)
    assert 0 < campaign.check_ended(in_doubt=_SENDERS * BATCH) <= _SENDERS * BATCH
    before = len(forgetful.requests())
    campaign.finish(in_doubt=_SENDERS * BATCH)
    later = forgetful.requests()[before:]
    assert [each["path"] for each in later if each["method"] == "POST"] == [], "no later run sends them again"


def test_killed_in_the_recovery_too_doubt_does_not_grow_beyond_two_lives(begin: Begin, forgetful: Simulator) -> None:
    """Each life that ends in the middle leaves its own claims, never more."""
    campaign = begin(60, at=forgetful)
    campaign.killed(_IN_FLIGHT)
    campaign.killed(FAILPOINTS["after the fourth outcome is written"], broken=["sleep:+90000"])
    campaign.finish(broken=["sleep:+180000"], in_doubt=2 * _SENDERS * BATCH)
    assert campaign.check_ended(in_doubt=2 * _SENDERS * BATCH) > 0


GOES_ON: dict[str, Sequence[str]] = {
    "the clock is set a day ahead": ["clock:+90000"],  # the boot clock knows better
    "the clock is set back an hour": ["clock:-3600"],
    "the machine was restarted": ["boot:another"],
    "the machine no longer tells its starts apart": ["boot:"],  # the API's own clock tells the age
}


@pytest.mark.parametrize("name", GOES_ON)
def test_what_was_in_flight_is_repeated_although(begin: Begin, name: str) -> None:
    campaign = begin(20)
    campaign.killed(_IN_FLIGHT)
    campaign.finish(broken=GOES_ON[name])


HOLDS: dict[str, Sequence[str]] = {
    "the machine was restarted and its clock is a day ahead": ["boot:another", "clock:+90000"],
    "the machine no longer tells its starts apart and its clock is set back": ["boot:", "clock:-3600"],
}


@pytest.mark.parametrize("name", HOLDS)
def test_what_was_in_flight_is_never_repeated_when(begin: Begin, forgetful: Simulator, name: str) -> None:
    """Two more such cases, a sleeping machine and a clock set back, are the scenarios of mutants."""
    campaign = begin(20, at=forgetful)
    campaign.killed(_IN_FLIGHT)
    campaign.finish(broken=HOLDS[name], in_doubt=_SENDERS * BATCH)
    assert campaign.check_ended(in_doubt=_SENDERS * BATCH) > 0
