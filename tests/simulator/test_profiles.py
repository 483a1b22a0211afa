"""Fault profiles: each has its own character, and the same seed gives the same faults."""

import http.client
import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.sends import ANN, BOB, SEND, notice, rows
from support.simulator import ROOT, Simulator

from broadcaster.simulator.faults import NOT_EXECUTED, RESETS, Fault, FaultError, Kind, Script
from broadcaster.simulator.profiles import find_profile, load_profile, names
from broadcaster.simulator.rules import load_rules

NAMES = ("calm", "flaky-network", "hostile", "outage", "rush-hour")
MANY = 3000
PER_SECOND = 50.0


def played(name: str, *, seed: int = 7, path: str = f"POST {SEND}", count: int = MANY) -> list[Fault | None]:
    """What a profile does to *count* requests that come evenly, 50 a second."""
    script = Script(find_profile(name).rules, seed=seed)
    method, _, path = path.partition(" ")
    return [script.pick(method, path, now_s=1000.0 + at / PER_SECOND) for at in range(count)]


def kinds(faults: list[Fault | None]) -> Counter[str]:
    return Counter(fault.kind.value for fault in faults if fault is not None)


def storms(faults: list[Fault | None]) -> list[int]:
    """The lengths of unbroken rows of 429s."""
    marks = "".join("x" if fault is not None and fault.status == 429 else " " for fault in faults)
    return [len(storm) for storm in marks.split()]


def test_these_profiles_come_with_it() -> None:
    assert names() == NAMES
    assert all(find_profile(name).description.endswith(".") for name in NAMES)


def test_calm_does_nothing() -> None:
    assert kinds(played("calm")) == {}


def test_rush_hour_has_storms_of_429_and_slow_answers_and_nothing_else() -> None:
    faults = played("rush-hour")
    assert set(kinds(faults)) == {"status", "slow"}
    refused = [fault for fault in faults if fault is not None and fault.kind is Kind.STATUS]
    assert {(fault.status, fault.code, fault.retry_after) for fault in refused} == {(429, "BUSINESS_002", 1)}
    assert max(storms(faults)) >= PER_SECOND  # for a whole second nobody gets through
    assert 4 in storms(faults)  # and a short burst is four of them
    delays = {fault.delay_s for fault in faults if fault is not None and fault.kind is Kind.SLOW}
    assert min(delays) >= 0.05
    assert max(delays) <= 0.5
    assert len(delays) > 50


def test_a_flaky_network_loses_and_cuts_answers_after_acceptance() -> None:
    lost = kinds(played("flaky-network"))
    assert {"reset_after_accept", "drop_after_accept", "truncate"} <= set(lost)
    assert {"reset_before", "drop_before"} <= set(lost)
    after = lost["reset_after_accept"] + lost["drop_after_accept"] + lost["truncate"]
    assert 0.05 < after / MANY < 0.15
    assert kinds(played("flaky-network", path="GET /v3/me"))["truncate"] == 0  # only sends are accepted


def test_an_outage_answers_nobody_for_a_while_and_then_everybody() -> None:
    faults = played("outage", count=int(15 * PER_SECOND))
    down = {at for at, fault in enumerate(faults) if fault is not None and fault.status == 503}
    assert down == set(range(int(3.2 * PER_SECOND), int(5 * PER_SECOND)))
    assert kinds(faults[: int(3 * PER_SECOND)]) == {}
    assert set(kinds(faults[int(3 * PER_SECOND) : int(3.2 * PER_SECOND)])) == {"reset_after_accept"}
    assert kinds(faults[int(6 * PER_SECOND) :]) == {}


def test_hostile_has_a_bit_of_everything() -> None:
    found = kinds(played("hostile"))
    assert len(found) >= 12
    assert {"cut_json", "wrong_shape", "html", "empty_body", "omit_rows", "extra_row", "bloat"} <= set(found)
    assert {fault.shape for fault in played("hostile") if fault and fault.kind is Kind.WRONG_SHAPE} == {
        "null",
        "object",
        "names",
    }
    assert found["omit_rows"] <= 3
    assert found["extra_row"] == 1  # a client stops at it, so that more would only be the same again
    assert sum(found.values()) < MANY / 2  # most requests still go well: a run must come to its end


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_faults(name: str) -> None:
    once = played(name, seed=3)
    assert played(name, seed=3) == once
    assert (played(name, seed=4) != once) is (name != "calm")


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_only_ever_refuses_or_loses_and_never_invents_a_401(name: str) -> None:
    """A client stops for good at 401, 403 and 402: a profile with them would rehearse nothing."""
    statuses = {fault.status for fault in played(name) if fault is not None and fault.status is not None}
    assert statuses <= {429, 500, 502, 503, 504}


def outcomes(sim: Simulator, count: int) -> list[str]:
    """How *count* sends, one after the other, ended for a client."""
    seen = []
    for at in range(count):
        try:
            reply = sim.call("POST", SEND, notice(ANN, BOB), idempotency_key=f"k{at}")
            whole = reply.body.endswith(b"}") and b"recipients" in reply.body
            seen.append(f"{reply.status} {'whole' if whole else 'broken' if reply.status == 202 else ''}".strip())
        except http.client.IncompleteRead:
            seen.append("truncated")
        except ConnectionResetError:
            seen.append("reset")
        except http.client.RemoteDisconnected:
            seen.append("closed")
    return seen


def test_two_processes_with_one_seed_do_the_same_to_the_same_requests() -> None:
    ended = []
    for seed in (5, 5, 6):
        with Simulator(profile="hostile", seed=seed) as sim:
            ended.append((outcomes(sim, 60), [row["fault"] for row in sim.requests()]))
    assert ended[0] == ended[1]
    assert ended[0] != ended[2]
    assert len(set(ended[0][0])) >= 4


def test_under_a_flaky_network_a_repeated_key_creates_nothing_twice() -> None:
    with Simulator(profile="flaky-network", seed=1) as sim:
        for _ in range(4):  # whatever came of the first round, the fourth has the same keys
            last = outcomes(sim, 40)
        by_key = Counter(row["idempotency_key"] for row in sim.messages())
        assert len(by_key) == 40
        assert set(by_key.values()) == {2}
        assert set(last) > {"202 whole"}


@pytest.mark.parametrize("kind", sorted(RESETS))
def test_a_reset_is_a_reset_and_no_end_of_the_stream(sim: Simulator, kind: Kind) -> None:
    sim.set_faults([{"on": f"POST {SEND}", "nth": 1, "do": kind.value}])
    key = f"reset-{kind.value}"
    with pytest.raises(ConnectionResetError) as caught:
        sim.call("POST", SEND, notice(), idempotency_key=key)
    assert not isinstance(caught.value, http.client.RemoteDisconnected)
    assert len([row for row in sim.messages() if row["idempotency_key"] == key]) == (kind not in NOT_EXECUTED)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param({"do": "wrong_shape"}, None, id="no data"),
        pytest.param({"do": "wrong_shape", "shape": "object"}, {ANN}, id="recipients by number"),
        pytest.param({"do": "wrong_shape", "shape": "names"}, [{"id", "phone"}], id="other names"),
    ],
)
def test_a_202_can_be_json_of_another_form(sim: Simulator, rule: dict[str, Any], expected: object) -> None:
    sim.set_faults([rule])
    reply = sim.call("POST", SEND, notice())
    data = reply.json["data"]
    found = data and data["recipients"]
    assert reply.status == 202
    assert expected == ([set(row) for row in found] if isinstance(found, list) else found and set(found))


def test_json_can_be_cut_inside_a_whole_http_answer(sim: Simulator) -> None:
    sim.set_faults([{"do": "cut_json"}])
    reply = sim.call("POST", SEND, notice())
    assert reply.status == 202
    assert int(reply.headers["content-length"]) == len(reply.body)
    with pytest.raises(json.JSONDecodeError):
        assert reply.json


def test_an_answer_can_be_bloated(sim: Simulator) -> None:
    sim.set_faults([{"do": "bloat", "size": 1_000_000}])
    reply = sim.call("POST", SEND, notice())
    assert len(reply.body) > 1_000_000
    assert [row["to"] for row in rows(reply.body)] == [ANN]


def fired(rule: dict[str, Any], at_s: list[float]) -> list[int]:
    script = Script(load_rules([{"do": "html", **rule}]))
    return [int(script.pick("POST", SEND, now_s=50.0 + moment) is not None) for moment in at_s]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param({"from_s": 2}, [0, 0, 1, 1, 1, 1], id="from a moment on"),
        pytest.param({"until_s": 2}, [1, 1, 0, 0, 0, 0], id="until a moment"),
        pytest.param({"from_s": 1, "until_s": 3}, [0, 1, 1, 0, 0, 0], id="a window"),
        pytest.param({"until_s": 1, "period_s": 3}, [1, 0, 0, 1, 0, 0], id="a window that comes again"),
        pytest.param({"nth": 2, "burst": 3}, [0, 1, 1, 1, 0, 0], id="a burst"),
        pytest.param({"every": 2, "burst": 2, "times": 1}, [0, 1, 1, 0, 0, 0], id="one burst at most"),
        pytest.param({"from_s": 1, "times": 1, "burst": 2}, [0, 1, 1, 0, 0, 0], id="a burst in a window"),
    ],
)
def test_a_rule_knows_windows_and_bursts(rule: dict[str, Any], expected: list[int]) -> None:
    assert fired(rule, [0, 1, 2, 3, 4, 5]) == expected


def test_time_starts_with_the_first_request_after_the_rules_are_set() -> None:
    script = Script(load_rules([{"do": "html", "until_s": 1}]))
    assert [script.pick("GET", "/", now_s=at) is not None for at in (90.0, 90.5, 91.5)] == [True, True, False]
    script.replace(load_rules([{"do": "html", "until_s": 1}]))
    assert [script.pick("GET", "/", now_s=at) is not None for at in (200.0, 201.0)] == [True, False]


def test_the_profile_can_be_changed_while_it_runs() -> None:
    with Simulator(profile="calm", seed=2) as sim:
        assert sim.call("GET", "/_simulator/profile", key=None).json == {"profile": "calm", "seed": 2, "rules": 0}
        told = sim.call("PUT", "/_simulator/profile", {"profile": "hostile", "seed": 9}, key=None)
        assert told.status == 200
        assert told.json == sim.call("GET", "/_simulator/profile", key=None).json
        assert (told.json["profile"], told.json["seed"]) == ("hostile", 9)
        first = outcomes(sim, 30)
        sim.call("PUT", "/_simulator/profile", {"profile": "hostile", "seed": 9}, key=None)
        faults = [row["fault"] for row in sim.requests()]
        outcomes(sim, 30)
        assert [row["fault"] for row in sim.requests()][30:] == faults
        assert set(first) > {"202 whole"}
        mine = {"profile": {"fault": [{"do": "html"}]}}
        assert sim.call("PUT", "/_simulator/profile", mine, key=None).json["profile"] == "custom"
        assert sim.call("GET", "/v3/me").headers["content-type"] == "text/html"
        assert sim.call("PUT", "/_simulator/profile", "calm", key=None).json["rules"] == 0
        assert sim.call("GET", "/v3/me").status == 200


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param("sunny", "there is no profile 'sunny'", id="an unknown name"),
        pytest.param({"profile": "../calm"}, "there is no profile", id="a path"),
        pytest.param({"profile": {"faults": []}}, "'faults' is unknown", id="an unknown key"),
        pytest.param({"profile": "calm", "seed": "x"}, "'seed' must be", id="a seed in words"),
        pytest.param([], "a profile's name", id="a list"),
        pytest.param({}, "must be a name or an object", id="nothing"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_and_the_old_one_stays(
    sim: Simulator, body: object, sentence: str
) -> None:
    before = sim.call("GET", "/_simulator/profile", key=None).json
    reply = sim.call("PUT", "/_simulator/profile", body, key=None)
    assert reply.status == 400
    assert sentence in reply.json["error"]
    assert sim.call("GET", "/_simulator/profile", key=None).json == before


def test_a_profile_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "monday.toml"
    file.write_text('[[fault]]\ndo = "status"\nstatus = 503\n')
    with Simulator(profile=str(file)) as sim:
        assert sim.call("GET", "/v3/me").status == 503
        assert sim.call("GET", "/_simulator/profile", key=None).json["profile"] == "monday"


def test_faults_come_before_those_of_the_profile() -> None:
    faults = [{"on": "GET /v3/me", "do": "status", "status": 418}]
    with Simulator(profile="hostile", faults=faults) as sim:
        assert {sim.call("GET", "/v3/me").status for _ in range(20)} == {418}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("fault = 1", "must be a JSON list", id="faults that are a number"),
        pytest.param("[[fault]]", "'do' must be one of", id="an empty rule"),
        pytest.param("[[fault]", "no valid TOML", id="no TOML"),
        pytest.param("description = 1", "'description' must be a string", id="a description that is a number"),
        pytest.param('[[fault]]\ndo = "html"\nburst = 0', "'burst' must be 1 or more", id="an empty burst"),
        pytest.param('[[fault]]\ndo = "html"\nperiod_s = 0', "'period_s' must be more than 0", id="no period"),
        pytest.param('[[fault]]\ndo = "wrong_shape"\nshape = "x"', "'shape' must be one of", id="an unknown shape"),
        pytest.param('[[fault]]\ndo = "slow"\ndelay_s = -1', "'delay_s' must not be negative", id="a negative delay"),
    ],
)
def test_a_profile_with_a_mistake_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(FaultError, match=sentence):
        load_profile(text, name="mine")


def test_a_profile_that_does_not_exist_is_one_sentence_and_exit_code_2() -> None:
    with pytest.raises(RuntimeError, match=r"^exit code 2: --profile: sunny is none of calm, [^\n]+\n$"):
        Simulator(profile="sunny").start()


def test_the_wheel_brings_the_profiles_and_the_page(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds a wheel: hatchling is not installed here")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, check=True
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
    wanted = {f"profiles/{name}.toml" for name in NAMES} | {f"assets/page.{kind}" for kind in ("html", "css", "js")}
    assert {f"broadcaster/simulator/{name}" for name in wanted} <= inside
    pages = [path for kind in ("templates", "static") for path in (ROOT / "broadcaster").glob(f"*/{kind}/*")]
    assert {path.relative_to(ROOT).as_posix() for path in pages} <= inside
    assert {"broadcaster/tracking/templates/run.html", "broadcaster/tracking/static/live.js"} <= inside
