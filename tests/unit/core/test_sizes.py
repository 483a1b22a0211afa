import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.sizes import duration_s, largest_batch, utf16_length


@pytest.mark.parametrize(
    ("channels", "auto", "body_length", "messages_per_minute", "expected"),
    [
        pytest.param(1, False, 320, 0, 1000, id="an ordinary text fills the request"),
        pytest.param(1, False, 1024, 0, 396, id="the longest body on one channel"),
        pytest.param(2, False, 1024, 0, 198, id="the longest body on two channels"),
        pytest.param(1, False, 320, 1500, 60, id="twenty-five batches fill the minute"),
        pytest.param(1, False, 320, 1199, 46, id="a little smaller, so that a whole number fills the minute"),
        pytest.param(2, False, 320, 1199, 23, id="the same, with two messages for each"),
        pytest.param(1, False, 320, 100_000, 1000, id="no larger than asked for"),
        pytest.param(1, True, 1024, 0, 1000, id="the api picks and returns no body"),
        pytest.param(1, False, 320, 10_000, 400, id="four percent of a message limit"),
        pytest.param(2, False, 320, 10_000, 200, id="four percent counts messages, not recipients"),
        pytest.param(1, True, 320, 60, 2, id="four percent of a small limit"),
        pytest.param(2, False, 320, 10, 1, id="one recipient always fits"),
        pytest.param(1, False, 1_000_000, 0, 1, id="a body beyond all measure"),
    ],
)
def test_a_request_carries(
    channels: int,
    auto: bool,  # noqa: FBT001 - a column
    body_length: int,
    messages_per_minute: int,
    expected: int,
) -> None:
    size = largest_batch(
        batch_size=1000,
        channels=channels,
        auto=auto,
        body_length=body_length,
        messages_per_minute=messages_per_minute,
    )

    assert size == expected


@pytest.mark.parametrize(("batch_size", "hard_limit", "expected"), [(50, 1000, 50), (5000, 1000, 1000), (50, 1, 1)])
def test_neither_the_job_nor_the_operation_is_exceeded(batch_size: int, hard_limit: int, expected: int) -> None:
    size = largest_batch(batch_size=batch_size, channels=1, auto=False, body_length=100, hard_limit=hard_limit)

    assert size == expected


@given(st.integers(1, 4), st.integers(0, 20_000), st.integers(0, 100_000), st.integers(1, 1000))
def test_the_answer_stays_under_the_cap_and_the_batch_in_its_share_of_the_minute(
    channels: int, body_length: int, messages_per_minute: int, batch_size: int
) -> None:
    size = largest_batch(
        batch_size=batch_size,
        channels=channels,
        auto=False,
        body_length=body_length,
        messages_per_minute=messages_per_minute,
    )

    assert 1 <= size <= batch_size
    assert size == 1 or size * channels * (160 + 6 * body_length) <= 2_500_000
    assert not messages_per_minute or size * channels <= max(channels, 0.04 * messages_per_minute)


def test_whole_batches_fill_a_minute_to_96_percent_of_every_limit_that_more_than_one_fits_into() -> None:
    for messages_per_minute in range(1, 30_000):
        size = largest_batch(
            batch_size=1000, channels=1, auto=False, body_length=100, messages_per_minute=messages_per_minute
        )
        filled = messages_per_minute // size * size
        assert filled * 60 / 60.6 >= 0.96 * messages_per_minute, messages_per_minute


@pytest.mark.parametrize(
    ("requests", "messages", "requests_per_minute", "messages_per_minute", "largest", "expected_s"),
    [
        pytest.param(200, 200_000, 200, 0, 1, 60.3, id="a minute of requests"),
        pytest.param(401, 401, 200, 0, 1, 121.2, id="the first of the third minute"),
        pytest.param(10_000, 0, 10_000, 0, 1, 60.44, id="a minute of look-ups, at a rate that needs a larger bucket"),
        pytest.param(3, 2, 1, 0, 1, 121.2, id="look-ups count"),
        pytest.param(1, 1000, 200, 0, 1, 0.0, id="the first goes at once"),
        pytest.param(200, 200_000, 0, 0, 1, 0.0, id="no limit, no wait"),
        pytest.param(2, 0, 0, 100, 1, 0.0, id="look-ups wait for no limit of messages"),
        pytest.param(100, 100, 1000, 50, 1, 120.0, id="the slower of the two limits decides"),
        pytest.param(27, 1500, 0, 1500, 60, 58.2, id="a minute of messages, and two look-ups"),
        pytest.param(28, 1560, 0, 1500, 60, 60.6, id="the first of the next minute"),
        pytest.param(3, 120, 0, 60, 50, 121.2, id="a tiny limit lets one request through a minute"),
        pytest.param(3, 240, 0, 60, 80, 121.2, id="a batch above the limit waits for an empty minute"),
        pytest.param(600, 1500, 0, 1500, 60, 58.2, id="many small groups"),
    ],
)
def test_pacing_needs(
    requests: int,
    messages: int,
    requests_per_minute: int,
    messages_per_minute: int,
    largest: int,
    expected_s: float,
) -> None:
    needed_s = duration_s(
        requests,
        messages,
        requests_per_minute=requests_per_minute,
        messages_per_minute=messages_per_minute,
        largest=largest,
    )

    assert needed_s == pytest.approx(expected_s, rel=0.01)


@given(st.text())
def test_length_is_counted_in_utf16_units(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2
