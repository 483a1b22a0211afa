"""What a report says of runs whose every fact is known, from real plans, journals and receipts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.plans import (
    Settling,
    accepted,
    attempt,
    claim,
    divided,
    extend_plan,
    make_plan,
    message_id,
    people,
    phone,
    record,
    rejected,
)
from support.reports import figures_of, hear

from broadcaster.errors import Halted, StoppedEarly
from broadcaster.report.figures import Kind, Result, State
from broadcaster.report.promises import CHECKED_BY_VERIFY
from broadcaster.store.audit import Audit, audit
from broadcaster.store.plan import Plan

SMS: dict[str, Any] = {"message": {"channels": ["sms"]}}
BOTH: dict[str, Any] = {"message": {"channels": ["sms", "whatsapp"]}}


def six(directory: Path, settle: Callable[..., Settling] | None = None, tables: Any = None) -> Plan:
    """Return a plan of six people, two to a request, with every request settled."""
    plan = make_plan(directory, people(6), SMS if tables is None else tables, batch_size=2)
    if settle is not None:
        record(plan, *(settle(batch) for batch in plan.read_batches()))
    return plan


def mid(n: int, channel: str = "sms") -> str:
    return message_id(phone(n), channel)


def counts(outcomes: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in outcomes.items() if count}


def steps(figures: Any) -> dict[str, int | None]:
    return {step.name: step.count for step in figures.funnel}


# ---- what happened -------------------------------------------------------------------------------------------------


def test_a_plan_of_which_nothing_was_sent_says_so_and_counts_nothing_as_delivered(tmp_path: Path) -> None:
    figures = figures_of(six(tmp_path))

    assert (figures.state, figures.headline) == (State.PLANNED, "6 messages planned, and nothing was sent yet.")
    assert counts(figures.outcomes) == {"pending": 6}
    assert steps(figures) == {
        "On the list": 6, "Eligible": 6, "Accepted": 0, "Sent": 0, "Delivered": 0, "Read": 0,
    }  # fmt: skip
    assert (figures.sending, figures.told, figures.rate.over_time, figures.cost) == (None, None, None, None)
    assert figures.commands[0][0] == f"broadcaster resume {tmp_path / 'run'}"
    assert [command.split()[1] for command, _ in figures.commands] == ["resume", "verify"]


def test_one_accepted_message_without_a_receipt_is_not_known_to_have_arrived(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(1), SMS)
    record(plan, *(accepted(batch) for batch in plan.read_batches()))
    figures = figures_of(plan)

    assert figures.state is State.COMPLETE
    assert figures.headline == ("1 of 1 message accepted. No receipts yet, so that nobody knows how many arrived.")
    assert steps(figures) == {
        "On the list": 1, "Eligible": 1, "Accepted": 1, "Sent": None, "Delivered": None, "Read": None,
    }  # fmt: skip
    assert (figures.receipts.known, figures.receipts.messages, figures.receipts.of) == (False, 0, 1)
    assert [command.split()[1] for command, _ in figures.commands] == ["serve", "reconcile", "verify"]


def test_a_run_whose_every_message_was_rejected_has_nothing_to_wait_for(tmp_path: Path) -> None:
    figures = figures_of(six(tmp_path, rejected))

    assert (figures.state, figures.exit_code) == (State.COMPLETE, 3)
    assert figures.headline == "0 of 6 messages accepted, 6 rejected."
    assert steps(figures)["Delivered"] == 0
    assert [(each.kind, each.code, each.count) for each in figures.failures] == [(Kind.REJECTED, "BUSINESS_003", 6)]
    assert "retry-failed" in figures.failures[0].advice
    assert [command.split()[1] for command, _ in figures.commands] == ["retry-failed", "verify"]


def test_receipts_tell_what_became_of_what_was_accepted(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted)
    hear(
        plan,
        [
            (mid(0), "READ", {"at_s": 60}),
            (mid(1), "DELIVERED", {"at_s": 11}),
            (mid(2), "SENT", {"at_s": 11}),
            (mid(3), "FAILED", {"code": "DELIVERY_003", "at_s": 12}),
            (mid(4), "QUEUED", {}),
        ],
    )
    figures = figures_of(plan)

    assert counts(figures.outcomes) == {
        "read": 1, "delivered": 1, "sent": 1, "under_way": 1, "accepted": 1, "failed": 1,
    }  # fmt: skip
    assert steps(figures) == {
        "On the list": 6, "Eligible": 6, "Accepted": 6, "Sent": 3, "Delivered": 2, "Read": 1,
    }  # fmt: skip
    assert (figures.receipts.messages, figures.receipts.of) == (5, 6)
    assert figures.receipts.last == "2025-12-01T09:07:40+00:00"
    assert figures.headline.endswith("By 5 receipts, 2 delivered, 1 not.")
    assert [(each.kind, each.code, each.count) for each in figures.failures] == [
        (Kind.NOT_DELIVERED, "DELIVERY_003", 1)
    ]
    assert figures.told is not None
    assert {name: sum(values) for name, values in figures.told.series.items()} == {
        "read": 1, "delivered": 1, "sent": 1, "under way": 1, "not delivered": 1,
    }  # fmt: skip


def test_a_halted_run_says_what_stopped_it_and_how_to_go_on(tmp_path: Path) -> None:
    plan = six(tmp_path)
    one, two, _ = plan.read_batches()
    record(plan, accepted(one), rejected(two))
    because = Halted("2 of 4 were rejected, +14155550100 among them")
    figures = figures_of(plan, because=because)

    assert (figures.state, figures.exit_code, figures.stopped_by) == (State.HALTED, 5, "halted")
    assert figures.why == "2 of 4 were rejected, +1••••••••00 among them"
    assert figures.failures[0].kind is Kind.STOPPED
    assert [command.split()[1] for command, _ in figures.commands[:2]] == ["resume", "retry-failed"]


def test_a_run_that_somebody_stopped_is_not_finished(tmp_path: Path) -> None:
    plan = six(tmp_path)
    record(plan, accepted(next(plan.read_batches())))
    figures = figures_of(plan, because=StoppedEarly("stopped before everything was sent"))

    assert (figures.state, figures.exit_code) == (State.UNFINISHED, 75)
    assert figures.headline.startswith("2 of 6 messages accepted, 4 not sent yet.")


def test_a_run_that_somebody_works_on_only_points_to_its_state(tmp_path: Path) -> None:
    figures = figures_of(six(tmp_path, accepted), working=True)

    assert figures.state is State.SENDING
    assert [command.split()[1] for command, _ in figures.commands] == ["status"]


def test_doubt_is_named_with_the_time_until_which_asking_again_is_safe(tmp_path: Path) -> None:
    plan = six(tmp_path)
    one, two, three = plan.read_batches()
    missing = accepted(two, without=[(two.to[0], "sms")])
    record(plan, claim(one.id, at_s=5), attempt(one.id, at_s=5, http=None, code="lost"), missing, accepted(three))
    figures = figures_of(plan)

    assert counts(figures.outcomes) == {"in_doubt": 3, "accepted": 3}
    assert [(each.code, each.messages, each.since, each.protected_until) for each in figures.doubts] == [
        ("lost", 2, "2025-12-01T09:06:45+00:00", "2025-12-02T08:06:45+00:00"),  # 24 h and a twenty-fourth less
        ("missing_in_answer", 1, "2025-12-01T09:06:41+00:00", None),
    ]
    assert [command.split()[1] for command, _ in figures.commands[:3]] == ["resume", "reconcile", "resolve"]


# ---- by what -------------------------------------------------------------------------------------------------------


def test_messages_on_two_channels_are_counted_on_each(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted, BOTH)
    hear(plan, [(mid(0, "whatsapp"), "READ", {"channel": "whatsapp"})])
    figures = figures_of(plan)

    assert [(group.name, dict(group.outcomes)) for group in figures.channels] == [
        ("sms", {"accepted": 6}),
        ("whatsapp", {"read": 1, "accepted": 5}),
    ]
    assert steps(figures)["Planned"] == 12
    assert (figures.rows, figures.messages) == (6, 12)


def test_what_the_api_picked_stands_beside_auto_before_what_nobody_told(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted, {})
    hear(plan, [(mid(0, "auto"), "DELIVERED", {"channel": "SMS"}), (mid(1, "auto"), "SENT", {"channel": "whatsapp"})])

    assert [(group.name, group.total) for group in figures_of(plan).channels] == [
        ("auto → sms", 1),
        ("auto → whatsapp", 1),
        ("auto", 4),
    ]


def test_countries_are_counted_by_outcome_the_largest_first(tmp_path: Path) -> None:
    abroad = [f"+6125550{n:04}" for n in range(4)]
    rows = [*people(2), *({"id": f"a{at}", "mobile": number} for at, number in enumerate(abroad))]
    plan = make_plan(tmp_path, rows, SMS, batch_size=3)
    one, two = plan.read_batches()
    record(plan, accepted(one), rejected(two))

    assert [(group.name, dict(group.outcomes)) for group in figures_of(plan).countries] == [
        ("AU", {"accepted": 1, "rejected": 3}),
        ("US", {"accepted": 2}),
    ]


def test_whom_the_api_names_is_counted_under_its_code(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(4), SMS)
    record(plan, *(divided(batch, blamed=range(4)) for batch in plan.read_batches()))

    assert [(each.code, each.count) for each in figures_of(plan).failures] == [("VALIDATION_002", 4)]


# ---- exclusions ----------------------------------------------------------------------------------------------------


def test_excluded_rows_are_shown_by_line_with_their_cells_hidden(tmp_path: Path) -> None:
    rows = [
        *people(3),
        {"id": "x", "mobile": "Jane Doe"},
        {"id": "y", "mobile": "+1415555"},
        {"id": "z", "mobile": phone(1)},
    ]
    figures = figures_of(make_plan(tmp_path, rows, SMS))

    assert {each.reason: each.rows for each in figures.exclusions} == {"invalid_number": 2, "duplicate": 1}
    shown = {
        each.reason: [(row.file, row.line, row.shown, row.error) for row in each.examples]
        for each in figures.exclusions
    }
    assert shown["invalid_number"] == [
        ("list.csv", 5, "•••• •••", "it contains letters; write the number in digits"),
        ("list.csv", 6, "+•••••55", "it is too short: a short code, or without its area code"),
    ]
    assert shown["duplicate"] == [("list.csv", 7, "+1••••••••01", "the same number as line 3")]


def test_a_row_that_is_excluded_on_two_channels_is_one_example(tmp_path: Path) -> None:
    rows = [*people(1), *({"id": f"x{n}", "mobile": f"nobody {'x' * n}"} for n in range(5))]
    (exclusion,) = figures_of(make_plan(tmp_path, rows, BOTH)).exclusions

    assert exclusion.rows == 5
    assert [row.line for row in exclusion.examples] == [3, 4, 5]


def test_without_examples_nothing_is_said_of_any_single_row(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [*people(2), {"id": "x", "mobile": "Jane Doe"}], SMS, batch_size=1)
    record(plan, *(accepted(batch) for batch in plan.read_batches()))
    hear(plan, [(mid(0), "FAILED", {"reason": "Jane Doe was not at home"})])
    full, bare = figures_of(plan), figures_of(plan, examples=False)

    assert [each.code for each in full.failures if each.kind is Kind.NOT_DELIVERED] == ["Jane Doe was not at home"]
    assert [each.code for each in bare.failures if each.kind is Kind.NOT_DELIVERED] == ["others"]
    assert [(each.rows, each.examples) for each in bare.exclusions] == [(1, ())]


def test_rows_of_a_later_list_are_found_in_that_list(tmp_path: Path) -> None:
    make_plan(tmp_path, people(2), SMS)
    figures = figures_of(extend_plan(tmp_path, [*people(3), {"id": "x", "mobile": "nobody"}], SMS))

    assert [(row.line, row.error) for row in figures.exclusions[0].examples] == [
        (5, "it contains letters; write the number in digits")
    ]
    assert [each.part for each in figures.lists] == [0, 1]


# ---- rate, cost, promises, story -----------------------------------------------------------------------------------


def test_every_request_counts_on_the_rate_also_those_that_settled_nothing(tmp_path: Path) -> None:
    plan = six(tmp_path)
    one, two, three = plan.read_batches()
    record(
        plan,
        attempt(one.id, 1, at_s=0, http=429, code="BUSINESS_002"),
        attempt(one.id, 2, at_s=0, http=None, code="unsent"),  # nothing left
        accepted(one),
        accepted(two),
        rejected(three),
    )
    rate = figures_of(plan).rate

    assert (rate.requests, rate.refused, rate.busiest, rate.limit) == (4, 1, 4, 200)
    assert rate.messages_limit is None


def test_a_limit_of_messages_is_measured_in_messages(tmp_path: Path) -> None:
    limits = {"messages_per_minute": 300, "requests_per_minute": 0}
    rate = figures_of(six(tmp_path, accepted, {**SMS, "limits": limits})).rate

    assert (rate.limit, rate.messages_limit, rate.busiest_messages) == (0, 300, 6)


def test_prices_are_added_up_exactly_by_channel_and_country(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted, BOTH)
    prices = [(mid(n), "DELIVERED", {"price": "0.0079"}) for n in range(6)]
    prices += [(mid(n, "whatsapp"), "SENT", {"price": "0.025", "channel": "whatsapp"}) for n in range(2)]
    hear(plan, [*prices, (mid(2, "whatsapp"), "SENT", {"price": "a lot"}), ("somebody-else", "SENT", {"price": "9"})])
    cost = figures_of(plan).cost

    assert cost is not None
    assert (cost.total, cost.messages, cost.unpriced) == ("0.0974", 8, 4)
    assert [(each.name, each.messages, each.cost) for each in cost.channels] == [
        ("whatsapp", 2, "0.0500"),
        ("sms", 6, "0.0474"),
    ]
    assert [(each.name, each.messages, each.cost) for each in cost.countries] == [("US", 8, "0.0974")]


def test_receipts_without_prices_cost_nothing_known(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted)
    hear(plan, [(mid(0), "DELIVERED", {})])

    assert figures_of(plan).cost is None


def test_promises_are_kept_only_where_somebody_looked(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted)
    unseen = figures_of(plan).promises
    seen = figures_of(plan, audit=audit(plan)).promises

    assert [each.result for each in unseen] == [Result.KEPT] * 2 + [Result.NOT_CHECKED] * 5
    assert unseen[2].how == f"run broadcaster verify {plan.run_dir.path}"
    assert {each.result for each in seen} == {Result.KEPT}
    assert [each.what for each in seen] == [each.what for each in unseen]
    assert figures_of(plan, audit=audit(plan)).commands[-1][0].split()[1] != "verify"


def test_a_message_id_that_stands_twice_is_a_broken_promise(tmp_path: Path) -> None:
    plan = six(tmp_path)
    same = {phone(n): "the same" for n in range(6)}
    record(plan, *(accepted(batch, ids={batch.to[0]: same[batch.to[0]]}) for batch in plan.read_batches()))
    broken = [each for each in figures_of(plan).promises if each.result is Result.BROKEN]

    assert [each.what for each in broken] == ["No message id stands for two deliveries"]
    assert broken[0].how.startswith("2 of them do")


def test_a_difference_that_verify_finds_is_told_and_what_comes_after_it_is_not_called_kept(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted)
    found = Audit(checked=CHECKED_BY_VERIFY[:1], difference="batch 1 repeats a row")
    promises = figures_of(plan, audit=found).promises

    assert [each.result for each in promises] == [Result.KEPT] * 3 + [Result.BROKEN] + [Result.NOT_CHECKED] * 3
    assert promises[3].how == found.difference


def test_the_story_names_message_lists_and_launches_but_no_path(tmp_path: Path) -> None:
    plan = six(tmp_path, accepted)
    figures = figures_of(plan)
    facts = dict(figures.facts)

    assert facts["Campaign"] == "spring-sale"
    assert facts["Channels asked for"] == "sms"
    assert facts["Limit of requests per minute"] == "200"
    assert [(each.name, len(each.sha256)) for each in figures.lists] == [("list.csv", 64)]
    assert [(each.version, each.ending) for each in figures.launches] == [("test", "done")]


@pytest.mark.parametrize("word", ["FAILED", "Blocked", "filtered", "cancelled"])
def test_a_message_that_did_not_arrive_without_a_reason_is_counted_under_its_status(tmp_path: Path, word: str) -> None:
    plan = six(tmp_path, accepted)
    hear(plan, [(mid(0), word, {})])
    (failure,) = figures_of(plan).failures

    assert (failure.kind, failure.code, failure.count) == (Kind.NOT_DELIVERED, word.lower(), 1)
    assert failure.advice
