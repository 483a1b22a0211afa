"""Runs on a Dask cluster: real workers that are killed and stopped, judged by the simulator's ledger.

Schedulers and workers are forked, so that a test costs little more than what it sends; one cluster is started by the
program itself, as ``--cluster local:1`` says. Longer stories, by processes that start from nothing, are told by hand:
``python -m tests.cluster.soak``.
"""

import os
import pickle
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from distributed import Client
from support.cli import KEY, PATIENCE_S, Cli, matches, once
from support.cluster import Cluster, ClusterRun, stop, wake
from support.doubles import ManualClock, SteppingStop
from support.forks import Forks
from support.simulator import ROOT, Simulator

from broadcaster.clock import SystemClock
from broadcaster.cluster import worker
from broadcaster.cluster.dask_run import Launch, connected
from broadcaster.cluster.lease import LeasePlugin, asked_of
from broadcaster.cluster.leased import COUNTED, LeasedBudget
from broadcaster.cluster.looks import Pace, news
from broadcaster.cluster.shard import ShardEnd
from broadcaster.cluster.where import Where, require_dask
from broadcaster.cluster.worker import Ended, Order, send_shard
from broadcaster.core.pacing import Limit, Source
from broadcaster.core.shards import cut_shards, shards_for
from broadcaster.core.values import Verdict
from broadcaster.core.words import Action, Executed, Mode
from broadcaster.engine.stop import Stop
from broadcaster.errors import (
    AccountRefused,
    BelongsToAnother,
    BroadcasterError,
    ConfigError,
    ExitCode,
    Halted,
    StoreError,
)

PEOPLE, BATCH = 180, 3  # two shards of thirty requests
SLOW = [{"on": "POST /v3/messages", "do": "slow", "delay_s": 0.4}]  # so that a shard lasts, whatever the machine does


@pytest.fixture
def cli(tmp_path: Path, forks: Forks) -> Cli:
    """A user with a list and a job that knows no limit, in an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    cli = Cli(home, launcher=forks)
    cli.people(PEOPLE)
    cli.job(limits={"batch_size": BATCH, "concurrency": 1, "requests_per_minute": 0})
    return cli


@pytest.fixture
def cluster(tmp_path: Path, forks: Forks) -> Iterator[Cluster]:
    """A scheduler and two workers."""
    started = Cluster(tmp_path / "cluster", forks)
    yield started
    started.close()


def proved(run: ClusterRun) -> None:
    """Fail unless everybody was messaged once, the manifest says so, and nothing was refused as too fast."""
    messages = run.simulator.messages()
    matches(run.path, messages)
    assert len(messages) == PEOPLE
    assert not [each for each in run.simulator.requests() if each["status"] == 429]
    verified = run.cli("verify", run.url)
    assert verified.code == 0, verified.stderr


# ---- workers --------------------------------------------------------------------------------------------------------


def test_ctrl_c_is_for_the_driver_and_a_worker_that_is_killed_is_replaced(
    cli: Cli, cluster: Cluster, forks: Forks
) -> None:
    """All processes of the terminal get the signal, and what is in flight ends properly. Another cluster goes on."""
    with Simulator(key=KEY, faults=SLOW) as simulator:
        run = ClusterRun(cli, simulator, forks)
        driver = run.start("run", "job.toml", "--cluster", "local:1", "--yes", "--json")
        run.reaches(2, what="the run is under way")
        os.killpg(driver.pid, signal.SIGINT)
        ended = driver.result()
        assert ended.code == 75, ended.stderr
        counts = ended.json["deliveries"]
        assert counts["in_doubt"] == 0, "everything in flight ended properly"
        assert counts["pending"] > 0
        assert counts["accepted"] == len(simulator.messages())
        assert f"To go on: broadcaster resume {run.url} --cluster local:1" in ended.stderr

        driver = run.start("resume", "runs/acceptance", "--cluster", cluster.address, "--yes", "--json")
        run.reaches(3, what="the run goes on")
        shard, claim, pid = run.at_work()
        os.kill(pid, signal.SIGKILL)
        run.is_taken(shard, claim=claim + 1)
        simulator.set_faults([])
        ended = driver.result()
        assert ended.code == 0, ended.stderr
        assert ended.json["deliveries"]["accepted"] == PEOPLE
        proved(run)
        again = cli("resume", "runs/acceptance", "--cluster", "local:2")  # starts nothing: nothing is left to send
        assert (again.code, len(simulator.messages())) == (0, PEOPLE)
        alone = cli("resume", "runs/acceptance")
        assert alone.code == 2
        assert "--cluster" in alone.stderr


def test_a_stopped_worker_is_replaced_and_woken_and_the_scheduler_is_lost(
    cli: Cli, cluster: Cluster, forks: Forks
) -> None:
    """Nobody is messaged twice by the one that wakes; and when nobody keeps the limit any more, nothing is sent."""
    with Simulator(key=KEY, faults=SLOW) as simulator:
        run = ClusterRun(cli, simulator, forks)
        driver = run.start("run", "job.toml", "--cluster", cluster.address, "--yes")
        run.reaches(2, what="the run is under way")

        shard, claim, stopped = run.at_work()
        stop(stopped)
        run.is_taken(shard, claim=claim + 1)
        wake(stopped)  # it has a turn to send, or asks for one: its shard is another's
        run.reaches(2, what="the other worker goes on")

        cluster.scheduler.kill()
        ended = driver.result()
        assert ended.code == 75, ended.stderr
        assert "the scheduler of the cluster is lost" in ended.stderr
        assert f"broadcaster resume {run.url} --cluster {cluster.address}" in ended.stderr
        assert len(simulator.messages()) < PEOPLE
        cluster.close()

        simulator.set_faults([])
        of = run.shards()
        for each in range(of):  # it need not be a cluster that goes on
            where = ("--plan", run.url, "--shard", str(each), "--of", str(of))
            again = cli("run-shard", *where, "--take-over-after", "1ms")
            assert again.code == 0, again.stderr
        cli("manifest", run.url)
        proved(run)


def test_a_halt_in_one_shard_stops_all_of_them(cli: Cli, cluster: Cluster) -> None:
    to = cli.people(600)
    cli.job(limits={"batch_size": 12, "concurrency": 1, "requests_per_minute": 600}, safety={"halt_share": 0.05})
    with Simulator(key=KEY, refuse_number=to[:150], requests_per_minute=600) as simulator:
        cli.use(simulator)
        ended = cli("run", "job.toml", "--cluster", cluster.address, "--yes", "--json")
        assert ended.code == 5, ended.stderr
        assert "safety.halt_count" in ended.stderr
        counts = ended.json["deliveries"]
        assert counts["rejected"] > 10
        assert counts["pending"] > 150, "nobody went on as before"
        assert counts["accepted"] == len(simulator.messages())
        once(simulator.messages())


async def test_a_scheduler_that_stands_still_gives_no_turn_and_a_429_that_it_hears_of_is_for_all(
    cluster: Cluster,
) -> None:
    """What the rules of the keeper come to by way of a real one; they are tested in test_lease.py."""
    async with Client(cluster.address, asynchronous=True) as client:  # type: ignore[no-untyped-call]  # Dask's
        await client.register_plugin(LeasePlugin())
        ask = partial(asked_of, client.scheduler)
        limits = {"requests": 60_000, "messages": 0, "largest": 1}  # a turn every millisecond
        opening: dict[str, Any] = {"pool": "account", "limits": limits, "spent": [], "used_ago_s": None}
        await ask("open", {"run": "launch", "client": client.id, **opening})
        one, other = (LeasedBudget(call=ask, run="launch", stop=Stop(), clock=SystemClock()) for _ in range(2))
        await one.turn(1)

        cluster.scheduler.send_signal(signal.SIGSTOP)
        assert not await one.at_once(1)
        assert not await other.at_once(1)
        cluster.scheduler.send_signal(signal.SIGCONT)
        await other.turn(1)

        slower = Verdict(action=Action.REPEAT, executed=Executed.NO, throttled=True, retry_after_s=3600.0)
        one.throttled(slower)
        assert not await one.at_once(1)
        assert not await other.at_once(1)
        look = await ask("look", {"run": "launch"})
        assert look["limit"][0] == 30_000
        assert look["paused_s"] > PATIENCE_S


# ---- how shards end -------------------------------------------------------------------------------------------------


class Scripted(Launch):
    """A launch whose shards end as the test says."""

    def script(self, *ended: Ended) -> None:
        self.left = list(ended)

    async def _ended(self, shard: int) -> Ended:
        assert self.left[0].shard == shard
        return self.left.pop(0)


def scripted(*ended: Ended) -> tuple[Scripted, list[str]]:
    """Return a launch, and what it will have said."""
    said: list[str] = []
    limit = Limit(requests_per_minute=None, messages_per_minute=None, source=Source.DEFAULT)
    launch = Scripted(
        client=None,  # type: ignore[arg-type]  # nobody asks it anything
        url="file:///run",
        mode=Mode.LIVE,
        base_url="https://api.sent.dm",
        profile=None,
        key_env=None,
        pace=Pace(limit),
        observe=lambda _: None,
        say=said.append,
        stop=SteppingStop(ManualClock()),
    )
    launch.script(*ended)
    return launch, said


END = ShardEnd(shard=3, accepted=9, rejected=1, in_doubt=0, pending=0, why=None, code=ExitCode.SOME_REJECTED)


async def test_a_shard_that_somebody_had_in_hand_a_moment_ago_is_asked_for_again() -> None:
    locked = Ended(shard=3, code=ExitCode.STOPPED, why="in the hands of process 7", locked=True)
    launch, said = scripted(locked, locked, Ended(shard=3, end=END, code=END.code))
    await launch._shard(3)
    assert said == [
        "waiting: in the hands of process 7",
        "shard 3: 9 accepted · 1 rejected · 0 in doubt · 0 pending",
    ]
    assert not launch.stop.draining


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ExitCode.STORE, StoreError),
        (ExitCode.REFUSED, AccountRefused),
        (ExitCode.FOREIGN, BelongsToAnother),
        (ExitCode.USAGE, ConfigError),
        (ExitCode.HALTED, Halted),
    ],
)
async def test_what_is_wrong_with_one_shard_is_wrong_with_all_of_them(
    code: ExitCode, kind: type[BroadcasterError]
) -> None:
    launch, said = scripted(Ended(shard=3, code=code, why="somebody has to mend that"))
    await launch._shard(3)
    assert isinstance(launch.stop.because, kind)
    assert launch.stop.because.exit_code is code
    assert said == ["shard 3: somebody has to mend that"]


async def test_a_shard_that_stopped_for_its_own_reasons_stops_no_other() -> None:
    launch, _ = scripted(Ended(shard=3, code=ExitCode.STOPPED, why="the API has not answered for 30 minutes"))
    await launch._shard(3)
    assert not launch.stop.draining


# ---- what travels ---------------------------------------------------------------------------------------------------


def test_a_task_has_nothing_secret_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the graph holds: the function and its one argument. A key in it could not be pickled at all."""
    from distributed.protocol.pickle import dumps

    from broadcaster.job.settings import load_settings

    monkeypatch.setenv("SENT_DM_API_KEY", KEY)
    order = Order(url="s3://b/r", shard=7, run="launch", mode=Mode.LIVE, base_url="https://api.sent.dm", profile=None)
    laid: bytes = pickle.dumps(order) + dumps((send_shard, order))  # type: ignore[no-untyped-call]  # Dask's
    assert KEY.encode() not in laid
    assert b"launch" in laid
    with pytest.raises(TypeError):
        pickle.dumps((order, load_settings(dict(os.environ)).key))


async def test_a_worker_without_a_key_says_so_in_a_sentence(tmp_path: Path) -> None:
    async def keeper(question: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        assert question == "begin"
        assert arguments == {"run": "launch", "shard": 0}
        return {"again": False}

    order = Order(
        url=f"file://{tmp_path}", shard=0, run="launch", mode=Mode.LIVE, base_url="http://127.0.0.1:9", profile=None
    )
    with pytest.raises(ConfigError, match="SENT_DM_API_KEY_FILE"):
        await worker._send(order, call=keeper, environ={})


# ---- small decisions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("tcp://scheduler:8786", Where(address="tcp://scheduler:8786")),
        ("tls://10.0.0.7:8786", Where(address="tls://10.0.0.7:8786")),
        ("local:4", Where(workers=4)),
        ("local:0", None),
        ("local:many", None),
        ("local:99999", None),
        ("tcp://scheduler", None),
        ("http://scheduler:8786", None),
        ("", None),
    ],
)
def test_where_a_cluster_is(text: str, where: Where | None) -> None:
    if where is None:
        with pytest.raises(ConfigError, match="local:4"):
            Where.parse(text)
    else:
        assert Where.parse(text) == where
        assert str(where) == text


@pytest.mark.parametrize(
    ("batches", "workers", "limit", "shards"),
    [
        (200, 2, 200, 4),
        (10, 8, 200, 1),
        (100_000, 4, 200, 1334),
        (1_000_000, 64, 0, 200),
        (1, 1, 1, 1),
        (0, 4, 200, 1),
    ],
)
def test_a_shard_is_a_minute_or_two_of_work(batches: int, workers: int, limit: int, shards: int) -> None:
    assert shards_for(batches, workers=workers, requests_per_minute=limit) == shards
    assert all(len(each) for each in cut_shards(batches, of=shards))


def test_what_happened_between_two_looks_is_told_request_by_request() -> None:
    before = dict.fromkeys(COUNTED, 0)
    now: dict[str, Any] = {**before, "requests": 3, "accepted": 30, "rejected": 2, "born": 1}
    told = list(news(before, now))
    assert len(told) == 3
    assert Counter({name: sum(getattr(each, name) for each in told) for name in COUNTED[1:]}) == Counter(
        accepted=30, rejected=2, born=1, in_doubt=0, earlier_launch=0
    )
    assert list(news(now, now)) == []


def test_without_dask_a_cluster_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'broadcaster[cluster]'")):
        require_dask()


async def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broadcaster.cluster.dask_run.CONNECT_S", 0.2)
    with pytest.raises(ConfigError, match=re.escape("no Dask scheduler answers at tcp://127.0.0.1:9")):
        async with connected(Where(address="tcp://127.0.0.1:9"), stop=Stop()):
            pass


def test_the_tree_is_the_one_under_test() -> None:
    import broadcaster

    assert Path(broadcaster.__file__).is_relative_to(ROOT)
