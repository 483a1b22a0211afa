"""``pause``, ``go`` and ``rate`` where many send one run; and what they spend, in the books of the driver's machine."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from support.cli import KEY, Cli, matches, numbers, sends, wait_until
from support.cluster import Cluster, ClusterRun, happens
from support.doubles import ManualClock, Recorder
from support.forks import Forks
from support.plans import make_plan, people
from support.shards import SharedRun
from support.simulator import Simulator

from broadcaster.cluster.lease import Keeper
from broadcaster.cluster.leased import LeasedBudget
from broadcaster.cluster.mirror import mirror, publish_plan
from broadcaster.cluster.objects import done_name, part_name
from broadcaster.cluster.orders import followed_orders, note_followed, read_orders, require_orders_to_go, steer_shared
from broadcaster.cluster.reins import LOOK_EVERY_S, OfAShare, Wanted, steered_from
from broadcaster.cluster.spending import Books, noted_by, say_noted
from broadcaster.cluster.storage import Storage
from broadcaster.core import leases, livepace
from broadcaster.core.control import Control, Order
from broadcaster.core.pacing import Limit, Source
from broadcaster.core.window import Ceilings
from broadcaster.core.words import Steering
from broadcaster.engine.ports import Ordered
from broadcaster.engine.stop import Stop
from broadcaster.errors import ConfigError, RunPaused, StoreDamaged
from broadcaster.store.journal import JournalReader
from broadcaster.store.rundir import RunDir
from broadcaster.store.spend import Spend
from broadcaster.store.spendbeside import SpendBeside

RUN = "runs/acceptance"
PEOPLE = 40
ADDRESS, POOL, ONE, OTHER = "https://api", "account-1", "launch-1", "launch-2"


def order(what: str, at_us: int = 1, per_minute: int | None = None, who: str = "ada@desk") -> Order:
    return Order(what=Steering(what), who=who, at_us=at_us, per_minute=per_minute)


def quiet_for(simulator: Simulator, seconds: float) -> bool:
    """Whether the API has received nothing for so long, by the machine's clock."""
    last_us: int = max(each["received_us"] for each in simulator.requests())
    return time.time() - last_us / 1e6 > seconds


# ---- with real workers ----------------------------------------------------------------------------------------------


def test_workers_stop_for_a_pause_go_on_after_go_and_keep_another_rate(tmp_path: Path, forks: Forks) -> None:
    """And when the driver is killed nobody gets another turn, and another one goes on, on the same cluster."""
    (tmp_path / "home").mkdir()
    cli = Cli(tmp_path / "home", launcher=forks)
    cli.people(PEOPLE)
    cli.job(limits={"batch_size": 1, "concurrency": 1, "requests_per_minute": 240})
    with (
        Simulator(key=KEY, requests_per_minute=240) as simulator,
        closing(Cluster(tmp_path / "cluster", forks)) as dask,
    ):
        run = ClusterRun(cli, simulator, forks)
        flags = ("--cluster", dask.address, "--yes")
        driver = run.start("run", "job.toml", *flags)
        run.reaches(2, what="the run is under way")
        assert cli("pause", RUN).stderr.startswith(f"{RUN} is paused; messages under way end properly.\n")
        happens(lambda: list((run.path / "orders").glob("*-pause.json")), what="the pause is followed")
        happens(lambda: quiet_for(simulator, 1.0), what="the keeper has heard of it")
        shown = cli("status", RUN)  # each command takes as long as some requests would
        left = len(sends(simulator))
        assert "state      paused by " in shown.stdout
        assert cli("pause", run.url).stderr.startswith(f"{run.url} is paused already, by ")
        assert left < PEOPLE / 2

        assert cli("rate", "30", RUN).code == 0  # one in two seconds, from now on
        assert len(sends(simulator)) == left
        assert cli("go", RUN).stderr == f"{RUN} goes on.\n"
        happens(lambda: len(sends(simulator)) >= left + 2, what="it goes on")
        late = [each["received_us"] / 1e6 for each in sends(simulator)][left:]
        assert late[1] - late[0] > 1.5

        driver.process.kill()
        said = driver.result().stderr
        for each in ("paused by", "lets it go on", "set the limit to 30 requests/min"):
            assert each in said
        assert cli("rate", "100000", RUN).code == 0  # which nobody hears
        ended = cli("resume", RUN, *flags, "--json")
        assert ended.code == 0, ended.stderr
        matches(run.path, simulator.messages())
        assert len(simulator.messages()) == PEOPLE
        assert not [each for each in simulator.requests() if each["status"] == 429]
        followed = [str(each.what) for each in followed_orders(Storage.open(run.url))]
        assert followed == ["pause", "rate", "go", "rate"]
        assert "rate 30 a minute" in (run.path / "report.html").read_text()
        finished = cli("go", RUN)
        assert (finished.code, "is settled" in finished.stderr) == (2, True)


# ---- shards that nobody drives --------------------------------------------------------------------------------------


def test_a_shard_that_nobody_drives_follows_by_itself(tmp_path: Path, forks: Forks) -> None:
    with Simulator(key=KEY, lifecycle_speed=0) as simulator:
        run = SharedRun(
            tmp_path, simulator, numbers(24), forks=forks, limits={"batch_size": 1, "requests_per_minute": 240}
        )
        assert run.plan().code == 0
        assert run.cli("pause", run.url).code == 0
        refused = run.run(0, of=1)
        assert refused.code == 75
        assert re.search(
            rf"is paused by \S+ since .*; nothing is sent before 'broadcaster go {run.url}'", refused.stderr
        )
        assert not sends(simulator)

        assert run.cli("go", run.url).code == 0
        started = run.start(0, "--rate-share", "1/2", of=1)
        wait_until(lambda: len(sends(simulator)) > 2, what="it sends")
        assert run.cli("pause", run.url).code == 0
        wait_until(lambda: [each.what for each in followed_orders(run.storage)] == ["pause"], what="it is followed")
        wait_until(lambda: all(each["status"] for each in sends(simulator)), what="what was under way is answered")
        left = len(sends(simulator))
        assert run.cli("rate", "100000", run.url).code == 0
        assert run.cli("status", run.url).code == 0
        assert len(sends(simulator)) == left < len(run.to)
        assert run.cli("go", run.url).code == 0
        ended = started.result()
        assert ended.code == 0, ended.stderr
        run.everybody_once()
        said = [line.removeprefix("shard 0 of 1: ") for line in ended.stderr.splitlines()]
        assert any(each.startswith("paused by ") for each in said)
        assert any(each.endswith(" lets it go on") for each in said)
        assert any(each.endswith("set the limit of all shards to 100,000 requests/min") for each in said)


@pytest.mark.parametrize(
    ("per_minute", "share", "mine"),
    [
        pytest.param(200, 0.25, 50, id="a share of it"),
        pytest.param(200, 1.0, 200, id="all of it"),
        pytest.param(3, 0.25, 1, id="never less than one a minute"),
    ],
)
def test_a_rate_is_that_of_all_shards_together(per_minute: int, share: float, mine: int) -> None:
    wanted = Wanted()
    reins = OfAShare(pacer=wanted, share=share)

    reins.set_limit(per_minute, since_us=7)
    reins.hold()
    held = wanted.told
    reins.go()

    assert (held, wanted.told) == ((True, mine), (False, mine))


# ---- orders in a shared directory -----------------------------------------------------------------------------------


@pytest.fixture
def planned(disk: Storage, tmp_path: Path) -> Storage:
    """A run of six requests in two shards, that nobody has begun."""
    (tmp_path / "base").mkdir()
    publish_plan(make_plan(tmp_path / "base", people(12), batch_size=2), disk, shards=2, meta={})
    return disk


PAUSE, GO, RATE = order("pause", 1), order("go", 2), order("rate", 3, 60)


@pytest.mark.parametrize(
    ("before", "given", "changed", "holds"),
    [
        pytest.param((), PAUSE, True, Control(switch=PAUSE), id="a pause"),
        pytest.param((PAUSE,), order("pause", 9), False, Control(switch=PAUSE), id="a second pause"),
        pytest.param((PAUSE,), GO, True, Control(switch=GO), id="a go"),
        pytest.param((), GO, False, Control(), id="a go without a pause"),
        pytest.param((PAUSE,), RATE, True, Control(switch=PAUSE, rate=RATE), id="a rate of a paused run"),
        pytest.param((RATE,), order("rate", 9, 60), False, Control(rate=RATE), id="the same rate"),
    ],
)
def test_an_order_holds_until_another_one(
    planned: Storage, before: tuple[Order, ...], given: Order, *, changed: bool, holds: Control
) -> None:
    for each in before:
        steer_shared(planned, each)

    steered = steer_shared(planned, given)

    assert (steered.changed, steered.control, steered.holder) == (changed, holds, None)
    assert read_orders(planned) == holds


def test_a_paused_run_refuses_until_it_may_go(planned: Storage) -> None:
    require_orders_to_go(planned)
    steer_shared(planned, PAUSE)
    with pytest.raises(RunPaused, match=rf"paused by ada@desk since .*'broadcaster go {planned.name}'"):
        require_orders_to_go(planned)
    steer_shared(planned, GO)
    require_orders_to_go(planned)


def test_orders_that_cannot_be_read_are_written_anew_by_a_pause_but_not_by_a_rate(planned: Storage) -> None:
    planned.replace("control.json", b'{"version": 1, "switch": {"what": "pau')
    with pytest.raises(StoreDamaged, match=f"'broadcaster go {planned.name}'"):
        steer_shared(planned, RATE)
    assert steer_shared(planned, PAUSE).was_damaged
    assert read_orders(planned).paused == PAUSE


def test_where_nothing_is_to_be_sent_there_is_nothing_to_order(planned: Storage, tmp_path: Path) -> None:
    steer_shared(planned, PAUSE)
    for shard in (0, 1):
        for name in (part_name(shard, 0, 0), done_name(shard)):
            planned.create(name, b"{}")
    with pytest.raises(ConfigError, match="is settled and nobody works on it"):
        steer_shared(planned, RATE)
    assert steer_shared(planned, GO).changed  # a pause that outlived the end
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no shared run"):
        steer_shared(Storage.open(f"file://{tmp_path}/empty"), PAUSE)


def test_what_several_followed_is_in_the_story_once(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    publish_plan(make_plan(tmp_path / "base", people(12), batch_size=2), storage, shards=2, meta={})
    for each in (RATE, PAUSE, PAUSE, GO):
        steer_shared(storage, each)
        note_followed(storage, each)

    mirror(storage, RunDir(tmp_path / "copy"))

    with JournalReader(tmp_path / "copy/journal.sqlite") as journal:
        assert list(journal.orders()) == [PAUSE, GO, RATE] == followed_orders(storage)
    assert read_orders(storage) == Control(switch=GO, rate=RATE)


async def test_what_an_earlier_launch_followed_is_in_force_but_not_written_down_again(planned: Storage) -> None:
    for each in (PAUSE, GO, RATE):
        steer_shared(planned, each)
        note_followed(planned, each)
    heard, wanted = Recorder(), Wanted()

    async with steered_from(planned, wanted, observe=heard, clock=ManualClock()):
        assert wanted.told == (False, 60)

    assert heard.events == [Ordered(order=RATE)]
    assert len(planned.names("orders")) == 3


async def test_an_order_is_followed_at_the_next_look(planned: Storage) -> None:
    clock, wanted = ManualClock(), Wanted()
    async with steered_from(planned, wanted, observe=Recorder(), clock=clock):
        steer_shared(planned, PAUSE)
        assert wanted.told == (False, None)
        async with asyncio.timeout(10):
            while not wanted.held:
                await asyncio.sleep(0)
                clock.step(LOOK_EVERY_S)
        assert wanted.told == (True, None)


# ---- the keeper -----------------------------------------------------------------------------------------------------


class World:
    """A keeper, its clock, and two launches of one account."""

    def __init__(self, *, requests: int = 60, **more: Any) -> None:
        self.clock = ManualClock()
        self.keeper = Keeper(self.clock)
        for run in (ONE, OTHER):
            limits = {"requests": requests, "messages": 0, "largest": 1, **more}
            self.keeper.open(run=run, pool=POOL, client=run, limits=limits, spent=(), used_ago_s=None)

    def order(self, *, held: bool = False, rate: int | None = None, run: str = ONE) -> dict[str, Any]:
        return self.keeper.look(run=run, ordered=(held, rate))

    def turns(self, seconds: float, *, run: str = ONE, every_s: float = 0.05) -> int:
        """Return how many turns somebody gets who asks again and again."""
        found = 0
        for _ in range(round(seconds / every_s)):
            found += not self.keeper.turn(run=run, who=run, messages=1, patient=False)["wait_s"]
            self.clock.step(every_s)
        return found

    @property
    def held(self) -> int:
        return self.keeper.pools[POOL].held(now_s=self.clock.monotonic())[0]


def test_a_paused_launch_gets_no_turn_and_another_one_of_the_account_does() -> None:
    world = World()
    assert world.turns(2) == 2
    world.order(held=True)
    assert world.turns(3) == 0
    assert world.turns(3, run=OTHER) == 3
    world.order(held=False)
    assert world.turns(2) == 2


def test_a_slower_rate_is_that_of_one_launch_alone() -> None:
    world = World(requests=240)
    assert world.order(rate=60)["limit"][:3] == (60, None, "live")
    assert world.turns(4) == 4
    assert world.turns(4, run=OTHER) > 12
    assert world.keeper.look(run=OTHER)["limit"][:3] == (240, None, "configured")
    world.order(rate=None)
    assert world.turns(4) > 12


def test_a_launch_that_is_opened_while_orders_hold_begins_with_them() -> None:
    world = World(requests=240)
    limits = {"requests": 240, "messages": 0, "largest": 1}
    world.keeper.open(run=ONE, pool=POOL, client=ONE, limits=limits, spent=(), used_ago_s=None, ordered=(True, 60))
    assert world.turns(2) == 0
    assert world.order(rate=60)["limit"][0] == 60
    assert world.turns(2) == 2


@pytest.mark.parametrize(
    ("end", "arguments"),
    [
        pytest.param("close", {"run": ONE}, id="it ends"),
        pytest.param("leave", {"client": ONE}, id="its driver is gone"),
    ],
)
def test_a_higher_rate_holds_until_the_api_names_a_lower_one_and_ends_with_its_launch(
    end: str, arguments: dict[str, str]
) -> None:
    world = World(requests=60)
    assert world.order(rate=240)["limit"][:3] == (240, None, "live")
    assert world.turns(2) > 6
    heard = {"throttled": False, "retry_after_s": None, "limit": 120, "remaining": None}
    world.keeper.tell(run=ONE, who="a", heard=[heard], counts={}, said=[])
    assert world.order(rate=240)["limit"][:3] == (120, None, "learned")
    assert world.order(rate=200)["limit"][:3] == (200, None, "live"), "somebody knows better than what was learned"
    getattr(world.keeper, end)(**arguments)
    assert world.keeper.look(run=OTHER)["limit"][:3] == (60, None, "configured")


def test_a_429_slows_a_launch_with_a_rate_of_its_own() -> None:
    world = World(requests=240)
    world.order(rate=60)
    heard = {"throttled": True, "retry_after_s": 1.0, "limit": None, "remaining": None}
    world.keeper.tell(run=ONE, who="a", heard=[heard], counts={}, said=[])
    assert world.order(rate=60)["limit"] == (30, None, "live", True)


@pytest.mark.parametrize(
    ("unseen_s", "answer"),
    [
        pytest.param(4.0, {"wait_s": 0.0}, id="a slow look is none of a driver that is gone"),
        pytest.param(6.0, {"wait_s": 0.25, "held": True}, id="nobody sends whom nobody watches"),
        pytest.param(61.0, {"stop": "nobody watches over this run any more: its driver is gone"}, id="it is gone"),
    ],
)
def test_a_driver_that_does_not_look_any_more_lets_nobody_send(unseen_s: float, answer: dict[str, Any]) -> None:
    """Its machine may be gone without a word: the connection stays for minutes."""
    world = World()
    world.order()
    world.clock.step(unseen_s)
    assert world.keeper.turn(run=ONE, who="a", messages=1, patient=False) == answer
    if "wait_s" in answer:  # it was only stopped for a while
        world.order()
        world.clock.step(1)
        assert world.turns(1) == 1


def test_what_others_spend_is_counted_once_whoever_tells_it() -> None:
    world = World()
    row = ("somebody@7", 2.0, 10, 10)
    world.keeper.look(run=ONE, beside=[row])
    world.keeper.look(run=OTHER, beside=[row])
    assert world.held == 10
    world.keeper.look(run=ONE, beside=[("somebody@7", 2.5, 12, 12), (f"{world.keeper.name}@7", 2.5, 30, 30)])
    assert world.held == 12, "its own turns are counted already"
    world.clock.step(59.5)
    assert world.held == 0


async def test_a_worker_knows_how_long_it_was_held() -> None:
    """The silence of the API in a pause is no reason to give up."""
    world = World()

    async def call(question: str, arguments: Any) -> Any:
        return getattr(world.keeper, question)(**arguments)

    budget = LeasedBudget(call=call, run=ONE, stop=Stop(), clock=world.clock)
    world.order(held=True)
    for _ in range(5):
        assert not await budget.at_once(1)
        world.clock.step(600)
        world.order(held=True)
    world.order(held=False)
    assert await budget.at_once(1)
    world.clock.step(10)
    assert budget.held_s() == 3000


# ---- rates as arithmetic --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "learned", "most", "anew", "in_force"),
    [
        pytest.param(60, None, 30, True, (60, "configured"), id="slower: the account keeps its limit"),
        pytest.param(60, None, 90, True, (90, "live"), id="faster: believed"),
        pytest.param(60, 40, 90, True, (90, "live"), id="faster than what was learned before: believed"),
        pytest.param(60, 40, 90, False, (40, "learned"), id="faster, and the API has said otherwise since"),
        pytest.param(60, None, None, False, (60, "configured"), id="nobody orders any more"),
        pytest.param(0, None, 90, True, (0, "configured"), id="an account without a limit keeps none"),
    ],
)
def test_the_limit_of_an_account_of_which_a_run_has_another_rate(
    asked: int, learned: int | None, most: int | None, in_force: tuple[int, str], *, anew: bool
) -> None:
    pool = leases.opened(requests=asked, messages=0, largest=1, learned=learned, now_s=0)

    assert livepace.allowing(pool, most, anew=anew, now_s=1).standing.in_force == in_force


@pytest.mark.parametrize(
    ("mine", "of_all", "told"),
    [
        pytest.param(30, 60, (30, Source.LIVE), id="the run's own is lower"),
        pytest.param(90, 60, (60, Source.CONFIGURED), id="the account's is lower"),
        pytest.param(90, None, (90, Source.LIVE), id="the account has none"),
    ],
)
def test_the_lower_limit_is_told(mine: int, of_all: int | None, told: tuple[int, Source]) -> None:
    own = Limit(requests_per_minute=mine, messages_per_minute=None, source=Source.LIVE)
    account = Limit(requests_per_minute=of_all, messages_per_minute=5, source=Source.CONFIGURED)

    limit = livepace.lower(own, account)

    assert (limit.requests_per_minute, limit.source, limit.messages_per_minute) == (*told, 5)


def test_whoever_waits_for_its_own_rate_keeps_no_place_in_the_accounts_line() -> None:
    pool = leases.opened(requests=600, messages=0, largest=1, now_s=0)
    mine = livepace.ordered(1, now_s=0)
    mine, pool, first_s = livepace.ask_both(mine, pool, who="a", messages=1, patient=True, now_s=0)
    mine, pool, second_s = livepace.ask_both(mine, pool, who="b", messages=1, patient=True, now_s=1)
    assert first_s == 0
    assert second_s > 50
    assert pool.line == ()
    assert [place.who for place in mine.line] == ["b"]


# ---- the books of the driver's machine ------------------------------------------------------------------------------


class Desk:
    """A machine with its file, a local run of the account on it, and the books of a launch on a cluster."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.clock.step(1000)
        self.beside = SpendBeside(path, address=ADDRESS, clock=self.clock)
        self.local = Spend(path, address=ADDRESS, clock=self.clock)
        for each in (self.beside, self.local):
            each.belongs_to(POOL)
        self.books = Books(self.beside)

    def send(self, count: int, *, limit: int = 60) -> int:
        """Let the local run send; return how often it may."""
        limits = Ceilings(requests=limit, messages=0)
        return sum(not self.local.take(1, ceilings=limits, patient=False).wait_s for _ in range(count))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "limits.sqlite")
    yield desk
    desk.beside.close()
    desk.local.close()


def look(given: int, *, limit: int | None = 60, source: str = "configured") -> dict[str, Any]:
    return {"given": (given, given), "limit": (limit, None, source, False)}


def test_what_the_keeper_let_go_is_spent_for_a_local_run(desk: Desk) -> None:
    desk.books.begin("keeper")
    assert desk.books.note(look(20))
    assert desk.books.note(look(50))
    assert desk.send(60) == 10
    assert desk.books.knows("keeper")
    assert not desk.books.knows("another")
    desk.clock.step(61)
    assert desk.send(60) == 60
    assert not desk.books.knows("keeper")


def test_a_local_run_that_is_allowed_less_than_the_cluster_is_not_starved_by_it(desk: Desk) -> None:
    desk.books.begin("keeper")
    desk.books.note(look(100, limit=200))
    assert desk.send(30, limit=60) == 30


def test_a_launch_without_a_limit_needs_no_books(desk: Desk) -> None:
    desk.books.begin("keeper")
    assert desk.books.note(look(1000, limit=None))
    assert desk.books.note(look(1005))  # somebody has ordered a rate
    assert desk.send(60) == 55


def test_what_the_api_told_the_workers_is_known_to_later_runs_of_this_machine(desk: Desk) -> None:
    desk.books.begin("keeper")
    desk.books.note(look(1, limit=40, source="learned"))
    assert desk.local.belongs_to(POOL).learned == 40


def test_what_a_local_run_spends_is_told_to_the_keeper_until_it_has_heard(desk: Desk) -> None:
    desk.send(3)
    assert [row[2:] for row in desk.books.opening()] == [(3, 3)]
    desk.books.begin("keeper")
    assert desk.books.news() == []
    desk.clock.step(1)
    desk.send(2)
    assert [row[1:] for row in desk.books.news()] == [(0.0, 2, 2)]
    assert [row[2:] for row in desk.books.news()] == [(2, 2)], "nobody has answered yet"
    desk.books.note(look(7))
    assert desk.books.news() == [], "its own turns are no news to the keeper"


def nobody(storage: Storage) -> None:
    del storage


def _sent(storage: Storage) -> None:
    storage.create(part_name(1, 0, 2), b"x")


def _damaged(storage: Storage) -> None:
    storage.replace("noted.json", b"[")


@pytest.mark.parametrize(
    ("since", "known"),
    [
        pytest.param(nobody, "keeper", id="nobody has sent since"),
        pytest.param(_sent, None, id="somebody has sent since"),
        pytest.param(_damaged, None, id="nobody can read it"),
    ],
)
def test_books_have_everything_until_somebody_else_sends(
    disk: Storage, since: Callable[[Storage], None], known: str | None
) -> None:
    assert noted_by(disk) is None
    disk.create(part_name(1, 0, 1), b"x")
    say_noted(disk, "keeper")

    since(disk)

    assert noted_by(disk) == known
