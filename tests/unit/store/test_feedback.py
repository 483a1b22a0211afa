"""What receipts say of a launch while it sends: only of its own messages, by their last word, whoever came first."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from support.plans import T0, accepted, child_of, claim, divided, make_plan, message_id, people, phone, record
from support.receipts import hear, tell, word

from broadcaster.core.remedy import Cause
from broadcaster.errors import StoreError
from broadcaster.operations import OPERATIONS
from broadcaster.store.feedback import Feedback, Told, states_of
from broadcaster.store.plan import Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Twelve people, three to a request; nothing is sent yet."""
    return make_plan(tmp_path, people(12), {"message": {"channels": ["sms"]}}, batch_size=3)


def of(plan: Plan) -> Feedback:
    return Feedback(plan.run_dir, OPERATIONS[plan.head.operation])


def accept(plan: Plan, *numbers: int) -> list[int]:
    for batch in plan.fetch(numbers).values():
        record(plan, claim(batch.id), accepted(batch))
    return list(numbers)


def say(path: Path, rows: Iterable[int], text: str) -> None:
    tell(path, {message_id(phone(row), "sms"): text for row in rows})


def told(found: Told | None) -> tuple[int, dict[Cause, int]] | None:
    return None if found is None else (found.told, dict(found.causes))


def test_nothing_is_said_before_anybody_says_anything(plan: Plan) -> None:
    feedback = of(plan)

    assert feedback.look(accept(plan, 0, 1)) is None
    assert feedback.look([]) is None


def test_the_messages_of_the_run_are_counted_by_what_stands_in_their_way(plan: Plan) -> None:
    feedback = of(plan)
    numbers = accept(plan, 0, 1, 2)
    say(plan.run_dir.receipts, range(4), "BLOCKED BUSINESS_003")
    say(plan.run_dir.receipts, [4], "FAILED")
    say(plan.run_dir.receipts, [5, 6], "SENT")
    tell(plan.run_dir.receipts, {"somebody-else": "BLOCKED"})

    assert told(feedback.look(numbers)) == (7, {Cause.MONEY: 4, Cause.DELIVERY: 1})
    assert feedback.told().undelivered == 5
    assert feedback.look([]) is None


@pytest.mark.parametrize("where", ["own", "above", "both"])
def test_either_file_is_heard_and_a_message_in_both_counts_once(plan: Plan, where: str) -> None:
    feedback = of(plan)
    numbers = accept(plan, 0)
    above = plan.run_dir.path.parent / "receipts.sqlite"
    for path in {"own": [plan.run_dir.receipts], "above": [above], "both": [plan.run_dir.receipts, above]}[where]:
        say(path, range(3), "BLOCKED")

    assert told(feedback.look(numbers)) == (3, {Cause.ACCOUNT: 3})


def test_two_files_that_disagree_are_folded(plan: Plan) -> None:
    feedback = of(plan)
    numbers = accept(plan, 0)
    say(plan.run_dir.receipts, range(3), "DELIVERED")
    feedback.look(numbers)
    say(plan.run_dir.path.parent / "receipts.sqlite", range(3), "FAILED")

    assert told(feedback.look([])) == (3, {})


def test_a_receipt_that_comes_before_its_message_is_known_counts_as_soon_as_it_is(plan: Plan) -> None:
    feedback = of(plan)
    say(plan.run_dir.receipts, range(6), "BLOCKED BUSINESS_005")
    assert told(feedback.look([])) == (0, {})  # whose they are nobody knows

    assert told(feedback.look(accept(plan, 0))) == (3, {Cause.TEMPLATE: 3})
    assert told(feedback.look(accept(plan, 1))) == (6, {Cause.TEMPLATE: 6})


def test_a_message_counts_by_its_last_word(plan: Plan) -> None:
    feedback = of(plan)
    numbers = accept(plan, 0)
    name = message_id(phone(0), "sms")
    hear(plan.run_dir.receipts, word(name, "FAILED", at_us=T0))
    assert told(feedback.look(numbers)) == (1, {Cause.DELIVERY: 1})
    hear(plan.run_dir.receipts, word(name, "QUEUED", at_us=T0 + 5_000_000))
    assert told(feedback.look([])) == (1, {})
    hear(plan.run_dir.receipts, word(name, "DELIVERED", at_us=T0 + 9_000_000))
    assert told(feedback.look([])) == (1, {})


def test_messages_of_an_earlier_launch_do_not_count(plan: Plan) -> None:
    """Their money was missing then; whoever topped the account up must be able to go on."""
    accept(plan, 0)
    say(plan.run_dir.receipts, range(3), "BLOCKED BUSINESS_003")
    feedback = of(plan)
    say(plan.run_dir.receipts, [0, 1, 2], "FILTERED")

    assert told(feedback.look(accept(plan, 1))) == (0, {})
    say(plan.run_dir.receipts, [3], "BLOCKED BUSINESS_003")
    assert told(feedback.look([])) == (1, {Cause.MONEY: 1})


def test_parts_of_a_divided_request_are_heard_of_too(plan: Plan) -> None:
    feedback = of(plan)
    batch = plan.fetch([0])[0]
    child, whole = child_of(plan, batch, [0, 2], number=-1)
    record(plan, claim(0), divided(batch, blamed=[1], children=[child]), claim(-1), accepted(whole))
    say(plan.run_dir.receipts, [0, 2], "BLOCKED")

    assert told(feedback.look([-1])) == (2, {Cause.ACCOUNT: 2})


def test_many_looks_agree_with_one(tmp_path: Path) -> None:
    """However the answers come, in pieces or at once, nobody is counted twice or lost."""
    plan = make_plan(tmp_path, people(300), {"message": {"channels": ["sms"]}}, batch_size=3)
    piecewise = of(plan)
    for number in range(100):
        accept(plan, number)
        say(plan.run_dir.receipts, range(number * 3, number * 3 + number % 4), "BLOCKED")
        piecewise.look([number])
    at_once = of(plan)
    at_once.look(range(100))

    expected = (sum(min(number % 4, 3) for number in range(100)), {Cause.ACCOUNT: 150})
    assert told(piecewise.told()) == told(at_once.told()) == expected


def test_a_file_that_is_something_else_fails_the_look_and_not_the_beginning(plan: Plan) -> None:
    plan.run_dir.receipts.write_bytes(b"something else" * 1000)
    feedback = of(plan)

    with pytest.raises(StoreError, match="damaged"):
        feedback.look(accept(plan, 0))
    plan.run_dir.receipts.unlink()
    say(plan.run_dir.receipts, range(3), "BLOCKED")
    assert told(feedback.look([])) == (3, {Cause.ACCOUNT: 3})


def test_states_are_asked_for_by_id_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "receipts.sqlite"
    tell(path, {f"m{at}": "SENT" for at in range(5000)})

    found = states_of([path], [f"m{at}" for at in range(4998, 5003)])
    assert {name: state.status for name, state in found.items()} == {"m4998": "SENT", "m4999": "SENT"}
