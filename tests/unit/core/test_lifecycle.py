import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.lifecycle import TRANSITIONS, BatchState, Event, IllegalMove, advance

SETTLED = {BatchState.ACCEPTED, BatchState.REJECTED, BatchState.SPLIT, BatchState.RESENT, BatchState.SKIPPED}


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        (BatchState.PENDING, Event.CLAIM, BatchState.IN_FLIGHT),
        (BatchState.IN_FLIGHT, Event.ACCEPT, BatchState.ACCEPTED),
        (BatchState.IN_FLIGHT, Event.REJECT, BatchState.REJECTED),
        (BatchState.IN_FLIGHT, Event.SPLIT, BatchState.SPLIT),
        (BatchState.IN_FLIGHT, Event.RELEASE, BatchState.PENDING),
        (BatchState.IN_FLIGHT, Event.LOSE, BatchState.IN_DOUBT),
        (BatchState.IN_DOUBT, Event.REPEAT, BatchState.IN_DOUBT),
        (BatchState.IN_DOUBT, Event.ACCEPT, BatchState.ACCEPTED),
        (BatchState.IN_DOUBT, Event.PROVE, BatchState.ACCEPTED),
        (BatchState.IN_DOUBT, Event.RESEND, BatchState.RESENT),
        (BatchState.IN_DOUBT, Event.SKIP, BatchState.SKIPPED),
    ],
)
def test_a_batch_moves(state: BatchState, event: Event, expected: BatchState) -> None:
    assert advance(state, event) is expected


@pytest.mark.parametrize("state", sorted(SETTLED))
@pytest.mark.parametrize("event", list(Event))
def test_what_is_settled_never_moves(state: BatchState, event: Event) -> None:
    with pytest.raises(IllegalMove, match=f"{state} cannot {event}"):
        advance(state, event)


def test_nothing_is_sent_without_a_claim() -> None:
    assert set(TRANSITIONS[BatchState.PENDING]) == {Event.CLAIM}


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(BatchState)


def test_an_illegal_move_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="pending cannot accept"):
        advance(BatchState.PENDING, Event.ACCEPT)


@given(st.lists(st.sampled_from(Event)))
def test_what_was_once_in_doubt_is_accepted_or_decided_by_a_person_or_stays_in_doubt(events: list[Event]) -> None:
    state, doubted = BatchState.PENDING, False
    for event in events:
        try:
            state = advance(state, event)
        except IllegalMove:
            continue
        doubted = doubted or state is BatchState.IN_DOUBT
        left = {BatchState.IN_DOUBT, BatchState.ACCEPTED, BatchState.RESENT, BatchState.SKIPPED}
        assert not doubted or state in left
