"""Shards as tasks of a Dask cluster: out they go, back come their ends.

Theory of operation. A shard is one task; Dask gives it to a worker, and to another one when that dies. Nothing of what
was sent comes back through Dask: the facts are in the shared directory, and what a task returns is for people. The
keeper of the limit (:mod:`broadcaster.cluster.lease`) is asked twice a second how far all shards are. When the run is
to stop it is told so: then nobody gets another turn, and every shard drains. When the scheduler is lost nobody can send
any more.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from broadcaster.cluster.lease import LeasePlugin, asked_of
from broadcaster.cluster.looks import Pace, news
from broadcaster.cluster.own import own_cluster
from broadcaster.cluster.reins import Wanted
from broadcaster.cluster.spending import Books
from broadcaster.cluster.where import CONNECT_S, WORKERS_S, Where, silence_dask, without_workers
from broadcaster.cluster.worker import IDLE_S, Ended, Order, send_shard
from broadcaster.engine.ports import Observe
from broadcaster.engine.stop import Stop
from broadcaster.errors import (
    AccountRefused,
    BelongsToAnother,
    BroadcasterError,
    ConfigError,
    ExitCode,
    Halted,
    StoppedEarly,
    StoreError,
    first_of,
)

_RETRIES = 5  # of a shard whose storage fails
_LOOK_S = 0.5
_ANSWER_S = 2.0
_LOST_S = 30.0  # without a word of the scheduler
_AGAIN_S = 3.0  # before a shard is asked for again that somebody had in hand a moment ago
# These end the whole run, wherever they are found first.
_GRAVE: dict[ExitCode, type[BroadcasterError]] = {
    ExitCode.STORE: StoreError,
    ExitCode.REFUSED: AccountRefused,
    ExitCode.FOREIGN: BelongsToAnother,
    ExitCode.USAGE: ConfigError,
    ExitCode.HALTED: Halted,
}


class _Aborted(Exception):
    """Asked to stop now."""


@dataclass(slots=True, kw_only=True)
class Launch:
    """One launch of a run on a cluster.

    Attributes:
        client: of the cluster.
        url, mode, base_url, profile, key_env: what workers have to know besides their key.
        pace: kept up to date.
        observe: hears what is settled, as far as the workers have told.
        say: is told what people should read: a shard's end, or what a worker waits for.
        stop: asked to drain or abort.
        wanted: what people ordered; told with every look.
        books: where what was let go is written down.
        name: by which the keeper knows it.
    """

    client: Client
    url: str
    mode: str
    base_url: str
    profile: str | None
    key_env: str | None
    pace: Pace
    observe: Observe
    say: Callable[[str], None]
    stop: Stop
    wanted: Wanted = field(default_factory=Wanted)
    books: Books | None = None
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _noted: bool = False  # all that was let go, and nobody is let go any more
    _counts: Mapping[str, int] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _early: list[BroadcasterError] = field(default_factory=list)  # why shards stopped, the gravest first

    async def send(self, shards: Sequence[int], opening: Mapping[str, Any]) -> BroadcasterError | None:
        """Send *shards*; return why not everything of them was sent, ``None`` when nothing stopped it.

        Args:
            shards: their indices.
            opening: what the keeper is told; see :meth:`broadcaster.cluster.lease.Keeper.open`.

        Raises:
            ConfigError: scheduler or workers cannot run our code.
            StoppedEarly: the scheduler was lost.
        """
        with _sentences():
            await self.client.register_plugin(LeasePlugin())
            opened = await self._ask("open", client=self.client.id, ordered=self.wanted.told, **opening)
        if self.books is not None:
            self.books.begin(opened["keeper"])
        if opened["new"] and opening["used_ago_s"] is not None:
            self.say(
                "this run was sent to a moment ago, and this scheduler does not know how much: it begins when the "
                "minute of then is over"
            )
        try:
            async with asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(self._follow(), name="progress"),
                    group.create_task(self._abort(), name="abort"),
                ]
                async with asyncio.TaskGroup() as sending:
                    for shard in shards:
                        sending.create_task(self._shard(shard), name=f"shard-{shard}")
                for each in beside:
                    each.cancel()
        except* _Aborted:
            pass
        except* BroadcasterError as errors:
            raise first_of(errors) from None
        if self.stop.aborting:
            return StoppedEarly("stopped at once; what was in flight is in doubt until the run goes on")
        with contextlib.suppress(OSError, TimeoutError):  # it only completes the counts on the screen
            self._noted = await self._look()
            await self._ask("close")
        return self.stop.because or (self._early[0] if self._early else None)

    async def _abort(self) -> None:
        await self.stop.aborted()
        raise _Aborted

    # ---- shards -----------------------------------------------------------------------------------------------------

    async def _shard(self, shard: int) -> None:
        """Have a shard sent; wait for a former owner that died a moment ago to be known as dead."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        while (ended := await self._ended(shard)).locked and now_s() - began_s <= IDLE_S + _AGAIN_S:
            if self.stop.draining:
                break
            self._say_once(f"waiting: {ended.why}")
            await self.stop.sleep(_AGAIN_S)
        self.say(ended.text)
        if ended.code in _GRAVE:
            error = _GRAVE[ended.code](ended.why)
            self._early.insert(0, error)
            self.stop.drain(error)
        elif ended.code is ExitCode.STOPPED:
            self._early.append(StoppedEarly(ended.why))

    async def _ended(self, shard: int) -> Ended:
        order = Order(
            url=self.url,
            shard=shard,
            run=self.name,
            mode=self.mode,
            base_url=self.base_url,
            profile=self.profile,
            key_env=self.key_env,
        )
        key = f"broadcaster-shard-{shard:05}-{uuid.uuid4().hex}"
        with _sentences():
            future = self.client.submit(send_shard, order, key=key, pure=False, retries=_RETRIES)
            try:
                ended: Ended = await future
            finally:
                future.release()  # type: ignore[no-untyped-call]  # Dask's
        return ended

    # ---- progress ---------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Look twice a second; when the run is to drain, say so to the keeper."""
        now_s = asyncio.get_running_loop().time
        heard_s, told = now_s(), False
        while True:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    if self.stop.draining and not told:
                        because = self.stop.because
                        why = because.sentence if because is not None else "stopped before everything was sent"
                        await self._ask("stop", why=why)
                        told = True
                    await self._look()
                heard_s = now_s()
            except (OSError, TimeoutError):
                if now_s() - heard_s > _LOST_S:
                    raise _lost() from None
            if told:
                await asyncio.sleep(_LOOK_S)
            else:
                await self.stop.sleep(_LOOK_S)

    @property
    def noted(self) -> bool:
        """Whether the books have all that was ever let go."""
        return self._noted

    async def _look(self) -> bool:
        """Hear where the run is; return whether all that was let go is written down."""
        beside = self.books.news() if self.books is not None else []
        look = await self._ask("look", ordered=self.wanted.told, beside=beside)
        if "stop" in look:
            raise StoppedEarly(f"the scheduler has forgotten this run: {look['stop']}")
        self.pace.see(look)
        for each in news(self._counts, look["counts"]):
            self.observe(each)
        self._counts = look["counts"]
        for sentence in look["said"]:
            self._say_once(sentence)
        return self.books is not None and self.books.note(look)

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(sentence)

    async def _ask(self, question: str, **arguments: Any) -> Mapping[str, Any]:
        return await asked_of(self.client.scheduler, question, {"run": self.name, **arguments})


# ---- clusters -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def connected(where: Where, *, stop: Stop) -> AsyncIterator[Client]:
    """Yield a client of the cluster; one of our own lives as long as the block.

    Raises:
        ConfigError: nobody answers at its address, or its processes do not start.
        StoppedEarly: *stop* was asked to drain before it was there.
    """
    silence_dask()
    async with contextlib.AsyncExitStack() as stack:
        address = where.address or await stack.enter_async_context(own_cluster(where.workers, stop=stop))
        try:
            client = await stack.enter_async_context(Client(address, asynchronous=True, timeout=CONNECT_S))  # type: ignore[no-untyped-call]  # Dask's
        except OSError:
            raise ConfigError(
                f"no Dask scheduler answers at {where}; start one with 'dask scheduler', or send with --cluster local:4"
            ) from None
        yield client


async def workers_of(client: Client) -> int:
    """Return how many workers a cluster has, once it has any.

    Raises:
        StoppedEarly: it has none.
    """
    ready: Any = client.wait_for_workers(1, timeout=WORKERS_S)  # type: ignore[func-returns-value]  # awaitable here
    found: Any = client.nthreads
    try:
        await ready
    except TimeoutError:
        raise without_workers() from None
    return len(await found())


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Say in a sentence what Dask raises."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"the cluster cannot run this code ({error}); install the same broadcaster on its scheduler and its "
            "workers: pip install 'broadcaster[cluster]'"
        ) from None
    except KilledWorker:
        raise StoppedEarly("a shard was begun on many workers, and each of them died; look at their memory") from None
    except (FutureCancelledError, OSError):
        raise _lost() from None


def _lost() -> StoppedEarly:
    return StoppedEarly("the scheduler of the cluster is lost; its workers have stopped sending")
