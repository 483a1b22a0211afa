import pytest

from broadcaster.core.halt import must_halt, stopped_by
from broadcaster.core.remedy import Cause


@pytest.mark.parametrize(
    ("rejected", "settled", "largest", "count", "share", "halts"),
    [
        pytest.param(0, 1000, 100, 10, 0.1, False, id="nothing was rejected"),
        pytest.param(101, 1000, 100, 10, 0.1, True, id="both limits are passed"),
        pytest.param(100, 1000, 100, 10, 0.1, False, id="the share is reached and not passed"),
        pytest.param(11, 1000, 100, 10, 0.1, False, id="only the count is passed"),
        pytest.param(10, 100, 1, 10, 0.05, False, id="the count is reached and not passed"),
        pytest.param(11, 100, 1, 10, 0.1, True, id="exactly enough have settled"),
        pytest.param(99, 99, 1, 10, 0.1, False, id="too few have settled, though all were rejected"),
        pytest.param(499, 499, 500, 10, 0.1, False, id="not yet as many as the largest batch"),
        pytest.param(500, 500, 500, 10, 0.1, True, id="one largest batch, all of it rejected"),
        pytest.param(1, 100, 1, 0, 0.0, True, id="limits of zero allow none"),
        pytest.param(0, 100, 1, 0, 0.0, False, id="limits of zero are not passed by zero"),
        pytest.param(1000, 1000, 1, 10, 1.0, False, id="a share of one never halts"),
    ],
)
def test_a_run_halts_when_count_and_share_are_both_passed_over_enough_deliveries(
    rejected: int,
    settled: int,
    largest: int,
    count: int,
    share: float,
    halts: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert (
        must_halt(rejected=rejected, settled=settled, largest_batch=largest, halt_count=count, halt_share=share)
        is halts
    )


@pytest.mark.parametrize(
    ("causes", "told", "expected"),
    [
        pytest.param({}, 100, None, id="nothing went wrong"),
        pytest.param({Cause.MONEY: 3}, 3, Cause.MONEY, id="three, and nothing else is known"),
        pytest.param({Cause.MONEY: 2}, 2, None, id="two are chance"),
        pytest.param({Cause.MONEY: 3}, 29, Cause.MONEY, id="over a tenth"),
        pytest.param({Cause.MONEY: 3}, 30, None, id="a tenth, not over it"),
        pytest.param({Cause.TEMPLATE: 5}, 20, Cause.TEMPLATE, id="the template"),
        pytest.param({Cause.SENDER: 5}, 20, Cause.SENDER, id="the sender"),
        pytest.param({Cause.ACCOUNT: 5}, 20, Cause.ACCOUNT, id="blocked without a word"),
        pytest.param({Cause.DELIVERY: 50, Cause.CONSENT: 50}, 100, None, id="people's own reasons"),
        pytest.param({Cause.SENDER: 3, Cause.MONEY: 9}, 20, Cause.MONEY, id="the most frequent"),
    ],
)
def test_a_few_messages_that_the_account_stops_are_enough(
    causes: dict[Cause, int], told: int, expected: Cause | None
) -> None:
    assert stopped_by(causes, told=told) is expected
