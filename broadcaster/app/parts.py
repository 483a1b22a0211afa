"""What the use cases share: which API is spoken to, the embedded simulator, the client behind the pacer."""

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from broadcaster.api import lookups
from broadcaster.api.client import Client
from broadcaster.app.embedded import simulator
from broadcaster.clock import Clock, SystemClock
from broadcaster.core.pacing import Source, Standing
from broadcaster.core.words import Mode
from broadcaster.engine.exchange import Exchange
from broadcaster.engine.pacer import Pacer
from broadcaster.engine.ports import Budget, Observe
from broadcaster.engine.stop import Stop
from broadcaster.errors import BelongsToAnother, ConfigError
from broadcaster.job.model import Api, Limits
from broadcaster.job.settings import Secret, base_url, load_settings, profile_id, sender_id
from broadcaster.store import account
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.spend import Spend, spend_path

T = TypeVar("T")
VERSION = version("broadcaster")
SIMULATOR_URL = "BROADCASTER_SIMULATOR_URL"  # environment: a simulator that runs already, for rehearsals
_SIMULATED_KEY = "simulator"
_SIMULATED_SENDER = "00000000-0000-4000-8000-000000000001"
# Read-only requests that go before the senders' own: one connection more than there are senders.
_SPARE_CONNECTIONS = 1
_COLLECT_EVERY = 10_000  # new objects; Python's own 700 are those of ten requests
# How long look-ups are tried: somebody may be waiting in front of the screen, and nobody has been messaged yet.
_SILENT_S = 5.0  # a wrong address, or no network
_BUSY_S = 90.0  # "too many requests" usually asks for a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which API, with which credentials.

    ``identity`` is the base URL as the account's fingerprint has it; ``place`` is where that account is the only one of
    its name, so that its limit is shared. ``sender`` is what the first version of the API wants besides the key, and
    ``account`` whom the credentials belong to, where that is known without asking: that version does not tell.
    """

    base_url: str
    identity: str
    place: str
    key: Secret
    profile: str | None
    sender: str | None = None
    account: str | None = None

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that prove who we are; never to be shown."""
        headers = {"x-api-key": self.key.reveal()}
        if self.profile:
            headers["x-profile-id"] = self.profile
        if self.sender:
            headers["x-sender-id"] = self.sender
        return headers


@contextlib.contextmanager
def access(
    mode: Mode, environ: Mapping[str, str], *, state: Path | None = None, legacy: bool = False
) -> Iterator[Access]:
    """Yield the API to speak to: Sent's by the environment, or a simulator of our own that lives as long as the block.

    Args:
        mode: simulated starts the embedded simulator.
        environ: where key, address and profile come from.
        state: the simulator's file; ``None`` keeps its state in memory.
        legacy: with the credentials of the API's first version.

    Raises:
        ConfigError: the environment is not usable.
        StoreError: the simulator cannot be started.
    """
    if mode is not Mode.SIMULATED:
        settings = load_settings(environ)
        sender = sender_id(environ) if legacy else None
        yield Access(
            base_url=settings.base_url,
            identity=settings.base_url,
            place=settings.base_url,
            key=settings.key,
            profile=settings.profile_id,
            sender=sender,
            account=sender,
        )
        return
    running = environ.get(SIMULATOR_URL)
    with contextlib.nullcontext(running) if running else simulator(environ, state) as url:
        # The port changes with every start; the account is the one in the state file.
        yield Access(
            base_url=url,
            identity="simulated",
            place=_simulated(state) if state is not None and not running else url,
            key=Secret(_SIMULATED_KEY),
            profile=profile_id(environ),
            sender=_SIMULATED_SENDER if legacy else None,
        )


def limit_in_sight(limits: Limits, mode: Mode, environ: Mapping[str, str], *, state: Path) -> tuple[int, Source]:
    """Return the limit of requests that a run will have and where it comes from, as far as can be known before it asks.

    What was learned counts where this user has one account there.
    """
    learned = None
    with contextlib.suppress(ConfigError):  # a plan needs no usable address
        place = _simulated(state) if mode is Mode.SIMULATED else base_url(environ)
        if spend_path().exists():
            with contextlib.closing(Spend(spend_path(), address=place, clock=SystemClock())) as spend:
                learned = spend.of_the_only_account().learned
    return Standing(asked=limits.requests_per_minute, chosen=_chosen(limits), learned=learned).in_force


def _simulated(state: Path) -> str:
    return f"simulated {state.resolve()}"


def _chosen(limits: Limits) -> bool:
    return "requests_per_minute" in limits.model_fields_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An open line to the API: ``send`` for the engine, which paces itself; ``ask`` for look-ups."""

    send: Client
    ask: Exchange
    pacer: Pacer
    place: str

    def belongs_to(self, account_id: str) -> None:
        """Hear whose key it is: its limit is shared with every run of the account, whatever profile it is for."""
        self.pacer.belongs_to(account.fingerprint(base_url=self.place, account_id=account_id, profile=None))


@contextlib.asynccontextmanager
async def line(
    to: Access,
    *,
    limits: Limits,
    timeout_s: float,
    largest: int,
    clock: Clock,
    stop: Stop,
    observe: Observe,
) -> AsyncIterator[Line]:
    """Open a client and the one pacer that all its requests pass.

    Args:
        to: the API.
        limits: the pace, and how many requests may be under way.
        timeout_s: for one exchange.
        largest: messages of the largest request.
        clock: the time.
        stop: ends the waiting of look-ups.
        observe: hears of it.
    """
    spend = Spend(spend_path(), address=to.place, clock=clock)
    pacer = Pacer(
        requests_per_minute=limits.requests_per_minute,
        messages_per_minute=limits.messages_per_minute,
        largest=largest,
        clock=clock,
        chosen=_chosen(limits),
        window=spend,
        observe=observe,
    )
    opened = connected(
        to,
        budget=pacer,
        concurrency=limits.concurrency,
        timeout_s=timeout_s,
        clock=clock,
        stop=stop,
        observe=observe,
    )
    with contextlib.closing(spend):
        async with opened as (client, ask):
            yield Line(send=client, ask=ask, pacer=pacer, place=to.place)


@contextlib.asynccontextmanager
async def connected(
    to: Access, *, budget: Budget, concurrency: int, timeout_s: float, clock: Clock, stop: Stop, observe: Observe
) -> AsyncIterator[tuple[Client, Exchange]]:
    """Open a client, and the look-ups that go over it; *budget* has to be asked before each of its requests."""
    client = Client(
        base_url=to.base_url,
        credentials=to.credentials,
        timeout_s=timeout_s,
        connections=concurrency + _SPARE_CONNECTIONS,
        clock=clock,
    )
    ask = Exchange(
        send=client,
        budget=budget,
        stop=stop,
        observe=observe,
        clock=clock,
        silent_s=_SILENT_S,
        busy_s=_BUSY_S,
        rand=random.random,
    )
    async with client:
        yield client, ask


@contextlib.asynccontextmanager
async def line_of(plan: Plan, to: Access, *, stop: Stop, observe: Observe) -> AsyncIterator[Line]:
    """Yield an open line to the API, which knows us as the account that the run was sent with.

    Raises:
        BelongsToAnother: the key is another account's.
        AccountRefused, Unreachable, ContractBroken: as the API answers.
    """
    opened = line(
        to,
        limits=Limits.model_validate(plan.head.limits),
        timeout_s=Api.model_validate(plan.head.api).timeout,
        largest=1,
        clock=SystemClock(),
        stop=stop,
        observe=observe,
    )
    async with opened as api_line:
        who = await lookups.me(api_line.ask)
        api_line.belongs_to(who.id)
        if fingerprint_of(plan) != account.fingerprint(base_url=to.identity, account_id=who.id, profile=to.profile):
            raise BelongsToAnother(f"{plan.run_dir.path} was sent with another account than this key's")
        yield api_line


def fingerprint_of(plan: Plan) -> str:
    """Return the account that a run was sent with."""
    with JournalReader(plan.run_dir.journal) as journal:
        return journal.meta()["account"]


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end on the fastest event loop that is installed.

    What is loaded by now stays: the collector need not look at it again and again while requests make and drop objects
    by the hundred. It was a seventh of the sender's time.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    with contextlib.closing(main):  # who is stopped before it begins need not hear that it never did
        try:
            import uvloop
        except ImportError:  # no wheel for this platform
            return asyncio.run(main)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)


def mode_of(*, simulate: bool, sandbox: bool) -> Mode:
    """Return the mode that the flags name.

    Raises:
        ConfigError: when they name two.
    """
    if simulate and sandbox:
        raise ConfigError("--simulate and --sandbox exclude each other: the simulator is ours, the sandbox is Sent's")
    return Mode.SIMULATED if simulate else Mode.SANDBOX if sandbox else Mode.LIVE
