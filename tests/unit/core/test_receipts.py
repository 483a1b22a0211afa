"""What became of a message: the table of what follows on what, whatever the order in which it is heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import pytest

from broadcaster.core.receipts import (
    ARRIVED,
    FINAL,
    NOT_ARRIVED,
    ORDER,
    SETTLING_US,
    DeliveryState,
    Receipt,
    in_order,
    is_over,
    join,
    merge_status,
    state_of,
)

US = 1_000_000
T0 = 1_780_000_000


def receipt(
    status: str,
    at_s: float,
    *,
    channel: str | None = "sms",
    code: str | None = None,
    reason: str | None = None,
    price: str | None = None,
) -> Receipt:
    return Receipt(
        message_id="m-1",
        status=status,
        channel=channel,
        code=code,
        reason=reason,
        updated_us=int((T0 + at_s) * US),
        event_key=f"{status}@{at_s}/{channel}",
        source="webhook",
        price=price,
    )


def fold(receipts: Sequence[Receipt]) -> DeliveryState:
    state: DeliveryState | None = None
    for each in receipts:
        state = merge_status(state, each)
    assert state is not None
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Words as (status, second); whatever their order, the state is this."""

    told: Sequence[tuple[str, float]]
    status: str
    at_s: float
    final: bool


ROWS: dict[str, Row] = {
    "one word": Row(told=[("QUEUED", 0)], status="QUEUED", at_s=0, final=False),
    "the usual way": Row(
        told=[("QUEUED", 0), ("ROUTED", 1), ("SENT", 2), ("DELIVERED", 5)], status="DELIVERED", at_s=5, final=True
    ),
    "all of it in one second": Row(
        told=[("QUEUED", 0), ("PROCESSED", 0), ("ROUTED", 0), ("SENT", 0), ("DELIVERED", 0)],
        status="DELIVERED",
        at_s=0,
        final=True,
    ),
    "handed over, and no more word": Row(told=[("QUEUED", 0), ("SENT", 0)], status="SENT", at_s=0, final=False),
    "read after delivered": Row(told=[("DELIVERED", 5), ("READ", 60)], status="READ", at_s=60, final=True),
    "read in the second of its delivery": Row(told=[("DELIVERED", 5), ("READ", 5)], status="READ", at_s=5, final=True),
    "delivered that is told with a later moment than read": Row(
        told=[("READ", 5), ("DELIVERED", 6)], status="READ", at_s=5, final=True
    ),
    "a word that is late": Row(told=[("SENT", 2), ("QUEUED", 0)], status="SENT", at_s=2, final=False),
    "nothing takes a delivery back": Row(
        told=[("DELIVERED", 5), ("FAILED", 9), ("QUEUED", 10)], status="DELIVERED", at_s=5, final=True
    ),
    "failed": Row(told=[("SENT", 2), ("FAILED", 3)], status="FAILED", at_s=3, final=False),
    "failed in the second of its hand-over": Row(
        told=[("SENT", 2), ("FAILED", 2)], status="FAILED", at_s=2, final=False
    ),
    "failed, and a late word of the route that failed": Row(
        told=[("FAILED", 3), ("SENT", 2)], status="FAILED", at_s=3, final=False
    ),
    "failed, then rerouted": Row(told=[("FAILED", 3), ("QUEUED", 4)], status="QUEUED", at_s=4, final=False),
    "failed, rerouted, handed over": Row(
        told=[("FAILED", 3), ("QUEUED", 4), ("ROUTED", 4), ("SENT", 5)], status="SENT", at_s=5, final=False
    ),
    "failed, rerouted, delivered in the same second": Row(
        told=[("FAILED", 3), ("QUEUED", 3), ("DELIVERED", 3)], status="DELIVERED", at_s=3, final=True
    ),
    "failed on both routes": Row(
        told=[("FAILED", 3), ("QUEUED", 4), ("SENT", 5), ("FAILED", 9)], status="FAILED", at_s=9, final=False
    ),
    "failed and rerouted within a second: failed until the next word": Row(
        told=[("FAILED", 3), ("QUEUED", 3)], status="FAILED", at_s=3, final=False
    ),
    "a look-up tells fractions, a webhook does not": Row(
        told=[("SENT", 3.4), ("FAILED", 3)], status="FAILED", at_s=3, final=False
    ),
    "held for quiet hours": Row(told=[("QUEUED", 0), ("SCHEDULED", 0)], status="SCHEDULED", at_s=0, final=False),
    "held, then released": Row(told=[("SCHEDULED", 0), ("PROCESSED", 900)], status="PROCESSED", at_s=900, final=False),
    "held, then called off": Row(told=[("SCHEDULED", 0), ("CANCELLED", 9)], status="CANCELLED", at_s=9, final=True),
    "called off is the end": Row(told=[("CANCELLED", 9), ("QUEUED", 11)], status="CANCELLED", at_s=9, final=True),
    "not wanted": Row(told=[("QUEUED", 0), ("FILTERED", 0)], status="FILTERED", at_s=0, final=True),
    "not wanted is the end": Row(told=[("FILTERED", 0), ("SENT", 4)], status="FILTERED", at_s=0, final=True),
    "blocked": Row(told=[("QUEUED", 0), ("BLOCKED", 0)], status="BLOCKED", at_s=0, final=True),
    "blocked, then sent again": Row(told=[("BLOCKED", 0), ("QUEUED", 900)], status="QUEUED", at_s=900, final=False),
    "blocked, sent again, blocked again": Row(
        told=[("BLOCKED", 0), ("QUEUED", 900), ("BLOCKED", 900)], status="BLOCKED", at_s=900, final=True
    ),
    "blocked, sent again, delivered": Row(
        told=[("BLOCKED", 0), ("QUEUED", 900), ("DELIVERED", 903)], status="DELIVERED", at_s=903, final=True
    ),
    "a word in lower case": Row(told=[("queued", 0), ("delivered", 2)], status="DELIVERED", at_s=2, final=True),
    "the older word for queued": Row(told=[("accepted", 0), ("SENT", 0)], status="SENT", at_s=0, final=False),
    "a word that nobody knows": Row(told=[("PONDERED", 5)], status="PONDERED", at_s=5, final=False),
    "a word that nobody knows, after one that is known": Row(
        told=[("QUEUED", 0), ("PONDERED", 5)], status="QUEUED", at_s=0, final=False
    ),
    "two words that nobody knows": Row(told=[("PONDERED", 5), ("WEIGHED", 6)], status="WEIGHED", at_s=6, final=False),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_the_state_follows_from_what_was_told_in_any_order_and_twice(row: Row) -> None:
    told = [receipt(status, at_s) for status, at_s in row.told]
    for order in permutations(told):
        state = fold(order)
        assert (state.status, state.updated_us, state.final) == (row.status, int((T0 + row.at_s) * US), row.final)
        assert fold([*order, *order[:2]]) == state


def test_within_a_second_no_status_goes_back() -> None:
    for (one, lower), (other, higher) in product(enumerate(ORDER), repeat=2):
        if one < other:
            assert fold([receipt(higher, 0), receipt(lower, 0)]).status == higher


def test_what_is_told_of_the_winning_word_is_its_own() -> None:
    state = fold(
        [receipt("FAILED", 1, channel="whatsapp", code="DELIVERY_007", reason="Not there."), receipt("SENT", 3)]
    )
    assert (state.channel, state.reason) == ("sms", None)
    state = fold([receipt("FAILED", 1, channel="whatsapp", code="DELIVERY_007", reason="Not there.")])
    assert (state.channel, state.reason) == ("whatsapp", "DELIVERY_007")
    assert fold([receipt("FAILED", 1, reason="Not there.")]).reason == "Not there."


def test_two_words_that_only_differ_in_detail_have_one_winner() -> None:
    one, other = receipt("FAILED", 1, code="DELIVERY_003"), receipt("FAILED", 1, channel=None, reason="Gone.")
    assert fold([one, other]) == fold([other, one])


def test_the_latest_price_stays_whatever_becomes_of_the_message() -> None:
    told = [receipt("SENT", 1, price="0.0600"), receipt("DELIVERED", 3), receipt("SENT", 2, price="0.0500")]
    for order in permutations(told):
        state = fold(order)
        assert (state.status, state.price) == ("DELIVERED", "0.0500")


def test_two_files_know_together_what_one_would_have_known() -> None:
    told = [receipt("SENT", 2, price="0.06"), receipt("FAILED", 3), receipt("QUEUED", 4), receipt("SENT", 5)]
    for cut in range(1, len(told)):
        assert join(fold(told[:cut]), fold(told[cut:])) == fold(told)
        assert join(fold(told[cut:]), fold(told[:cut])) == fold(told)


def test_a_failure_is_over_once_no_other_route_can_follow() -> None:
    failed = state_of(receipt("FAILED", 0))
    assert not failed.final
    assert not is_over(failed, now_us=failed.updated_us + SETTLING_US)
    assert is_over(failed, now_us=failed.updated_us + SETTLING_US + 1)


@pytest.mark.parametrize("status", ORDER)
def test_every_status_is_over_at_once_or_never(status: str) -> None:
    state = state_of(receipt(status, 0))
    assert is_over(state, now_us=state.updated_us) is (status in FINAL)
    assert is_over(state, now_us=state.updated_us + 10**15) is (status in FINAL | {"FAILED"})


def test_the_sets_of_statuses_fit_together() -> None:
    assert set(ORDER) >= FINAL | NOT_ARRIVED | ARRIVED
    assert not ARRIVED & NOT_ARRIVED


def test_a_history_is_told_as_it_happened() -> None:
    story = [("QUEUED", 0), ("ROUTED", 0), ("SENT", 1), ("FAILED", 3), ("QUEUED", 4), ("DELIVERED", 4), ("READ", 9)]
    told = [receipt(status, at_s) for status, at_s in story]
    assert in_order(told[::-1]) == told
