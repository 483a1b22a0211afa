"""``run-shard`` by real processes against the simulator: its ledger knows who was really messaged."""

import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, sends
from support.fiction import numbers
from support.forks import Forks
from support.shards import AFTER_CLAIM, AT_ONCE, BATCH, BEFORE_CLAIM, KILLED, STOPPED, SharedRun
from support.simulator import Simulator

from broadcaster.app.parts import Access
from broadcaster.cluster.shard import run_shard
from broadcaster.engine.stop import Stop
from broadcaster.errors import Unreachable
from broadcaster.job.settings import Secret

Begin = Callable[..., SharedRun]
_JOURNAL = "broadcaster.cluster.parts:PartsJournal"
_SPLIT = [{"on": "POST /v3/messages", "do": "status", "status": 400, "code": "VALIDATION_002", "nth": [1]}]


@pytest.fixture(scope="module")
def people() -> Iterator[str]:
    """Numbers that no test of the module has had yet."""
    return iter(numbers(4_000))


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(key=KEY, lifecycle_speed=0) as simulator:
        yield simulator


@pytest.fixture
def begin(tmp_path: Path, api: Simulator, people: Iterator[str], forks: Forks) -> Iterator[Begin]:
    """Return how a shared run of so many people is planned: ``begin(24, limits={…})``."""
    begun: list[SharedRun] = []

    def begin(size: int, *, at: Simulator = api, **tables: Any) -> SharedRun:
        home = tmp_path / str(len(begun))
        home.mkdir()
        begun.append(SharedRun(home, at, list(islice(people, size)), forks=forks, **tables))
        planned = begun[-1].plan()
        assert planned.code == 0, planned.stderr
        return begun[-1]

    api.set_faults([])
    yield begin
    for each in begun:
        each.close()


def test_a_process_for_each_shard_and_everybody_gets_it_once(begin: Begin) -> None:
    run = begin(30)

    running = [run.start(index, "--json", of=3) for index in range(3)]
    ended = [each.result() for each in running]

    assert [each.code for each in ended] == [0, 0, 0], [each.stderr for each in ended]
    assert [each.json["accepted"] for each in ended] == [12, 12, 6]  # 3, 3 and 2 requests, of up to four people each
    run.everybody_once()
    assert run.verified()["accepted"] == len(run.to)


def test_shards_that_have_nothing_to_do_end_well(begin: Begin) -> None:
    run = begin(BATCH)  # one request

    assert [run.run(index, of=3).code for index in (2, 0, 1)] == [0, 0, 0]

    run.everybody_once()
    assert run.was_taken(1) == run.was_taken(2) == 0


def test_a_shard_that_is_done_repeats_its_code_and_sends_nothing(begin: Begin, api: Simulator) -> None:
    run = begin(8)
    first = run.run(0, "--json")
    asked = len(api.requests())

    again = run.run(0, "--json")

    assert (again.code, again.json) == (first.code, first.json)
    assert len(api.requests()) == asked


DEATHS = {
    "when it has taken the shard": "broadcaster.cluster.owner:take:after:1",
    "while a claim is written": f"{_JOURNAL}._write?claim:before:2",
    "after a claim, before its bytes leave": f"{_JOURNAL}.claim:after:2",
    "after an answer has arrived": "broadcaster.api.client:Client.__call__?POST:after:2",
    "after an outcome is written": f"{_JOURNAL}.settle:after:2",
    "before it says that it is done": "broadcaster.cluster.storage:Storage.create?done:before:1",
}


@pytest.mark.parametrize("place", [pytest.param(place, id=name) for name, place in DEATHS.items()])
def test_another_process_goes_on_with_the_shard_of_one_that_was_killed(begin: Begin, place: str) -> None:
    run = begin(4 * BATCH)
    killed = run.run(0, of=1, broken=[place])
    assert killed.code == KILLED, killed.stderr
    assert max(run.messaged().values(), default=0) <= 1

    ended = run.run(0, *AT_ONCE, of=1)

    assert ended.code == 0, ended.stderr
    run.everybody_once()
    assert run.verified()["accepted"] == len(run.to)


def test_a_refused_batch_is_divided_once_across_a_kill_and_a_take_over(begin: Begin, api: Simulator) -> None:
    run = begin(2 * BATCH)
    here = api.from_here()
    api.set_faults(_SPLIT)
    killed = run.run(0, of=1, broken=[f"{_JOURNAL}.settle?State.SPLIT:after:1"])
    assert killed.code == KILLED, killed.stderr

    second = run.run(0, *AT_ONCE, of=1, broken=["broadcaster.api.client:Client.__call__?POST:after:1"])
    assert second.code == KILLED, second.stderr
    ended = run.run(0, *AT_ONCE, of=1)

    assert ended.code == 0, ended.stderr
    run.everybody_once()
    sizes = [each["recipients"] or BATCH for each in here.sends()]  # a fault does not count them
    assert sorted(sizes) == [2, 2, 2, 4, 4]  # the whole once; of its halves, one that is repeated
    assert run.verified()["accepted"] == len(run.to)


def test_parts_of_two_shards_have_numbers_of_their_own(begin: Begin, api: Simulator) -> None:
    run = begin(2 * BATCH)
    for index in (0, 1):
        api.set_faults(_SPLIT)
        assert run.run(index).code == 0

    run.everybody_once()
    assert run.verified()["accepted"] == len(run.to)


def test_of_two_processes_for_one_shard_the_second_is_sent_away(begin: Begin) -> None:
    run = begin(3 * BATCH)
    first = run.paused(0, BEFORE_CLAIM, of=1)

    second = run.run(0, of=1)
    first.signal(signal.SIGCONT)

    assert second.code == STOPPED
    assert f"process {first.pid}" in second.stderr
    assert first.result().code == 0
    run.everybody_once()


@pytest.mark.parametrize(
    ("place", "more"),
    [
        pytest.param(BEFORE_CLAIM, 0, id="one that was about to claim sends nothing more"),
        pytest.param(AFTER_CLAIM, 1, id="one that had claimed repeats that request, which is a replay"),
    ],
)
def test_a_process_that_was_taken_over_while_it_stood_still(
    begin: Begin, api: Simulator, place: str, more: int
) -> None:
    run = begin(4 * BATCH)
    first = run.paused(0, place, of=1)

    taken = run.run(0, *AT_ONCE, of=1)
    assert taken.code == 0, taken.stderr
    before = len(sends(api))
    first.signal(signal.SIGCONT)
    woken = first.result()

    assert woken.code == STOPPED
    assert "taken over" in woken.stderr
    assert len(sends(api)) - before == more
    run.everybody_once()
    assert run.verified()["accepted"] == len(run.to)


def test_a_signal_lets_the_shard_end_early_and_the_same_command_goes_on(begin: Begin) -> None:
    run = begin(6 * BATCH)
    stopping = run.paused(0, AFTER_CLAIM, of=1)
    stopping.signal(signal.SIGTERM)
    stopping.signal(signal.SIGCONT)

    ended = stopping.result()
    assert ended.code == STOPPED
    assert "run the same command again" in ended.stderr
    assert 0 < len(run.messaged()) < len(run.to)

    assert run.run(0, of=1).code == 0  # at once: whoever ended properly gives no sign of life any more
    run.everybody_once()


def test_a_key_of_another_account_is_refused_and_takes_nothing(begin: Begin) -> None:
    run = begin(2 * BATCH)
    assert run.run(0).code == 0
    with Simulator(key="sk_live_other") as other:
        elsewhere = {"SENT_BASE_URL": other.url, "SENT_DM_API_KEY": "sk_live_other"}
        refused = run.run(1, env=elsewhere)

    assert refused.code == 78
    assert "another account" in refused.stderr
    assert run.was_taken(1) == 0
    assert run.run(1).code == 0
    run.everybody_once()


async def test_an_api_that_is_down_ends_the_shard_before_it_is_taken(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcaster.app.parts._SILENT_S", 0.1)
    run = begin(BATCH)
    nowhere = "http://127.0.0.1:9"
    to = Access(base_url=nowhere, identity=nowhere, place=nowhere, key=Secret(KEY), profile=None)

    with pytest.raises(Unreachable) as raised:
        await run_shard(
            run.storage,
            0,
            to=to,
            budget=None,
            idle_s=1.0,
            observe=lambda _: None,
            stop=Stop(),
            scratch=tmp_path / "scratch",
            of=1,
        )

    assert raised.value.exit_code == STOPPED
    assert run.was_taken(0) == 0


def test_a_key_that_is_refused_is_no_reason_to_try_again(begin: Begin) -> None:
    run = begin(BATCH)

    assert run.run(0, env={"SENT_DM_API_KEY": "sk_live_wrong"}).code == 77
    assert run.was_taken(0) == 0


def test_the_processes_of_a_run_agree_on_the_number_of_shards(begin: Begin) -> None:
    run = begin(2 * BATCH)
    assert run.run(0, of=2).code == 0

    other = run.run(1, of=3)

    assert other.code == 78
    assert "2 shards, not in 3" in other.stderr


def test_a_refused_recipient_is_told_by_the_exit_code(begin: Begin, people: Iterator[str]) -> None:
    to = next(people)
    with Simulator(key=KEY, refuse_number=[to]) as strict:
        run = begin(BATCH, at=strict)
        run.to[0] = to
        run.cli.people(run.to)
        run.url += "-strict"
        assert run.plan().code == 0

        ended = run.run(0, "--json", of=1)

        assert (ended.code, ended.json["rejected"], ended.json["accepted"]) == (3, 1, BATCH - 1)
        run.everybody_once(but=[to])
        assert run.run(0, of=1).code == 3


def test_another_machine_takes_over_with_nothing_but_address_and_key(begin: Begin, tmp_path: Path) -> None:
    run = begin(3 * BATCH)
    assert run.run(0, of=1, broken=[AFTER_CLAIM]).code == KILLED

    ended = run.run(0, *AT_ONCE, of=1, machine=run.elsewhere(tmp_path / "other"))

    assert ended.code == 0, ended.stderr
    run.everybody_once()


def test_a_campaign_that_shards_have_begun_is_not_sent_from_a_directory_of_its_own(begin: Begin) -> None:
    run = begin(2 * BATCH)
    assert run.run(0).code == 0

    alone = run.cli("run", "job.toml", "--yes")

    assert alone.code == 78
    assert run.url in alone.stderr
    assert run.run(1).code == 0
    run.everybody_once()


def test_what_is_left_in_doubt_is_asked_for_again_by_the_same_command(begin: Begin, api: Simulator) -> None:
    """A refusal after an attempt without an answer says nothing: they may not have got it, and nobody else will ask."""
    run = begin(12)
    lost = {"on": "POST /v3/messages", "do": "drop_before", "nth": [1]}
    api.set_faults([lost, {**_SPLIT[0], "nth": [2]}])
    first = run.run(0, of=1)
    assert (first.code, sum(run.messaged().values())) == (4, 8), first.stderr
    api.set_faults([])

    assert run.run(0, of=1).code == 0
    run.everybody_once()
    assert run.cli("status", run.url).stdout.splitlines()[-1] == "shards     1 done"
