"""Each promise is broken on purpose, and a check here must say so; without the break the same check is silent.

The table of mutants and catchers is printed at the end of the test session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.campaign import BATCH, Begin, Finding, Found
from support.failpoints import FAILPOINTS
from support.mutants import MUTANTS
from support.patching import find
from support.simulator import Simulator

_SEND = "POST /v3/messages"
_IN_FLIGHT = "broadcaster.api.wire:Wire._body:before:4"  # the second POST of a process, which was executed
_A_DAY_LATER = "sleep:+90000"
_ALONE = {"concurrency": 1}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario plays. ``forgetful``: the API that remembers no key."""

    begin: Begin
    forgetful: Simulator


Scenario = Callable[[Stage, tuple[str, ...]], None]  # the breaks are those of all its commands


def lost_answers(stage: Stage, broken: tuple[str, ...]) -> None:
    """Two requests are executed, and their answers lost."""
    campaign = stage.begin(12, faults=[{"on": _SEND, "nth": [1, 3], "do": "drop_after_accept"}], limits=_ALONE)
    campaign.finish(broken=broken)


def lost_requests(stage: Stage, broken: tuple[str, ...]) -> None:
    """Two requests never arrive."""
    campaign = stage.begin(12, faults=[{"on": _SEND, "nth": [1, 3], "do": "drop_before"}], limits=_ALONE)
    campaign.finish(broken=broken)


def killed_in_flight(stage: Stage, broken: tuple[str, ...]) -> None:
    """The process dies while an answer arrives, and goes on at once."""
    campaign = stage.begin(20)
    campaign.killed(_IN_FLIGHT, broken=broken)
    campaign.finish(broken=broken)


def killed_and_forgotten(stage: Stage, broken: tuple[str, ...]) -> None:
    """The process dies while an answer arrives; when it goes on, the API has forgotten the key."""
    campaign = stage.begin(20, at=stage.forgetful)
    campaign.killed(_IN_FLIGHT, broken=broken)
    campaign.finish(broken=(*broken, _A_DAY_LATER), in_doubt=4 * BATCH)


def clock_set_back(stage: Stage, broken: tuple[str, ...]) -> None:
    """The same, and after a restart of the machine its clock stands an hour before the attempt."""
    campaign = stage.begin(20, at=stage.forgetful)
    campaign.killed(_IN_FLIGHT, broken=broken)
    campaign.finish(broken=(*broken, "boot:another", "clock:-3600"), in_doubt=4 * BATCH)


def refused_after_doubt(stage: Stage, broken: tuple[str, ...]) -> None:
    """A request is executed without an answer; its repetition is refused before the API looks at its key."""
    faults = [
        {"on": _SEND, "nth": [1], "do": "drop_after_accept"},
        {"on": _SEND, "nth": [2], "do": "status", "status": 400, "code": "VALIDATION_002"},
    ]
    campaign = stage.begin(12, faults=faults, limits=_ALONE)
    campaign.finish(broken=broken, in_doubt=BATCH)


def killed_after_a_split(stage: Stage, broken: tuple[str, ...]) -> None:
    """A batch is refused for one of its people; the process dies once its end is written."""
    refused = {"on": _SEND, "nth": [2], "do": "status", "status": 400, "code": "VALIDATION_002"}
    campaign = stage.begin(12, faults=[refused], limits=_ALONE)
    campaign.killed(FAILPOINTS["after a split is written"], broken=broken)
    campaign.finish(broken=broken)


def one_id_for_two(stage: Stage, broken: tuple[str, ...]) -> None:
    """An answer gives two people the same message id; the API's memory has the true one."""
    campaign = stage.begin(12, faults=[{"on": _SEND, "nth": [2], "do": "duplicate_id"}], limits=_ALONE)
    campaign.run(broken=broken)
    campaign.finish(broken=broken)


def list_changed(stage: Stage, broken: tuple[str, ...]) -> None:
    """The process dies, and the list gets a new first row before it goes on."""
    campaign = stage.begin(20)
    campaign.killed(_IN_FLIGHT, broken=broken)
    campaign.cli.people([campaign.to[-1], *campaign.to[:-1]])
    campaign.finish(broken=broken)


SCENARIOS: tuple[Scenario, ...] = (
    lost_answers,
    lost_requests,
    killed_in_flight,
    killed_and_forgotten,
    clock_set_back,
    refused_after_doubt,
    killed_after_a_split,
    one_id_for_two,
    list_changed,
)
CATCHERS: dict[str, tuple[Scenario, Finding]] = {
    "no_claim": (killed_in_flight, Finding.UNCLAIMED),
    "claim_late": (killed_in_flight, Finding.UNCLAIMED),
    "key_per_attempt": (lost_answers, Finding.TWICE),
    "key_per_launch": (killed_in_flight, Finding.TWICE),
    "bytes_change": (lost_answers, Finding.LOST),
    "no_window": (killed_and_forgotten, Finding.TWICE),
    "clock_set_back": (clock_set_back, Finding.TWICE),
    "refusal_after_doubt": (refused_after_doubt, Finding.TWICE),
    "split_without_parts": (killed_after_a_split, Finding.LOST),
    "give_up": (lost_requests, Finding.LOST),
    "settled_in_memory": (lost_answers, Finding.MISCOUNTED),
    "same_id_twice": (one_id_for_two, Finding.OTHER_ID),
    "list_read_again": (list_changed, Finding.TWICE),
}
ELSEWHERE = {"synchronous_off": "test_order.py"}  # a kill shows nothing of it: the kernel keeps what a process wrote


@pytest.fixture
def stage(begin: Begin, forgetful: Simulator) -> Stage:
    return Stage(begin, forgetful)


def test_every_mutant_has_a_catcher() -> None:
    assert sorted([*CATCHERS, *ELSEWHERE]) == sorted(MUTANTS)
    assert {scenario for scenario, _ in CATCHERS.values()} == set(SCENARIOS)
    assert {mutant.invariant for mutant in MUTANTS.values()} == {f"I{number}" for number in range(1, 8)}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_mutant_has_a_catcher_elsewhere(name: str, record_property: Callable[[str, object], None]) -> None:
    assert f'"{name}"' in Path(__file__).with_name(ELSEWHERE[name]).read_text(encoding="utf-8")
    record_property("mutant", _line(name, ELSEWHERE[name]))


@pytest.mark.parametrize("name", MUTANTS)
def test_the_program_still_has_what_the_mutant_breaks(name: str) -> None:
    find(MUTANTS[name].path)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_nothing_is_found_when_nothing_is_broken(stage: Stage, scenario: Scenario) -> None:
    scenario(stage, ())


@pytest.mark.parametrize("name", CATCHERS)
def test_a_mutant_is_caught(stage: Stage, name: str, record_property: Callable[[str, object], None]) -> None:
    scenario, finding = CATCHERS[name]
    with pytest.raises(Found) as caught:
        scenario(stage, (f"mutant:{name}",))
    assert caught.value.what is finding, caught.value
    record_property("mutant", _line(name, f"{scenario.__name__} ({finding})"))


def _line(name: str, catcher: str) -> str:
    mutant = MUTANTS[name]
    return f"{mutant.invariant}  {name:<19}  {mutant.says:<50}  {catcher}"
