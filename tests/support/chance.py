"""Lives that end by chance: at a moment, after so many messages, or at a named place."""

import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum, auto

from support.campaign import KILLED, Campaign, Finding, Found
from support.cli import PATIENCE_S, Running
from support.failpoints import FAILPOINTS, IN_EVERY_LIFE

_LONGEST_S = 1.5  # of a life that ends by time: starting takes half of it
_LARGEST_STEP = 200  # messages that are sent in a life that ends by progress
_LARGEST_HIT = 12  # a place is passed at most so often before it kills
_RARE = 0.1  # share of the lives that may end at any place: most of them pass it too seldom, and end properly
_POLL_S = 0.005


class How(StrEnum):
    """What ends a life."""

    MOMENT = auto()
    PROGRESS = auto()
    PLACE = auto()


def live(campaign: Campaign, chance: random.Random, how: How) -> bool:
    """Let *campaign* live until it is killed; return whether it was, or else came to its proper end before.

    Raises:
        Found: it came to another end, or what it left is wrong.
    """
    if how is How.PLACE:
        names = sorted(FAILPOINTS) if chance.random() < _RARE else IN_EVERY_LIFE
        place, _, _ = FAILPOINTS[chance.choice(names)].rpartition(":")
        ended = campaign.run(broken=[f"{place}:{chance.randint(1, _LARGEST_HIT)}"])
    elif how is How.MOMENT:
        running = campaign.start()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(chance.uniform(0, _LONGEST_S))
        running.process.kill()
        ended = running.result()
    else:
        target = campaign.created() + chance.randint(1, _LARGEST_STEP)
        running = campaign.start()
        kill_when(running, lambda: campaign.created() >= target)
        ended = running.result()
    if ended.code not in {0, KILLED}:
        raise Found(Finding.ENDED_WRONG, f"exit code {ended.code}: {ended.stderr}")
    campaign.check()
    return ended.code == KILLED


def kill_when(running: Running, reached: Callable[[], bool]) -> None:
    """Kill a command once something is *reached*, unless it ends before."""
    for _ in range(round(PATIENCE_S / _POLL_S)):
        if reached():
            break
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(_POLL_S)
            return
    running.process.kill()
