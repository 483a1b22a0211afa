"""The judgement over the first few messages: waits, goes on or stops, by what their receipts say."""

from collections.abc import Sequence

import pytest

from broadcaster.core.canary import IN_DOUBT, REJECTED, REROUTED_US, Probe, Verdict, judge, standing, why_halted
from broadcaster.core.receipts import DeliveryState

NOW_US = 1_764_580_000_000_000
GO, WAIT, HALT = Verdict.GO, Verdict.WAIT, Verdict.HALT


def probes(count: int, *, auto: bool = False) -> list[Probe]:
    return [Probe(message_id=f"m{at}", may_reroute=auto) for at in range(count)]


def told(words: Sequence[str], *, code: str | None = None, ago_us: int = 60_000_000) -> dict[str, DeliveryState]:
    """Say of the first messages what became of them, a word each."""
    return {
        f"m{at}": DeliveryState(
            status=word,
            channel="sms",
            reason=code if word in {"BLOCKED", "FAILED"} else None,
            updated_us=NOW_US - ago_us,
            final=False,
        )
        for at, word in enumerate(words)
    }


TABLE = [
    ("nothing known", 25, [], WAIT, HALT),
    ("all delivered", 25, ["DELIVERED"] * 25, GO, GO),
    ("all handed over", 25, ["SENT"] * 25, GO, GO),
    ("all read or delivered", 3, ["READ", "DELIVERED", "SENT"], GO, GO),
    ("all blocked", 25, ["BLOCKED"] * 25, HALT, HALT),
    ("all under way", 25, ["QUEUED", "ROUTED", "PROCESSED", "SCHEDULED", "ACCEPTED"] * 5, WAIT, HALT),
    ("one failed among many", 25, ["SENT"] * 24 + ["FAILED"], GO, GO),
    ("two failed among 25: not over a tenth", 25, ["SENT"] * 23 + ["FAILED"] * 2, GO, GO),
    ("three failed among 25", 25, ["SENT"] * 22 + ["FAILED"] * 3, HALT, HALT),
    ("two of ten", 10, ["SENT"] * 8 + ["FILTERED"] * 2, HALT, HALT),
    ("one of two: too few to say", 2, ["SENT", "FAILED"], GO, GO),
    ("the only one", 1, ["BLOCKED"], HALT, HALT),
    ("three are bad before the others are known", 25, ["BLOCKED"] * 3, HALT, HALT),
    ("two are bad before the others are known", 25, ["BLOCKED"] * 2, WAIT, HALT),
    ("half known to do well", 10, ["SENT"] * 5, WAIT, GO),
    ("fewer than half", 10, ["SENT"] * 4, WAIT, HALT),
    ("half well, one bad", 10, ["SENT"] * 5 + ["FAILED"], WAIT, GO),
    ("a word that nobody knows is open", 2, ["SENT", "WHATEVER"], WAIT, GO),
    ("called off", 2, ["CANCELLED", "CANCELLED"], HALT, HALT),
]


@pytest.mark.parametrize(
    ("count", "words", "before", "after"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_verdict_while_there_is_time_and_when_the_wait_is_over(
    count: int, words: list[str], before: Verdict, after: Verdict
) -> None:
    found = standing(probes(count), told(words), now_us=NOW_US)

    assert (judge(found, share=0.1, over=False), judge(found, share=0.1, over=True)) == (before, after)
    assert found.well + found.bad + found.shaky + found.open == found.sent == count


@pytest.mark.parametrize(
    ("auto", "ago_us", "expected"),
    [
        (True, REROUTED_US - 1, WAIT),
        (True, REROUTED_US, HALT),
        (False, 0, HALT),
    ],
    ids=["another route may be tried", "no other route came", "the channel was named"],
)
def test_a_failure_that_may_be_rerouted_is_waited_for(*, auto: bool, ago_us: int, expected: Verdict) -> None:
    states = told(["FAILED"] * 5 + ["SENT"] * 5, ago_us=ago_us)

    assert judge(standing(probes(10, auto=auto), states, now_us=NOW_US), share=0.1, over=False) is expected


def test_a_failure_that_may_be_rerouted_counts_when_the_wait_is_over() -> None:
    found = standing(probes(10, auto=True), told(["FAILED"] * 5 + ["SENT"] * 5, ago_us=0), now_us=NOW_US)

    assert (found.bad, found.shaky) == (0, 5)
    assert judge(found, share=0.1, over=True) is HALT


def test_what_the_api_refuses_is_bad_and_what_is_in_doubt_is_open() -> None:
    refused = [Probe(settled_as=REJECTED, code="VALIDATION_002")] * 3
    found = standing([*probes(7), *refused], told(["SENT"] * 7), now_us=NOW_US)
    assert judge(found, share=0.1, over=False) is HALT
    assert found.codes == {"VALIDATION_002": 3}

    found = standing([*probes(4), *[Probe(settled_as=IN_DOUBT)] * 6], told(["SENT"] * 4), now_us=NOW_US)
    assert (judge(found, share=0.1, over=False), judge(found, share=0.1, over=True)) == (WAIT, HALT)


def test_a_higher_share_lets_more_fail_but_never_all() -> None:
    half = standing(probes(10), told(["SENT"] * 5 + ["FAILED"] * 5), now_us=NOW_US)
    whole = standing(probes(10), told(["FAILED"] * 10), now_us=NOW_US)

    assert judge(half, share=0.5, over=False) is GO
    assert judge(half, share=0.49, over=False) is HALT
    assert judge(whole, share=1.0, over=False) is HALT


def test_the_standing_reads_as_people_say_it() -> None:
    states = told(["DELIVERED"] * 17 + ["SENT"] + ["FAILED"], code="DELIVERY_003")
    found = standing(probes(25), states, now_us=NOW_US)

    assert found.text == "25 sent, 17 delivered, 1 handed over, 1 failed, 6 open"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["BLOCKED"] * 4, "BUSINESS_003", "4 BUSINESS_003; the account's balance or quota is used up: top it up"),
        (["BLOCKED"] * 4, "BUSINESS_005", "4 BUSINESS_005; the template is not approved"),
        (["BLOCKED"] * 4, "BUSINESS_029", "4 BUSINESS_029; the number that it is sent from is not active"),
        (["BLOCKED"] * 4, None, "4 blocked; Sent holds them back"),
        (["FAILED"] * 4, "DELIVERY_003", "(why: 4 DELIVERY_003)"),
        (
            ["QUEUED"] * 4,
            None,
            "too little is known of the canary after 10 min: 4 sent, 4 open (asking the API did not",
        ),
    ],
)
def test_the_sentence_says_what_is_known_and_what_to_do(words: list[str], code: str | None, says: str) -> None:
    found = standing(probes(4), told(words, code=code), now_us=NOW_US)
    sentence = why_halted(found, share=0.1, waited="10 min", where="runs/x", asking="no answer")

    assert says in sentence
    assert "Nobody else was messaged" in sentence
    assert "'broadcaster resume runs/x'" in sentence
    assert "--skip-canary" in sentence
