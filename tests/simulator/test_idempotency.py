"""The same key twice is one execution, whatever happens around it."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest
from support.sends import ANN, BOB, SEND, notice, order, rows
from support.simulator import PATIENCE_S, Reply, Simulator

PROFILE = "7ba7b830-9dad-11d1-80b4-00c04fd430c9"


def assert_replay(reply: Reply, original: Reply) -> None:
    assert reply.status == original.status
    assert reply.body == original.body
    assert reply.headers["idempotent-replayed"] == "true"
    assert reply.headers["x-original-request-id"] == original.headers["x-request-id"]
    assert reply.headers["x-request-id"] != original.headers["x-request-id"]


def test_a_replay_is_the_same_bytes_and_creates_nothing() -> None:
    with Simulator() as sim:
        original = sim.call("POST", SEND, order(to=[ANN, BOB], channel=["sms"]), idempotency_key="a-1")
        assert "idempotent-replayed" not in original.headers
        replay = sim.call("POST", SEND, order(to=[ANN, BOB], channel=["sms"]), idempotency_key="a-1")
        assert_replay(replay, original)
        assert len(sim.messages()) == 2


def test_a_replay_works_across_a_kill(tmp_path: Path) -> None:
    with Simulator(tmp_path / "s") as sim:
        original = sim.call("POST", SEND, notice(), idempotency_key="k")
        sim.kill()
    with Simulator(tmp_path / "s") as sim:
        assert_replay(sim.call("POST", SEND, notice(), idempotency_key="k"), original)
        assert len(sim.messages()) == 1


def test_other_keys_and_no_key_execute_again(sim: Simulator) -> None:
    before = len(sim.messages())
    for key in ("x-1", "x-2", None, None):
        assert sim.call("POST", SEND, notice(), idempotency_key=key).status == 202
    assert len(sim.messages()) == before + 4


@pytest.mark.parametrize("key", ["", "a b", "a:b", "a.b", "a/b", "k" * 256], ids=repr)
def test_a_key_of_a_bad_form_is_refused(sim: Simulator, key: str) -> None:
    reply = sim.call("POST", SEND, notice(), headers={"Idempotency-Key": key})
    assert (reply.status, reply.code) == (400, "VALIDATION_007")


def test_a_key_of_255_characters_is_good(sim: Simulator) -> None:
    assert sim.call("POST", SEND, notice(), idempotency_key="K_-9" + "k" * 251).status == 202


def test_a_key_is_ignored_on_reads(sim: Simulator) -> None:
    assert sim.call("GET", "/v3/me", idempotency_key="not : a key").status == 200


def test_a_refused_request_is_not_remembered(sim: Simulator) -> None:
    assert sim.call("POST", SEND, notice("x"), idempotency_key="r-1").status == 400
    reply = sim.call("POST", SEND, notice(), idempotency_key="r-1")
    assert reply.status == 202
    assert "idempotent-replayed" not in reply.headers


@pytest.mark.parametrize(
    ("policy", "status", "code"),
    [
        pytest.param("conflict", 409, "CONFLICT_005", id="a conflict, as newest"),
        pytest.param("unprocessable", 422, "CONFLICT_005", id="unprocessable, as in the draft standard"),
    ],
)
def test_a_key_with_another_body_is_refused(policy: str, status: int, code: str) -> None:
    with Simulator(reused_key=policy) as sim:
        sim.call("POST", SEND, notice(ANN), idempotency_key="k")
        for other in (notice(BOB), notice("not a number")):
            reply = sim.call("POST", SEND, other, idempotency_key="k")
            assert (reply.status, reply.code) == (status, code)
        assert [row["recipient"] for row in sim.messages()] == [ANN]


def test_a_key_with_another_body_can_silently_replay_as_it_once_did() -> None:
    with Simulator(reused_key="replay") as sim:
        original = sim.call("POST", SEND, notice(ANN), idempotency_key="k")
        assert_replay(sim.call("POST", SEND, notice(BOB), idempotency_key="k"), original)
        assert [row["recipient"] for row in sim.messages()] == [ANN]


def test_a_sandbox_answer_is_remembered_and_blocks_the_live_send() -> None:
    with Simulator() as sim:
        original = sim.call("POST", SEND, notice(sandbox=True), idempotency_key="k")
        replay = sim.call("POST", SEND, notice(sandbox=True), idempotency_key="k")
        assert_replay(replay, original)
        assert replay.headers["x-sandbox"] == "true"
        assert sim.call("POST", SEND, notice(), idempotency_key="k").code == "CONFLICT_005"
        assert sim.messages() == []


def test_a_profile_does_not_widen_the_scope_of_a_key() -> None:
    with Simulator() as sim:
        original = sim.call("POST", SEND, notice(), idempotency_key="k")
        replay = sim.call("POST", SEND, notice(), idempotency_key="k", headers={"x-profile-id": PROFILE})
        assert_replay(replay, original)


def test_the_scope_of_a_key_can_be_the_profile() -> None:
    with Simulator(idempotency_scope="profile") as sim:
        sim.call("POST", SEND, notice(), idempotency_key="k")
        reply = sim.call("POST", SEND, notice(), idempotency_key="k", headers={"x-profile-id": PROFILE})
        assert "idempotent-replayed" not in reply.headers
        assert len(sim.messages()) == 2


def test_an_expired_key_executes_again() -> None:
    with Simulator(idempotency_ttl=0.2) as sim:
        sim.call("POST", SEND, notice(), idempotency_key="k")
        until = time.monotonic() + PATIENCE_S
        while "idempotent-replayed" in sim.call("POST", SEND, notice(), idempotency_key="k").headers:
            assert time.monotonic() < until, "the key never expired"
        assert len(sim.messages()) == 2


def test_an_expired_key_is_free_for_another_body() -> None:
    with Simulator(idempotency_ttl=0) as sim:
        sim.call("POST", SEND, notice(ANN), idempotency_key="k")
        assert sim.call("POST", SEND, notice(BOB), idempotency_key="k").status == 202


def test_an_answer_over_5_mb_is_not_remembered_so_a_duplicate_executes_again() -> None:
    to = [f"+1415555{at:04d}" for at in range(1000)]
    with Simulator() as sim:
        for text, executions in (("x" * 4000, 1), ("x" * 5000, 2)):
            before = len(sim.messages())
            body = {"to": to, "channel": ["sms"], "text": text}
            replies = [sim.call("POST", SEND, body, idempotency_key=f"k{len(text)}") for _ in range(2)]
            assert (len(replies[0].body) > 5_000_000) is (executions == 2)
            assert len(sim.messages()) - before == 1000 * executions


def test_a_duplicate_waits_for_its_original_and_gets_its_answer() -> None:
    with Simulator(faults=[{"on": f"POST {SEND}", "nth": 1, "do": "slow", "delay_s": 0.5}]) as sim:
        with ThreadPoolExecutor() as pool:
            replies = list(pool.map(lambda _: sim.call("POST", SEND, notice(), idempotency_key="k"), range(4)))
        assert [reply.status for reply in replies] == [202] * 4
        assert sum("idempotent-replayed" in reply.headers for reply in replies) == 3
        assert len(sim.messages()) == 1


def test_a_duplicate_of_a_request_at_work_too_long_is_a_conflict() -> None:
    faults = [{"on": f"POST {SEND}", "nth": 1, "do": "slow", "delay_s": 600, "when": "before"}]
    with Simulator(faults=faults, in_flight_wait=0.1) as sim:
        with ThreadPoolExecutor() as pool:
            original = pool.submit(sim.call, "POST", SEND, notice(), idempotency_key="k")
            until = time.monotonic() + PATIENCE_S
            while not sim.requests():  # the original has arrived and holds its turn
                assert time.monotonic() < until
            reply = sim.call("POST", SEND, notice(), idempotency_key="k")
            assert (reply.status, reply.code) == (409, "CONFLICT_001")
            assert sim.call("POST", SEND, notice(), idempotency_key="another").status == 202
            sim.kill()
            assert isinstance(original.exception(), OSError)
        assert [row["idempotency_key"] for row in sim.messages()] == ["another"]


def test_a_duplicate_executes_when_its_original_was_refused() -> None:
    faults = [{"on": f"POST {SEND}", "nth": 1, "do": "slow", "delay_s": 0.3, "when": "before"}]
    with Simulator(faults=faults) as sim, ThreadPoolExecutor() as pool:
        original = pool.submit(sim.call, "POST", SEND, notice("x"), idempotency_key="k")
        until = time.monotonic() + PATIENCE_S
        while not sim.requests():
            assert time.monotonic() < until
        assert sim.call("POST", SEND, notice(ANN), idempotency_key="k").status == 202
        assert original.result().status == 400


def test_killed_at_any_moment_it_executed_each_key_once_or_not_at_all(tmp_path: Path) -> None:
    """The key and its messages are one commit: what was answered is there, and what is repeated is not there twice."""
    to = [f"+1415555{at:04d}" for at in range(50)]
    keys = iter(range(1_000_000))
    sent: list[int] = []

    def send_until_it_dies(sim: Simulator) -> None:
        for key in keys:
            sent.append(key)
            try:
                sim.call("POST", SEND, notice(*to), idempotency_key=f"k{key}")
            except (OSError, HTTPException):
                return

    for enough in (5, 20, 60):
        with Simulator(tmp_path / "s") as sim, ThreadPoolExecutor(4) as pool:
            dying = [pool.submit(send_until_it_dies, sim) for _ in range(4)]
            until = time.monotonic() + PATIENCE_S
            while len(sent) < enough:
                assert time.monotonic() < until
            sim.kill()
            assert [future.result() for future in dying] == [None] * 4
    with Simulator(tmp_path / "s") as sim:
        for key in sent:
            assert sim.call("POST", SEND, notice(*to), idempotency_key=f"k{key}").status == 202
        counts = Counter(row["idempotency_key"] for row in sim.messages())
    assert counts == {f"k{key}": len(to) for key in sent}


def test_two_processes_on_one_file_never_execute_a_key_twice(tmp_path: Path) -> None:
    """An old process may not have noticed its parent's death when the new one starts."""
    keys = [f"k{at}" for at in range(40)]
    with Simulator(tmp_path / "s") as old, Simulator(tmp_path / "s") as new, ThreadPoolExecutor(8) as pool:
        start = threading.Barrier(8)

        def fire(worker: int) -> list[tuple[str, str, bool]]:
            sim = (old, new)[worker % 2]
            start.wait(PATIENCE_S)
            replies = [(key, sim.call("POST", SEND, notice(ANN, BOB), idempotency_key=key)) for key in keys]
            assert {reply.status for _, reply in replies} == {202}
            return [
                (key, rows(reply.body)[0]["message_id"], "idempotent-replayed" in reply.headers)
                for key, reply in replies
            ]

        answers = [answer for fired in pool.map(fire, range(8)) for answer in fired]

        assert len(answers) == 8 * len(keys)
        assert len({(key, message) for key, message, _ in answers}) == len(keys)
        assert sum(not replayed for _, _, replayed in answers) == len(keys)
        assert len(old.messages()) == 2 * len(keys)
        assert {row["status"] for row in old.requests()} == {202}
