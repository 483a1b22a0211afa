"""What the handlers work with: the simulator's parts, and one exchange from its receipt to its answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from broadcaster.simulator.auth import Lockout
from broadcaster.simulator.envelope import Answer
from broadcaster.simulator.faults import Script
from broadcaster.simulator.idempotency import Identity, Policy, Turns
from broadcaster.simulator.ledger import Ledger
from broadcaster.simulator.limits import Pools, SlidingWindow
from broadcaster.simulator.settings import Settings
from broadcaster.simulator.tally import Board, Tally
from broadcaster.simulator.templates import Catalogue
from broadcaster.simulator.webhooks.post import Post

_US = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One of everything; made by :func:`assemble`."""

    settings: Settings
    ledger: Ledger
    catalogue: Catalogue
    script: Script
    lockout: Lockout
    requests: Pools
    messages: Pools
    turns: Turns
    policy: Policy
    tally: Tally
    board: Board
    sensitive: SlidingWindow
    post: Post
    bell: asyncio.Event  # wakes the courier of the webhooks


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request as received, and what is learned about it on its way to the answer."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # the letter case of a name does not matter
    body: bytes
    request_id: str
    received_us: int  # since 1970
    fault: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)  # named parts of the path
    profile: str | None = None
    owner: str | None = None  # the profile whose own key was shown
    identity: Identity | None = None
    recipients: int | None = None
    replayed: bool = False  # answered as the first time
    n: int | None = None  # its number in the request log


Handler = Callable[[Parts, Exchange], Awaitable[Answer]]
"""Answers an exchange that is authenticated and inside the limits; may raise ``Refusal``."""


def assemble(settings: Settings, ledger: Ledger) -> Parts:
    """Return the parts of a simulator that behaves as *settings* say."""
    return Parts(
        settings=settings,
        ledger=ledger,
        catalogue=Catalogue(settings.templates, clock=lambda: time.time_ns() // 1000),
        script=Script(settings.profile.rules, seed=settings.seed, name=settings.profile.name),
        lockout=Lockout(),
        requests=Pools(settings.requests_per_minute),
        messages=Pools(settings.messages_per_minute),
        turns=Turns(wait_s=settings.in_flight_wait_s),
        tally=Tally(),
        board=Board(),
        sensitive=SlidingWindow(settings.webhooks.sensitive_per_minute),
        post=Post(),
        bell=asyncio.Event(),
        policy=Policy(ttl_us=int(settings.idempotency_ttl_s * _US), reused_key=settings.reused_key),
    )
