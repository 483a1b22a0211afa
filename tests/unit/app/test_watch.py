"""Who watches a run: counts what settles, halts what goes wrong, passes everything on."""

import pytest
from support.doubles import Recorder

from broadcaster.engine.ports import Event, Settled, Waiting
from broadcaster.engine.stop import Stop
from broadcaster.errors import AccountRefused, Halted
from broadcaster.job.model import Safety
from broadcaster.tracking.watching import Watch


def watch(heard: Recorder | None = None, *, count: int = 10, share: float = 0.1, largest: int = 1) -> Watch:
    safety = Safety(halt_count=count, halt_share=share)
    return Watch(safety=safety, stop=Stop(), largest=largest, observe=heard or Recorder())


def hear(watching: Watch, *events: Event) -> None:
    for event in events:
        watching(event)


async def test_everything_is_passed_on_in_its_order() -> None:
    heard = Recorder()
    events: list[Event] = [
        Settled(accepted=5),
        Waiting(code="lost", sentence="No answer.", wait_s=1),
        Settled(in_doubt=3),
        Settled(rejected=2),
    ]

    hear(watch(heard), *events)

    assert heard.events == events


async def test_it_counts_what_settles() -> None:
    watching = watch()

    hear(watching, Settled(accepted=5, earlier_launch=5), Settled(rejected=2), Settled(accepted=1, in_doubt=4))

    assert (watching.accepted, watching.rejected, watching.earlier_launch) == (6, 2, 5)


@pytest.mark.parametrize(
    ("events", "largest", "halts"),
    [
        ([Settled(accepted=89), Settled(rejected=11)], 1, True),
        ([Settled(accepted=90), Settled(rejected=10)], 1, False),
        ([Settled(accepted=88), Settled(rejected=11)], 1, False),
        ([Settled(accepted=89), *[Settled(rejected=1)] * 11], 1, True),
        ([Settled(accepted=110), Settled(rejected=12)], 1, False),
        ([Settled(accepted=100), Settled(rejected=12)], 1, True),
        ([Settled(accepted=400), Settled(rejected=99)], 500, False),
        ([Settled(accepted=400), Settled(rejected=100)], 500, True),
        ([Settled(in_doubt=1000), Settled(rejected=11)], 1, False),
    ],
    ids=[
        "both limits passed",
        "the count is not passed",
        "too few to judge",
        "one by one",
        "the share is not passed",
        "a little over the share",
        "less than one batch",
        "one batch",
        "doubt is not settled",
    ],
)
async def test_too_many_rejected_halt_the_run(events: list[Event], largest: int, *, halts: bool) -> None:
    watching = watch(largest=largest)

    hear(watching, *events)

    assert watching.stop.draining is halts
    assert type(watching.stop.because) is (Halted if halts else type(None))


async def test_the_sentence_names_the_limits_that_were_passed() -> None:
    watching = watch(count=3, share=0.02)

    hear(watching, Settled(accepted=200), Settled(rejected=9))

    assert str(watching.stop.because) == (
        "9 of 209 deliveries were rejected, which passes safety.halt_count (3) and safety.halt_share (0.02). "
        "failed.csv says why; raise the limits to go on"
    )


async def test_the_event_that_halts_is_passed_on_too() -> None:
    heard = Recorder()

    hear(watch(heard), Settled(rejected=100))

    assert heard.counts == {"rejected": 100}


async def test_an_earlier_reason_is_kept() -> None:
    watching, first = watch(), AccountRefused()
    watching.stop.drain(first)

    hear(watching, Settled(rejected=100))

    assert watching.stop.because is first
