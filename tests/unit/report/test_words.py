"""Small decisions of the report: outcomes, advice, masks, labels, bars."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.classify import ANY_4XX, BY_CODE
from broadcaster.core.receipts import ORDER
from broadcaster.core.words import Reason, Status
from broadcaster.errors import BroadcasterError
from broadcaster.report.advice import DOUBT, EXCLUDED, STOPPED, advise
from broadcaster.report.figures import Kind, Outcome, Timeline
from broadcaster.report.labels import NOTHING, compact, duration, number, share, size, step_name
from broadcaster.report.masking import masked_cell, masked_text
from broadcaster.report.outcomes import PARTS, outcome_of, parts_of
from broadcaster.report.times import busiest, rolling, step_s, timeline

# ---- outcomes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told", "outcome"),
    [
        ("accepted", None, Outcome.ACCEPTED),
        ("accepted", "delivered", Outcome.DELIVERED),
        ("accepted", "READ", Outcome.READ),
        ("accepted", "routed", Outcome.UNDER_WAY),
        ("accepted", "a word of next year", Outcome.UNDER_WAY),
        ("accepted", "cancelled", Outcome.CANCELLED),
        ("rejected", None, Outcome.REJECTED),
        ("in_doubt", "delivered", Outcome.IN_DOUBT),
        ("pending", None, Outcome.PENDING),
        ("excluded", None, Outcome.EXCLUDED),
    ],
)
def test_each_row_has_one_outcome(status: str, told: str | None, outcome: Outcome) -> None:
    assert outcome_of(status, told) is outcome


def test_every_outcome_of_an_eligible_message_is_in_exactly_one_part_of_a_bar() -> None:
    every = [outcome for part in PARTS for outcome in part.outcomes]

    assert sorted(every) == sorted(set(Outcome) - {Outcome.EXCLUDED})
    assert sum(parts_of(dict.fromkeys(every, 1)).values()) == len(every)
    assert {outcome_of(Status.ACCEPTED, word) for word in ORDER} <= set(every)


# ---- advice --------------------------------------------------------------------------------------------------------


def test_every_local_reason_and_every_code_that_is_classified_has_advice_of_its_own() -> None:
    assert set(map(str, Reason)) <= set(EXCLUDED)
    for code in {code for _, code in BY_CODE} | set(ANY_4XX):
        assert advise(Kind.REJECTED, code) != advise(Kind.REJECTED, "something new"), code


def test_every_error_that_can_stop_a_run_while_it_sends_has_advice() -> None:
    local = {
        "config",
        "job_invalid",
        "filter_invalid",
        "list_unusable",
        "store",
        "store_damaged",
        "locked",
        "belongs_to_another",
        "error",
    }

    def below(kind: type[BroadcasterError]) -> set[str]:
        return {kind.code, *(code for each in kind.__subclasses__() for code in below(each))}

    assert set(STOPPED) >= below(BroadcasterError) - local


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("code", ["SOMETHING_999", "", "http_418", "AUTH_099", "DELIVERY_099", "<b>"])
def test_a_code_that_nobody_listed_has_advice_too(kind: Kind, code: str) -> None:
    assert advise(kind, code).advice.endswith(".")


def test_a_refusal_of_a_repeat_is_not_taken_for_a_refusal_of_the_message() -> None:
    assert "reconcile" in advise(Kind.IN_DOUBT, "VALIDATION_002").advice
    assert "failed.csv" in advise(Kind.REJECTED, "VALIDATION_002").advice
    assert "resume" in advise(Kind.IN_DOUBT, "http_502").advice
    assert all(each.advice for each in DOUBT.values())


# ---- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "e164", "shown"),
    [
        ("(415) 555-0100", "+14155550100", "+1••••••••00"),
        ("", None, "(empty)"),
        ("Jane O'Neil", None, "•••• •'••••"),
        ("jane@example.com", None, "••••@•••••••.•••"),
        ("555-01", None, "•••-••"),
        ("415 555 010", None, "••• ••• •10"),
        ("\u0661\u0662\u0663\u0664\u0665\u0666\u0667", None, "•••••\u0666\u0667"),
        ("a\tb\x00", None, "• • "),
        ("x" * 99, None, "•" * 29 + "…"),
    ],
)
def test_a_cell_is_shown_by_its_shape(written: str, e164: str | None, shown: str) -> None:
    assert masked_cell(written, e164) == shown


@given(st.text(max_size=60))
def test_no_cell_shows_a_letter_or_more_than_two_digits(written: str) -> None:
    shown = masked_cell(written, None)

    if written:
        assert sum(each.isdigit() for each in shown) <= 2
        assert not [each for each in shown if each.isalnum() and not each.isdigit()]
        assert shown.isprintable()


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("no such number: +14155550100", "no such number: +1••••••••00"),
        ("no such number: (415) 555-0100.", "no such number: ••••••••••••••."),
        ("to jane.doe@example.com failed", "to • failed"),
        ("16 of 1002 were rejected", "16 of 1002 were rejected"),
        ("wait 3600 s", "wait 3600 s"),
    ],
)
def test_a_sentence_keeps_its_words_and_loses_its_numbers(sentence: str, shown: str) -> None:
    assert masked_text(sentence) == shown


# ---- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (lambda: share(0, 10), "0 %"),
        (lambda: share(10, 10), "100 %"),
        (lambda: share(1, 3), "33.3 %"),
        (lambda: share(1, 1_000_000), "< 0.1 %"),
        (lambda: share(999_999, 1_000_000), "> 99.9 %"),
        (lambda: share(None, 5), NOTHING),
        (lambda: share(0, 0), NOTHING),
        (lambda: number(1_234_567), "1,234,567"),
        (lambda: number(None), "not known"),
        (lambda: compact(1500), "1.5k"),
        (lambda: compact(2_000_000), "2M"),
        (lambda: compact(20), "20"),
        (lambda: step_name(1), "second"),
        (lambda: step_name(300), "5 minutes"),
        (lambda: step_name(1_209_600), "2 weeks"),
        (lambda: size(999), "999 bytes"),
        (lambda: size(43_500), "43.5 kB"),
        (lambda: duration("2026-11-21T08:00:00+00:00", "2026-11-21T10:00:05+00:00"), "2 h 5 s"),
        (lambda: duration("2026-11-21T08:00:00+00:00", "2026-11-21T08:00:00+00:00"), "under a second"),
        (lambda: duration("2026-11-21T08:00:00+00:00", None), "not known"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(call: Any, shown: str) -> None:
    assert call() == shown


# ---- bars ----------------------------------------------------------------------------------------------------------


def test_seconds_are_gathered_into_bars_that_begin_at_round_moments() -> None:
    found = timeline({"accepted": {1_000_000_007: 2, 1_000_000_130: 3}, "rejected": {1_000_000_008: 1}})

    assert found == Timeline(
        start="2001-09-09T01:46:45+00:00",
        step_s=5,
        series={"accepted": (2, *[0] * 23, 0, 3), "rejected": (1, *[0] * 25)},
    )


def test_nothing_that_happened_is_no_picture() -> None:
    assert timeline({"accepted": {}}) is None
    assert rolling(np.array([], dtype=np.int64)) is None
    assert busiest(np.array([], dtype=np.int64)) == 0


@given(st.integers(0, 2_000_000_000), st.integers(0, 500_000_000))
def test_there_are_never_more_bars_than_fit(first: int, length: int) -> None:
    step = step_s(first, first + length)

    assert (first + length) // step - first // step < 48


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_the_busiest_minute_is_the_fullest_window_of_sixty_seconds(seconds: list[int]) -> None:
    moments = np.array(sorted(seconds), dtype=np.int64) * 1_000_000
    expected = max(sum(start <= each < start + 60 for each in seconds) for start in seconds)
    ones = np.ones(len(moments), dtype=np.int64)
    over_time = rolling(moments)

    assert busiest(moments) == busiest(moments, ones) == expected
    assert busiest(moments, 7 * ones) == 7 * expected
    assert over_time is not None
    assert max(over_time.series["requests"]) == expected
