"""A process that dies at a named place; so does the one that goes on, and the next: every recovery is killed too."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.campaign import Begin
from support.failpoints import FAILPOINTS, Failpoint
from support.patching import find

_SEND = "POST /v3/messages"
_REFUSED = {"on": _SEND, "do": "status", "status": 400, "code": "VALIDATION_002"}

# Each word is the place at which one life of the campaign ends; the next life goes on from there.
LIVES: dict[str, Sequence[str]] = {
    "the plan is made": (
        "before the plan's tables",
        "beside the plan's tables",
        "after the plan's tables",
        "before plan.json has its name",
        "after plan.json has its name",
        "after the manifest of the plan",
    ),
    "the run begins": (
        "before the journal has its name",
        "after the journal has its name",
        "after the journal is opened",
        "before the account is written down",
        "after the account is written down",
        "before the registry is written",
        "after the registry is written",
    ),
    "batches are claimed and sent": (
        "before a claim",
        "after a claim, before its bytes leave",
        "while a request leaves",
        "while an answer arrives",
        "after an answer has arrived",
        "after an answer is judged",
        "after the third claim",
    ),
    "outcomes are written": (
        "before an outcome is written",
        "before a commit",
        "after a commit, before anybody is told",
        "after an outcome is written",
        "after a batch is done",
        "before the third outcome is written",
        "after the fourth outcome is written",
        "after the journal is closed",
    ),
    "a refused batch is split": (
        "before a split is written",
        "after a split is written",
        "after a part is claimed",
        "after a part's outcome is written",
    ),
    "attempts settle nothing": (
        "before an attempt is noted",
        "after an attempt is noted",
        "before a claim is taken back",
        "after a claim is taken back",
    ),
    "the run ends": (
        "before the journal is closed",
        "before the manifest is built",
        "while the manifest is built",
        "before the manifest has its name",
        "after the manifest has its name",
        "before excluded.csv has its name",
        "after excluded.csv has its name",
        "before the summary is written",
        "after the summary is written",
    ),
}
# By request, counted through all lives, which is why these send one at a time.
FAULTS: dict[str, list[dict[str, Any]]] = {
    "a refused batch is split": [{**_REFUSED, "nth": [1, 3]}],
    "attempts settle nothing": [
        {"on": _SEND, "nth": [1, 2], "do": "drop_after_accept"},
        {"on": _SEND, "nth": [4, 6], "do": "status", "status": 401, "code": "AUTH_002"},
    ],
}
COMMANDS = {"after the manifest of the plan": ("plan", "job.toml")}


@pytest.mark.parametrize("name", FAILPOINTS)
def test_the_program_still_has_the_place(name: str) -> None:
    find(Failpoint.parse(FAILPOINTS[name]).path)


def test_a_life_ends_at_every_place() -> None:
    assert sorted(FAILPOINTS) == sorted(place for places in LIVES.values() for place in places)


@pytest.mark.parametrize("name", LIVES)
def test_killed_again_and_again_while(begin: Begin, name: str) -> None:
    """After each kill: nobody twice, nobody without a claim, nobody forgotten. After the last: everybody, once."""
    campaign = begin(60, faults=FAULTS.get(name), limits={"concurrency": 1 if name in FAULTS else 4})
    for place in LIVES[name]:
        campaign.killed(FAILPOINTS[place], *COMMANDS.get(place, ()))
    campaign.finish()
