"""Why a message did not arrive, and who may be sent it again: by status first, by code where it is known."""

import pytest

from broadcaster.core.receipts import NOT_ARRIVED, ORDER
from broadcaster.core.remedy import OF_THE_ACCOUNT, PERMANENT, Again, Cause, again, cause_of, mend

TABLE = [
    ("BLOCKED", "BUSINESS_003", Cause.MONEY, Again.YES),
    ("BLOCKED", "BUSINESS_008", Cause.MONEY, Again.YES),
    ("BLOCKED", "BUSINESS_005", Cause.TEMPLATE, Again.YES),
    ("BLOCKED", "BUSINESS_012", Cause.TEMPLATE, Again.YES),
    ("BLOCKED", "BUSINESS_029", Cause.SENDER, Again.YES),
    ("BLOCKED", None, Cause.ACCOUNT, Again.YES),
    ("BLOCKED", "something new", Cause.ACCOUNT, Again.YES),
    ("BLOCKED", "CONVERSATION_TEMPLATE_REQUIRED", Cause.CONVERSATION, Again.NEVER),
    ("FAILED", "DELIVERY_003", Cause.DELIVERY, Again.YES),
    ("FAILED", None, Cause.DELIVERY, Again.YES),
    ("FAILED", "DELIVERY_999", Cause.DELIVERY, Again.YES),
    ("FAILED", "DELIVERY_007", Cause.CHANNEL, Again.ELSEWHERE),
    ("FAILED", "CHANNEL_001", Cause.CHANNEL, Again.ELSEWHERE),
    ("FAILED", "CHANNEL_002", Cause.NUMBER, Again.NEVER),
    ("FAILED", "VALIDATION_002", Cause.NUMBER, Again.NEVER),
    ("FAILED", "BUSINESS_004", Cause.CONSENT, Again.NEVER),
    ("FILTERED", None, Cause.CONSENT, Again.NEVER),
    ("FILTERED", "BUSINESS_004", Cause.CONSENT, Again.NEVER),
    ("FILTERED", "ERR_ROUTE_DENIED", Cause.ROUTE, Again.NEVER),
    ("FILTERED", "BUSINESS_003", Cause.CONSENT, Again.NEVER),
    ("CANCELLED", None, Cause.CANCELLED, Again.NEVER),
    ("CANCELLED", "BUSINESS_003", Cause.CANCELLED, Again.NEVER),
]


@pytest.mark.parametrize(("status", "code", "cause", "allowed"), TABLE)
def test_status_and_code_say_why_and_who_may_have_it_again(
    status: str, code: str | None, cause: Cause, allowed: Again
) -> None:
    found = cause_of(status, code)

    assert found is cause
    assert again(cause) is allowed


@pytest.mark.parametrize("status", [*(each for each in ORDER if each not in NOT_ARRIVED), "A NEW WORD"])
def test_what_is_under_way_or_arrived_has_no_cause_whatever_its_code(status: str) -> None:
    assert cause_of(status, "BUSINESS_003") is None


def test_every_status_of_what_did_not_arrive_has_a_cause() -> None:
    assert all(cause_of(status, None) is not None for status in NOT_ARRIVED)


def test_what_the_account_stops_can_be_mended_and_what_lasts_is_never_sent_again() -> None:
    assert all(mend(cause) for cause in OF_THE_ACCOUNT)
    assert {again(cause) for cause in PERMANENT} == {Again.NEVER}
    assert all(again(cause) is not None for cause in Cause)
