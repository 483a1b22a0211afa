"""One batch from its first attempt to its outcome: what the journal gets, what is told, and why the run stops."""

from dataclasses import dataclass, field, replace

import pytest
from support.answers import Answer, accepts, lost, refuses, says, unsent
from support.doubles import SECOND, T0, CountingBudget, FreeBudget
from support.engine import DAY_S, HOUR_S, MESSAGE, TERMS, Bench, make_batch

from broadcaster.core.lifecycle import BatchState
from broadcaster.core.retry import RetryPolicy
from broadcaster.core.values import Batch, Claim
from broadcaster.core.words import Channel, Executed, On5xx, Repeat
from broadcaster.engine.record import EARLIER_LAUNCH
from broadcaster.engine.work import Task
from broadcaster.errors import (
    AccountRefused,
    BalanceExhausted,
    BroadcasterError,
    ContractBroken,
    Halted,
    RequestRefused,
    StoreDamaged,
    StoreError,
    TemplateUnusable,
    Unreachable,
)

OTHER = "+442079460123"  # a number reserved for fiction that is on no list of ours
UNREADABLE = says(202, b'{"success": true, "data"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the API says, and what follows for a batch of three. ``facts`` are the journal's, in order."""

    says: tuple[Answer, ...]
    facts: tuple[str, ...]
    told: dict[str, int] = field(default_factory=dict)
    stops: type[BroadcasterError] | None = None


ACCEPTED = {"accepted": 3}
DOUBT = {"in_doubt": 3}
TABLE: dict[str, Row] = {
    "a yes": Row(says=(accepts(),), facts=("claim 0", "settle 0: accepted"), told=ACCEPTED),
    "no byte left, then a yes: the claim is renewed": Row(
        says=(unsent, accepts()),
        facts=("claim 0", "note 0: unsent, executed no", "claim 0", "settle 0: accepted"),
        told=ACCEPTED,
    ),
    "the answer is lost, then comes out of the API's memory: the claim stands": Row(
        says=(lost, accepts(replayed="req-0")),
        facts=("claim 0", "note 0: lost, executed unknown", "settle 0: accepted"),
        told=ACCEPTED,
    ),
    "a yes that cannot be read, then a yes": Row(
        says=(UNREADABLE, accepts()),
        facts=("claim 0", "note 0: unreadable, executed unknown", "settle 0: accepted"),
        told=ACCEPTED,
    ),
    "a replay of a key that this journal never sent": Row(
        says=(accepts(replayed="req-0"),),
        facts=("claim 0", "settle 0: accepted"),
        told={"accepted": 3, "earlier_launch": 3},
    ),
    "a yes about somebody else": Row(
        says=(accepts(instead={0: OTHER, 1: OTHER}),),
        facts=("claim 0", "note 0: foreign, executed yes"),
        told=DOUBT,
        stops=ContractBroken,
    ),
    "a yes without an entry for one": Row(
        says=(accepts(without=[1]),),
        facts=("claim 0", "settle 0: accepted"),
        told={"accepted": 2, "in_doubt": 1},
    ),
    "a yes with one number written in another way": Row(
        says=(accepts(instead={2: OTHER}),), facts=("claim 0", "settle 0: accepted"), told=ACCEPTED
    ),
    "409 CONFLICT_001: the original is in flight": Row(
        says=(refuses(409, "CONFLICT_001"), accepts()),
        facts=("claim 0", "note 0: CONFLICT_001, executed unknown", "settle 0: accepted"),
        told=ACCEPTED,
    ),
    "409 CONFLICT_005: the key belongs to another body": Row(
        says=(refuses(409, "CONFLICT_005"),),
        facts=("claim 0", "note 0: CONFLICT_005, executed no", "release 0"),
        stops=ContractBroken,
    ),
    "409 that nobody documents": Row(
        says=(refuses(409),),
        facts=("claim 0", "note 0: http_409, executed unknown"),
        told=DOUBT,
        stops=RequestRefused,
    ),
    "422 without a word: the key belongs to another body": Row(
        says=(refuses(422),),
        facts=("claim 0", "note 0: http_422, executed no", "release 0"),
        stops=ContractBroken,
    ),
    "400 that names one: the others go on as a batch of their own": Row(
        says=(refuses(400, "VALIDATION_002", to=[1]), accepts()),
        facts=("claim 0", "settle 0: split, 1 blamed, 2 to -1", "claim -1", "settle -1: accepted"),
        told={"accepted": 2, "rejected": 1},
    ),
    "400 that names all": Row(
        says=(refuses(400, "VALIDATION_002", to=[0, 1, 2]),),
        facts=("claim 0", "settle 0: split, 3 blamed"),
        told={"rejected": 3},
    ),
    "400 that names nobody: halves, until it is found": Row(
        says=(
            refuses(400, "VALIDATION_002"),
            refuses(400, "VALIDATION_002"),
            accepts(),
            accepts(),
            refuses(400, "VALIDATION_002"),
        ),
        facts=(
            "claim 0",
            "settle 0: split, 2 to -1, 1 to -2",
            "claim -1",
            "settle -1: split, 1 to -3, 1 to -4",
            "claim -2",
            "settle -2: accepted",
            "claim -3",
            "settle -3: accepted",
            "claim -4",
            "settle -4: split, 1 blamed",
        ),
        told={"accepted": 2, "rejected": 1},
    ),
    "400 about the parameters that all share": Row(
        says=(refuses(400, "VALIDATION_008"),), facts=("claim 0", "settle 0: rejected"), told={"rejected": 3}
    ),
    "400 about the request as such": Row(
        says=(refuses(400, "VALIDATION_004"),),
        facts=("claim 0", "note 0: VALIDATION_004, executed no", "release 0"),
        stops=RequestRefused,
    ),
    "400 that names one, after a lost answer: never split": Row(
        says=(lost, refuses(400, "VALIDATION_002", to=[1])),
        facts=("claim 0", "note 0: lost, executed unknown", "note 0: VALIDATION_002, executed unknown"),
        told=DOUBT,
    ),
    "400 about the parameters, after a lost answer: never rejected": Row(
        says=(lost, refuses(400, "VALIDATION_008")),
        facts=("claim 0", "note 0: lost, executed unknown", "note 0: VALIDATION_008, executed unknown"),
        told=DOUBT,
    ),
    "401": Row(
        says=(refuses(401, "AUTH_001"),),
        facts=("claim 0", "note 0: AUTH_001, executed no", "release 0"),
        stops=AccountRefused,
    ),
    "403": Row(
        says=(refuses(403),), facts=("claim 0", "note 0: http_403, executed no", "release 0"), stops=AccountRefused
    ),
    "401, after a lost answer: the claim stays": Row(
        says=(lost, refuses(401)),
        facts=("claim 0", "note 0: lost, executed unknown", "note 0: http_401, executed unknown"),
        told=DOUBT,
        stops=AccountRefused,
    ),
    "401, after attempts that created nothing": Row(
        says=(unsent, refuses(503, "SERVICE_001"), refuses(401)),
        facts=(
            "claim 0",
            "note 0: unsent, executed no",
            "claim 0",
            "note 0: SERVICE_001, executed no",
            "claim 0",
            "note 0: http_401, executed no",
            "release 0",
        ),
        stops=AccountRefused,
    ),
    "402": Row(
        says=(refuses(402, "BUSINESS_003"),),
        facts=("claim 0", "note 0: BUSINESS_003, executed no", "release 0"),
        stops=BalanceExhausted,
    ),
    "404 for the template": Row(
        says=(refuses(404, "RESOURCE_002"),),
        facts=("claim 0", "note 0: RESOURCE_002, executed no", "release 0"),
        stops=TemplateUnusable,
    ),
    "302": Row(
        says=(refuses(302),), facts=("claim 0", "note 0: http_302, executed no", "release 0"), stops=RequestRefused
    ),
    "429: slower": Row(
        says=(refuses(429, "BUSINESS_002", retry_after_s=7), accepts()),
        facts=("claim 0", "note 0: BUSINESS_002, executed no", "claim 0", "settle 0: accepted"),
        told=ACCEPTED,
    ),
    "429, after a lost answer: the claim stands, and is not renewed": Row(
        says=(lost, refuses(429, "BUSINESS_002"), accepts()),
        facts=(
            "claim 0",
            "note 0: lost, executed unknown",
            "note 0: BUSINESS_002, executed no",
            "settle 0: accepted",
        ),
        told=ACCEPTED,
    ),
    "429 LIMIT_001: no more can be held": Row(
        says=(refuses(429, "LIMIT_001"),),
        facts=("claim 0", "note 0: LIMIT_001, executed no", "release 0"),
        stops=Halted,
    ),
    **{
        f"{status}: same key again": Row(
            says=(refuses(status), accepts()),
            facts=("claim 0", f"note 0: http_{status}, executed unknown", "settle 0: accepted"),
            told=ACCEPTED,
        )
        for status in (408, 500, 502, 503, 504)
    },
    "503 SERVICE_001: nothing was done": Row(
        says=(refuses(503, "SERVICE_001"), accepts()),
        facts=("claim 0", "note 0: SERVICE_001, executed no", "claim 0", "settle 0: accepted"),
        told=ACCEPTED,
    ),
    "503 SERVICE_001, after a lost answer: the first one is as unknown as before": Row(
        says=(lost, refuses(503, "SERVICE_001"), unsent, accepts()),
        facts=(
            "claim 0",
            "note 0: lost, executed unknown",
            "note 0: SERVICE_001, executed no",
            "note 0: unsent, executed no",
            "settle 0: accepted",
        ),
        told=ACCEPTED,
    ),
    "nothing done twice, then lost: the last claim stands": Row(
        says=(unsent, unsent, lost, accepts()),
        facts=(
            "claim 0",
            "note 0: unsent, executed no",
            "claim 0",
            "note 0: unsent, executed no",
            "claim 0",
            "note 0: lost, executed unknown",
            "settle 0: accepted",
        ),
        told=ACCEPTED,
    ),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
async def test_the_journal_gets_what_the_answers_mean(row: Row) -> None:
    bench = Bench()
    bench.answer(*row.says)

    await bench.run(make_batch(0, size=3))

    assert tuple(bench.journal.lines) == row.facts
    assert bench.heard.counts == row.told
    assert type(bench.stop.because) is (row.stops or type(None))


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
async def test_no_request_is_without_a_claim_and_every_repeat_is_the_same_to_the_byte(row: Row) -> None:
    bench = Bench()
    bench.answer(*row.says)

    await bench.run(make_batch(0, size=3))

    bodies: dict[str, bytes] = {}
    assert len(bench.send.seen) == len(row.says)
    for request in bench.send.seen:
        assert request.claimed - request.settled
        assert bodies.setdefault(request.key, request.body) == request.body


# ---- claims ---------------------------------------------------------------------------------------------------------


async def test_a_claim_that_is_renewed_is_as_young_as_its_attempt() -> None:
    bench = Bench(terms=replace(TERMS, retry=RetryPolicy(initial_s=600, ceiling_s=600)))
    bench.answer(unsent, unsent, lost, lost)

    await bench.run(make_batch(0))

    assert bench.journal.claims[0].since.wall_us == T0 + 1200 * SECOND


async def test_a_claim_remembers_the_apis_own_time() -> None:
    bench = Bench()

    await bench.run(make_batch(0), server_us=T0 - 7 * SECOND)

    assert bench.journal.claims[0].server_us == T0 - 7 * SECOND


async def test_a_later_claim_has_the_time_that_the_api_told_last() -> None:
    bench = Bench(terms=replace(TERMS, retry=RetryPolicy(initial_s=60, ceiling_s=60)))
    bench.answer(refuses(503, "SERVICE_001"), accepts(), accepts())

    await bench.run(make_batch(0), make_batch(1), server_us=1)

    assert bench.journal.claims[1].server_us == T0 + 60 * SECOND


async def test_bytes_that_do_not_fit_the_key_are_found_before_anything_is_claimed() -> None:
    bench = Bench()

    with pytest.raises(StoreDamaged, match="batch 0 does not encode"):
        await bench.run(replace(make_batch(0), key=make_batch(1).key))

    assert (bench.journal.lines, bench.send.seen) == ([], [])


async def test_an_attempt_that_cannot_be_written_down_is_the_last() -> None:
    bench = Bench()
    bench.journal.fail_at = 1
    bench.answer(unsent, accepts())

    with pytest.raises(StoreError, match="no space"):
        await bench.run(make_batch(0))

    assert len(bench.send.seen) == 1


# ---- what an earlier process left -----------------------------------------------------------------------------------


def claimed(bench: Bench, batch: Batch, *, age_s: float = 60, attempts: int = 1) -> Task:
    """A batch that an earlier process claimed so long ago; the journal holds the claim."""
    claim = Claim(batch=batch.id, since=bench.clock.now, server_us=bench.clock.wall_us)
    bench.journal.claims[batch.id] = claim
    bench.clock.step(age_s)
    return Task(batch=batch, claim=claim, attempts=attempts)


async def test_a_batch_in_doubt_is_repeated_under_its_old_claim() -> None:
    bench = Bench()
    task = claimed(bench, make_batch(0))
    bench.answer(accepts(replayed="req-0"))

    await bench.run(task)

    assert bench.journal.lines == ["settle 0: accepted"]
    assert bench.journal.claims[0] == task.claim
    assert bench.heard.counts == {"accepted": 2}


async def test_what_is_settled_after_a_restart_counts_all_attempts_and_the_first_one_is_the_claims() -> None:
    bench = Bench()
    task = claimed(bench, make_batch(0), attempts=3)

    await bench.run(task)

    outcome = bench.journal.outcomes[0]
    assert (outcome.attempts, outcome.first_us, outcome.settled_us) == (4, T0, T0 + 60 * SECOND)


@pytest.mark.parametrize("repeat", [Repeat.KEYED, Repeat.NATURAL, Repeat.NEVER])
async def test_outside_the_window_only_what_is_harmless_twice_goes_again(repeat: Repeat) -> None:
    bench = Bench(terms=replace(TERMS, operation=replace(TERMS.operation, repeat=repeat)))
    task = claimed(bench, make_batch(0), age_s=23 * HOUR_S)

    await bench.run(task)

    goes = repeat is Repeat.NATURAL
    assert len(bench.send.seen) == goes
    assert bench.journal.state(0) is (BatchState.ACCEPTED if goes else BatchState.IN_DOUBT)
    assert bench.heard.counts == ({"accepted": 2} if goes else {"in_doubt": 2})


@pytest.mark.parametrize(
    ("age_s", "sent"), [(23 * HOUR_S - 1, 1), (23 * HOUR_S, 0)], ids=["a second before the margin", "at the margin"]
)
async def test_the_window_ends_one_margin_early(age_s: float, sent: int) -> None:
    bench = Bench()
    task = claimed(bench, make_batch(0), age_s=age_s)

    await bench.run(task)

    assert len(bench.send.seen) == sent


async def test_a_wall_clock_set_back_after_a_restart_of_the_machine_does_not_make_a_claim_younger() -> None:
    bench = Bench()
    task = claimed(bench, make_batch(0), age_s=25 * HOUR_S)
    bench.clock.restart("boot-2")
    server_us = bench.clock.wall_us
    bench.clock.set_wall(-20 * HOUR_S)

    await bench.run(task, server_us=server_us)

    assert (bench.send.seen, bench.journal.state(0)) == ([], BatchState.IN_DOUBT)


@pytest.mark.parametrize(
    "refusal",
    [
        refuses(400, "VALIDATION_002", to=[0]),
        refuses(400, "VALIDATION_008"),
        refuses(401),
        refuses(404, "RESOURCE_002"),
        refuses(409, "CONFLICT_005"),
        refuses(422),
        refuses(429, "LIMIT_001"),
        refuses(302),
    ],
    ids=["400 naming one", "400 parameters", "401", "404", "CONFLICT_005", "422", "LIMIT_001", "302"],
)
async def test_no_refusal_ends_the_doubt_of_an_earlier_process(refusal: Answer) -> None:
    bench = Bench()
    task = claimed(bench, make_batch(0))
    bench.answer(refusal)

    await bench.run(task)

    assert bench.journal.state(0) is BatchState.IN_DOUBT
    assert bench.journal.claims[0] == task.claim
    assert not bench.journal.children
    assert bench.heard.counts == {"in_doubt": 2}


# ---- the window while the run lasts ---------------------------------------------------------------------------------


async def test_a_batch_is_held_when_its_window_passes_between_two_attempts() -> None:
    bench = Bench(
        terms=replace(TERMS, retry=RetryPolicy(initial_s=HOUR_S, ceiling_s=HOUR_S), give_up_after_s=10 * DAY_S)
    )
    bench.answer(*[lost] * 100)

    await bench.run(make_batch(0))

    assert len(bench.send.seen) == 23
    assert max(request.at_s for request in bench.send.seen) < 23 * HOUR_S
    assert bench.journal.state(0) is BatchState.IN_DOUBT
    assert bench.heard.counts == {"in_doubt": 2}
    assert bench.stop.because is None


async def test_a_batch_whose_window_passes_while_it_waits_for_its_turn_is_not_sent() -> None:
    """The pace may hold a turn back for longer than the margin: what was allowed before the wait is not any more."""
    budget = CountingBudget(turns=1)
    bench = Bench(budget=budget)
    bench.answer(lost)

    async def meanwhile() -> None:
        await budget.asked()
        bench.clock.step(DAY_S)
        await budget.give()

    await bench.run_beside(meanwhile(), make_batch(0))

    assert len(bench.send.seen) == 1
    assert bench.journal.state(0) is BatchState.IN_DOUBT
    assert bench.heard.counts == {"in_doubt": 2}


async def test_a_first_attempt_may_wait_for_its_turn_for_ever() -> None:
    budget = CountingBudget()
    bench = Bench(budget=budget)

    async def meanwhile() -> None:
        await budget.asked()
        bench.clock.step(30 * DAY_S)
        await budget.give()

    await bench.run_beside(meanwhile(), make_batch(0))

    assert bench.journal.claims[0].since.wall_us == T0 + int(30 * DAY_S) * SECOND
    assert bench.journal.state(0) is BatchState.ACCEPTED


# ---- waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (refuses(429, "BUSINESS_002", retry_after_s=90), 90.0),
        (refuses(409, "CONFLICT_001"), 5.0),
        (refuses(503, retry_after_s=12), 12.0),
        (lost, 0.5),
    ],
    ids=["429 that says how long", "409 in flight", "503 that says how long", "a lost answer"],
)
async def test_the_wait_is_what_the_api_says_or_else_the_policys(answer: Answer, wait_s: float) -> None:
    bench = Bench()
    bench.answer(answer)

    await bench.run(make_batch(0))

    assert [each.wait_s for each in bench.heard.waits] == [wait_s]
    assert bench.send.seen[1].at_s == wait_s


async def test_waits_grow_from_failure_to_failure() -> None:
    bench = Bench()
    bench.answer(*[lost] * 9)

    await bench.run(make_batch(0))

    assert [each.wait_s for each in bench.heard.waits] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_the_limit_hears_of_429_only() -> None:
    budget = FreeBudget()
    bench = Bench(budget=budget)
    bench.answer(lost, refuses(503), refuses(429, "BUSINESS_002", retry_after_s=3), accepts())

    await bench.run(make_batch(0))

    assert [(each.code, each.retry_after_s) for each in budget.heard] == [("BUSINESS_002", 3.0)]


# ---- giving up ------------------------------------------------------------------------------------------------------


async def test_half_an_hour_without_an_answer_ends_the_run_and_leaves_doubt_where_there_is_doubt() -> None:
    bench = Bench()
    bench.answer(*[lost] * 1000)

    await bench.run(make_batch(0), make_batch(1))

    assert type(bench.stop.because) is Unreachable
    assert str(bench.stop.because) == "the API has not answered for 30 minutes"
    assert bench.clock.monotonic() == pytest.approx(1800, abs=30)
    assert bench.send.seen[-1].at_s == pytest.approx(1800, abs=60)  # one request a minute, when it has failed for long
    assert bench.journal.states([0, 1]) == {0: BatchState.IN_DOUBT, 1: BatchState.PENDING}
    assert bench.heard.counts == {"in_doubt": 2}


async def test_half_an_hour_without_a_connection_leaves_nothing_in_doubt() -> None:
    bench = Bench()
    bench.answer(*[unsent] * 1000)

    await bench.run(make_batch(0), make_batch(1))

    assert type(bench.stop.because) is Unreachable
    assert bench.journal.claims == {}
    assert bench.journal.lines[-1] == "release 0"
    assert bench.heard.counts == {}


async def test_an_error_of_the_server_is_no_answer_but_a_refusal_is() -> None:
    bench = Bench(terms=replace(TERMS, retry=RetryPolicy(initial_s=1000, ceiling_s=1000)))
    bench.answer(refuses(500), refuses(429, retry_after_s=1000), refuses(500), refuses(500), refuses(500))

    await bench.run(make_batch(0))

    assert type(bench.stop.because) is Unreachable
    assert [request.at_s for request in bench.send.seen] == [0, 1000, 2000, 3000, 4000]


async def test_a_long_wait_for_a_turn_is_not_silence_of_the_api() -> None:
    """Who waits for a pause or for a slow limit asks nothing: the first lost answer after it begins the half hour."""
    budget = CountingBudget()
    bench = Bench(budget=budget)
    bench.answer(lost, accepts())

    async def meanwhile() -> None:
        await budget.asked()
        bench.clock.step(HOUR_S)
        await budget.give(2)

    await bench.run_beside(meanwhile(), make_batch(0))

    assert bench.stop.because is None
    assert bench.journal.state(0) is BatchState.ACCEPTED


# ---- outcomes -------------------------------------------------------------------------------------------------------


async def test_an_accepting_answer_is_kept_as_received_with_all_that_is_known() -> None:
    bench = Bench()
    bench.answer(unsent, accepts(without=[0]))
    batch = make_batch(0)

    await bench.run(batch)

    outcome = bench.journal.outcomes[0]
    assert outcome.answer is not None
    assert batch.to[1].encode() in outcome.answer
    assert (outcome.attempts, outcome.http, outcome.code, outcome.missing) == (2, 202, "partial", 1)
    assert (outcome.request_id, outcome.replayed) == ("req-1", "")
    assert (outcome.first_us, outcome.settled_us) == (T0, T0 + SECOND // 2)


@pytest.mark.parametrize(
    ("script", "code"),
    [((accepts(replayed="req-9"),), EARLIER_LAUNCH), ((lost, accepts(replayed="req-9")), "")],
    ids=["never sent", "sent, and lost"],
)
async def test_a_replay_is_an_earlier_launch_only_when_this_journal_never_sent_the_key(
    script: tuple[Answer, ...], code: str
) -> None:
    bench = Bench()
    bench.answer(*script)

    await bench.run(make_batch(0))

    assert (bench.journal.outcomes[0].replayed, bench.journal.outcomes[0].code) == ("req-9", code)


async def test_a_contradicting_answer_is_kept_with_its_attempt() -> None:
    bench = Bench()
    bench.answer(accepts(instead={0: OTHER, 1: OTHER}))

    await bench.run(make_batch(0, size=3))

    (attempt,) = bench.journal.attempts
    assert (attempt.n, attempt.http, attempt.executed, attempt.request_id) == (1, 202, Executed.YES, "req-1")
    assert attempt.body is not None
    assert OTHER.encode() in attempt.body
    assert bench.journal.state(0) is BatchState.IN_DOUBT


async def test_rejected_deliveries_are_counted_on_every_channel() -> None:
    bench = Bench()
    bench.answer(refuses(400, "VALIDATION_002", to=[0]))

    await bench.run(make_batch(0, channels=(Channel.SMS, Channel.WHATSAPP)))

    assert bench.heard.counts == {"accepted": 2, "rejected": 2}


async def test_a_server_error_is_held_when_the_user_says_so() -> None:
    bench = Bench(terms=replace(TERMS, on_5xx=On5xx.HOLD))
    bench.answer(refuses(500))

    await bench.run(make_batch(0), make_batch(1))

    assert bench.journal.states([0, 1]) == {0: BatchState.IN_DOUBT, 1: BatchState.ACCEPTED}
    assert bench.heard.counts == {"accepted": 2, "in_doubt": 2}


async def test_without_a_key_a_lost_answer_is_never_asked_for_again() -> None:
    bench = Bench(terms=replace(TERMS, operation=replace(TERMS.operation, repeat=Repeat.NEVER)))
    bench.answer(unsent, lost)

    await bench.run(make_batch(0))

    assert len(bench.send.seen) == 2
    assert bench.journal.state(0) is BatchState.IN_DOUBT


# ---- splits ---------------------------------------------------------------------------------------------------------


async def test_a_child_is_the_rest_of_its_parent_under_the_key_of_its_own_bytes() -> None:
    bench = Bench()
    bench.answer(refuses(400, "VALIDATION_002", to=[0, 2]))
    parent = make_batch(0, size=4)

    await bench.run(parent)

    child = bench.journal.children[-1]
    rest = replace(parent, id=-1, to=(parent.to[1], parent.to[3]), parent=0)
    assert (child.parent, child.positions, child.cause) == (0, (1, 3), "VALIDATION_002")
    assert bench.send.seen[1].body == TERMS.operation.encode(MESSAGE, rest)
    assert bench.send.seen[1].key == child.key != parent.key
    assert [(each.position, each.code) for each in bench.journal.blames] == [
        (0, "VALIDATION_002"),
        (2, "VALIDATION_002"),
    ]


async def test_children_are_in_the_journal_before_they_are_claimed() -> None:
    bench = Bench()
    bench.answer(refuses(400, "VALIDATION_002"), accepts(), accepts())

    await bench.run(make_batch(0))

    assert [sorted(request.settled) for request in bench.send.seen] == [[], [0], [-1, 0]]


async def test_looking_for_an_unnamed_recipient_costs_no_more_requests_than_agreed() -> None:
    bench = Bench(terms=replace(TERMS, bisections=2))
    bench.answer(*[refuses(400, "VALIDATION_002")] * 3)

    await bench.run(make_batch(0, size=8))

    assert len(bench.send.seen) == 3
    assert bench.heard.counts == {"rejected": 8}


async def test_splits_of_named_recipients_cost_nothing_of_that() -> None:
    bench = Bench(terms=replace(TERMS, bisections=2))
    bench.answer(
        refuses(400, "VALIDATION_002", to=[0]), refuses(400, "VALIDATION_002", to=[0]), refuses(400, "VALIDATION_002")
    )

    await bench.run(make_batch(0, size=4))

    assert bench.heard.counts == {"accepted": 2, "rejected": 2}
