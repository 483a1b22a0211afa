"""A shard's line to the API: paced by whoever shares one limit between all shards, or by a fixed share of its own.

Theory of operation. Shards that nobody speaks for cannot ask each other what the last minute has seen. So each keeps a
share of the account's limits as if that were a whole account's: with a window of its own, which outlives its process
where the machine does. A share of everything is the account itself, and is kept together with the ordinary runs of
this machine.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from broadcaster.api.client import Client
from broadcaster.app.parts import Access, connected
from broadcaster.clock import Clock
from broadcaster.cluster.reins import OfAShare
from broadcaster.core.pacing import part_of
from broadcaster.engine.control import Reins
from broadcaster.engine.exchange import Exchange
from broadcaster.engine.pacer import Pacer
from broadcaster.engine.ports import Budget, Observe
from broadcaster.engine.stop import Stop
from broadcaster.errors import ConfigError
from broadcaster.job.model import Limits
from broadcaster.store import account
from broadcaster.store.spend import Spend, spend_path

_ALL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLine:
    """An open line to the API: ``send`` for the engine, which takes its turns of ``budget``; ``ask`` for look-ups."""

    send: Client
    ask: Exchange
    budget: Budget
    belongs_to: Callable[[str], None]
    """Hear whose key it is, by the account's id."""
    reins: Reins | None = None
    """What people's orders reach here; ``None``: whoever speaks for all shards follows them."""


def shared_limits(limits: Limits, *, share: float, largest: int) -> Limits:
    """Return a *share* of limits, of which no request may be larger than it.

    Raises:
        ConfigError: it is less than one request a minute, or less than the *largest* request has messages.
    """
    if share == _ALL:
        return limits
    mine: dict[str, int] = {}
    for name in ("requests_per_minute", "messages_per_minute"):
        whole: int = getattr(limits, name)
        mine[name] = part_of(whole, share=share)
        if whole and not mine[name]:
            raise ConfigError(
                f"--rate-share {share:g} of limits.{name} ({whole}) is less than one a minute; let fewer shards run at "
                "a time, each with a larger share"
            )
    if limits.messages_per_minute and largest > mine["messages_per_minute"]:
        raise ConfigError(
            f"--rate-share {share:g} of limits.messages_per_minute ({limits.messages_per_minute}) is "
            f"{mine['messages_per_minute']}, and the largest request has {largest} messages; plan with a smaller "
            "limits.batch_size under another campaign name, or let fewer shards run at a time"
        )
    return limits.model_copy(update=mine)  # and so chosen: what the API names for all is not taken for ours


@contextlib.asynccontextmanager
async def shard_line(
    to: Access,
    *,
    limits: Limits,
    budget: Budget | None,
    share: float,
    name: str,
    largest: int,
    timeout_s: float,
    clock: Clock,
    stop: Stop,
    observe: Observe,
) -> AsyncIterator[ShardLine]:
    """Open a client whose requests all pass *budget*, or else a pacer that keeps a *share* of the limits.

    Args:
        to: the API.
        limits: the account's.
        budget: of whoever speaks for all shards.
        share: of the limits, above 0 and at most 1.
        name: of the shard, wherever it is run: a share's spend is kept under it.
        largest: messages of the largest request.
        timeout_s: for one exchange.
        clock: the time.
        stop: ends the waiting of look-ups.
        observe: hears of it.

    Raises:
        ConfigError: the share is too small.
    """
    with contextlib.ExitStack() as stack:
        belongs_to: Callable[[str], None] = _nobody_asks
        reins: Reins | None = None
        if budget is None:
            place = to.place if share == _ALL else f"{to.place} {name}"
            spend = stack.enter_context(contextlib.closing(Spend(spend_path(), address=place, clock=clock)))
            mine = shared_limits(limits, share=share, largest=largest)
            pacer = Pacer(
                requests_per_minute=mine.requests_per_minute,
                messages_per_minute=mine.messages_per_minute,
                largest=largest,
                clock=clock,
                chosen="requests_per_minute" in mine.model_fields_set,
                window=spend,
                observe=observe,
                share=share,
            )
            budget, reins = pacer, OfAShare(pacer=pacer, share=share)

            def belongs_to(account_id: str) -> None:
                pacer.belongs_to(account.fingerprint(base_url=place, account_id=account_id, profile=None))

        opened = connected(
            to,
            budget=budget,
            concurrency=limits.concurrency,
            timeout_s=timeout_s,
            clock=clock,
            stop=stop,
            observe=observe,
        )
        async with opened as (client, ask):
            yield ShardLine(send=client, ask=ask, budget=budget, belongs_to=belongs_to, reins=reins)


def _nobody_asks(account_id: str) -> None:
    del account_id  # whoever speaks for all shards knows it already
