"""What an account may send: money, consent, open conversations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.sends import ANN, BOB, EVE, SEND, notice, order, rows
from support.simulator import Reply, Simulator

PROFILE = "6ba7b811-9dad-11d1-80b4-00c04fd430c8"


def verdicts(sim: Simulator) -> list[tuple[str, str | None]]:
    return [(row["status"], row["reason_code"]) for row in sim.messages()]


def contact_of(sim: Simulator, phone: str, **more: Any) -> Any:
    (contact,) = sim.call("GET", f"/v3/contacts?phone=%2B{phone[1:]}", **more).json["data"]["contacts"]
    return contact


def text(*to: str, channel: str = "sms") -> dict[str, Any]:
    return {"to": list(to), "channel": [channel], "text": "See you at noon."}


def patch(sim: Simulator, name: str, body: object, **more: Any) -> Reply:
    return sim.call("PATCH", f"/v3/contacts/{name}", body, **more)


PAID, UNPAID = ("QUEUED", None), ("BLOCKED", "BUSINESS_003")


def test_a_balance_runs_out_in_the_middle_of_a_batch() -> None:
    with Simulator(balance=3) as sim:
        assert sim.call("POST", SEND, notice(ANN, BOB)).status == 202
        reply = sim.call("POST", SEND, notice(ANN, BOB, EVE))
        assert (reply.status, len(rows(reply.body))) == (202, 3)
        assert verdicts(sim) == [PAID, PAID, PAID, UNPAID, UNPAID]
        data = sim.call("GET", f"/v3/messages/{rows(reply.body)[-1]['message_id']}").json["data"]
        assert (data["status"], data["reason_code"], data["reason"]) == (*UNPAID, "Insufficient balance")


def test_what_is_spent_stays_spent_after_a_restart() -> None:
    with Simulator(balance=1) as sim:
        sim.call("POST", SEND, notice())
        sim.kill()
        with Simulator(sim.state, balance=1) as poorer:
            poorer.call("POST", SEND, notice())
            assert verdicts(poorer) == [PAID, UNPAID]


def test_the_old_answer_to_an_empty_balance_is_a_402_that_creates_nothing() -> None:
    with Simulator(balance=1, empty_balance="refuse") as sim:
        reply = sim.call("POST", SEND, notice(ANN, BOB), idempotency_key="poor-1")
        assert (reply.status, reply.code) == (402, "BUSINESS_003")
        assert sim.messages() == []
        assert sim.call("POST", SEND, notice(), idempotency_key="poor-1").status == 202


def test_blocked_filtered_rehearsed_and_cancelled_messages_cost_nothing() -> None:
    with Simulator(balance=1) as sim:
        later = (datetime.now(tz=UTC) + timedelta(hours=1)).isoformat()
        sim.call("POST", SEND, notice(sandbox=True))
        sim.call("POST", SEND, text(BOB))
        reply = sim.call("POST", SEND, notice(scheduled_at=later))
        sim.call("POST", f"/v3/messages/{rows(reply.body)[0]['message_id']}/cancel")
        sim.call("POST", SEND, notice(EVE))
        assert [status for status, _ in verdicts(sim)] == ["BLOCKED", "CANCELLED", "QUEUED"]


def test_a_replay_is_not_paid_twice() -> None:
    with Simulator(balance=2) as sim:
        for _ in range(3):
            sim.call("POST", SEND, notice(), idempotency_key="once")
        sim.call("POST", SEND, notice(BOB))
        assert verdicts(sim) == [PAID, PAID]


def test_a_blocked_message_can_be_sent_again_when_there_is_money() -> None:
    with Simulator(balance=0) as sim:
        message = rows(sim.call("POST", SEND, notice()).body)[0]["message_id"]
        assert sim.call("POST", f"/v3/messages/{message}/resend").json["data"]["status"] == "BLOCKED"
        sim.stop()
        with Simulator(sim.state, balance=1, lifecycle_speed=0) as richer:
            events = richer.call("POST", f"/v3/messages/{message}/resend").json["data"]["events"]
            expected = ["QUEUED", "BLOCKED", "QUEUED", "BLOCKED", "QUEUED"]
            assert [event["status"] for event in events] == expected


def test_who_opted_out_is_filtered_and_nobody_else() -> None:
    with Simulator() as sim:
        sim.call("POST", SEND, notice(ANN, BOB))
        assert patch(sim, contact_of(sim, ANN)["id"], {"opt_out": True}).json["data"]["opt_out"] is True
        reply = sim.call("POST", SEND, order(to=[ANN, BOB], channel=["sms", "whatsapp"]))
        filtered, free = ("FILTERED", "BUSINESS_004"), ("QUEUED", None)
        assert verdicts(sim)[2:] == [filtered, filtered, free, free]
        message = rows(reply.body)[0]["message_id"]
        assert sim.call("GET", f"/v3/messages/{message}").json["data"]["status"] == "FILTERED"
        assert sim.call("POST", f"/v3/messages/{message}/resend").code == "BUSINESS_006"
        patch(sim, contact_of(sim, ANN)["id"], {"opt_out": False})
        sim.call("POST", SEND, notice(ANN))
        assert verdicts(sim)[-1] == free


def test_an_opt_out_is_towards_one_profile() -> None:
    with Simulator() as sim:
        profile = {"x-profile-id": PROFILE}
        sim.call("POST", SEND, notice(), headers=profile)
        patch(sim, contact_of(sim, ANN, headers=profile)["id"], {"opt_out": True}, headers=profile)
        sim.call("POST", SEND, notice())
        sim.call("POST", SEND, notice(), headers=profile)
        assert [status for status, _ in verdicts(sim)] == ["QUEUED", "QUEUED", "FILTERED"]


@pytest.mark.parametrize(
    ("channel", "reason"),
    [("sms", "CONVERSATION_TEMPLATE_REQUIRED"), ("whatsapp", "WHATSAPP_TEMPLATE_REQUIRED")],
)
def test_free_text_needs_a_template_first(channel: str, reason: str) -> None:
    with Simulator() as sim:
        sim.call("POST", SEND, text(ANN, channel=channel))
        sim.call("POST", SEND, notice(ANN))
        sim.call("POST", SEND, text(ANN, BOB, channel=channel))
        free, blocked = ("QUEUED", None), ("BLOCKED", reason)
        assert verdicts(sim) == [blocked, free, free, blocked]


def test_the_gate_for_free_text_can_be_left_open() -> None:
    with Simulator(text_gate="off") as sim:
        sim.call("POST", SEND, text(ANN))
        assert verdicts(sim) == [("QUEUED", None)]
