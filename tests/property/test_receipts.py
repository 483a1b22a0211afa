"""Whatever is told about a message, in whatever order, however often and in however many files: one state."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.core.receipts import ARRIVED, ORDER, DeliveryState, Receipt, join, merge_status, state_of

US = 1_000_000
TEXTS = st.sampled_from([None, "", "A", "B"])
# Few values, so that ties are the rule: whole seconds, fractions of them, and moments before 1970.
MOMENTS = st.sampled_from([-1, 0, 1, US - 1, US, US + 300_000, 2 * US, 90 * US])
RECEIPTS = st.builds(
    Receipt,
    message_id=st.just("m-1"),
    status=st.sampled_from([*ORDER, "delivered", "PONDERED", "WEIGHED"]),
    channel=st.sampled_from([None, "sms", "whatsapp"]),
    code=TEXTS,
    reason=TEXTS,
    updated_us=MOMENTS,
    event_key=st.uuids().map(str),
    source=st.sampled_from(["webhook", "lookup"]),
    price=st.sampled_from([None, "0.05", "0.06"]),
)


def fold(receipts: list[Receipt]) -> DeliveryState:
    state: DeliveryState | None = None
    for each in receipts:
        state = merge_status(state, each)
    assert state is not None
    return state


@settings(max_examples=500, deadline=None)
@given(told=st.lists(RECEIPTS, min_size=1, max_size=8), data=st.data())
def test_order_and_repetition_do_not_matter(told: list[Receipt], data: Any) -> None:
    again = data.draw(st.lists(st.sampled_from(told), max_size=6))
    assert fold(data.draw(st.permutations([*told, *again]))) == fold(told)


@settings(max_examples=300, deadline=None)
@given(one=st.lists(RECEIPTS, min_size=1, max_size=5), other=st.lists(RECEIPTS, min_size=1, max_size=5))
def test_folds_of_parts_fold_to_the_whole(one: list[Receipt], other: list[Receipt]) -> None:
    assert join(fold(one), fold(other)) == fold(one + other)


@settings(max_examples=300, deadline=None)
@given(told=st.lists(RECEIPTS, min_size=1, max_size=8))
def test_the_state_is_something_that_was_told(told: list[Receipt]) -> None:
    state = fold(told)
    words = [(each.status, each.channel, each.reason, each.updated_us) for each in map(state_of, told)]
    assert (state.status, state.channel, state.reason, state.updated_us) in words


@settings(max_examples=300, deadline=None)
@given(told=st.lists(RECEIPTS, min_size=1, max_size=8), more=RECEIPTS)
def test_who_has_the_message_keeps_it(told: list[Receipt], more: Receipt) -> None:
    before = fold(told)
    after = merge_status(before, more)
    assert before.status not in ARRIVED or after.status in ARRIVED
    assert before.status != "READ" or after.status == "READ"
    assert before.status not in ORDER or after.status in ORDER
