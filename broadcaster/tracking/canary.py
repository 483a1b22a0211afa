"""Waiting for what becomes of the first few messages, before anybody else is messaged.

Theory of operation. Receipts are looked for in two ways at once. Whatever webhooks bring is read from the files of
receipts, twice a second. And the API is asked, a moment after the last of the messages and then in growing distances,
about those that are not known to do well; what it says is kept as receipts, so that there is one truth. The wait
counts from the last answer to the canary, by the journal: who is killed meanwhile goes on waiting, and who comes back
later judges at once, but never before the API was asked again: something may have been mended or sent again since.

It must not know when to wait, nor what goes before or after.
"""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broadcaster.api.asking import Sending
from broadcaster.clock import Clock
from broadcaster.core.canary import WELL, Probe, Standing, Verdict, judge, standing, why_halted
from broadcaster.core.receipts import DeliveryState, Receipt
from broadcaster.engine.ports import Observe, Tested
from broadcaster.engine.stop import Stop
from broadcaster.errors import AccountRefused, BroadcasterError, CanaryFailed
from broadcaster.job.model import Safety
from broadcaster.store.canary import Gate, canary_settled_us, probes
from broadcaster.store.facts import Facts
from broadcaster.store.feedback import states_of
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.receipts import ReceiptsWriter, receipt_files, revision
from broadcaster.tracking.evidence import EARLY_US
from broadcaster.tracking.polling import poll

_LOOK_S = 0.5
_FIRST_S, _GROWS, _LAST_S = 2.0, 1.5, 60.0  # between questions to the API
_GRACE_S = 30.0  # when the wait is over: for the API to answer, which the account's limit may hold up
_LATE_US = 120_000_000  # how far the API's clock may be ahead of ours
_CONCURRENCY = 4  # requests under way: other runs have the same limit
_MINUTES_FROM_S = 120.0  # below, people count in seconds
_S = 1_000_000


async def await_canary(
    plan: Plan, gates: Sequence[Gate], *, safety: Safety, ask: Sending, stop: Stop, observe: Observe, clock: Clock
) -> None:
    """Return when what is behind *gates* may be sent, or the run drains.

    Args:
        plan: whose canaries were sent.
        gates: all that are closed; their canaries are judged together.
        safety: how long to wait, and how much may go wrong.
        ask: sends look-ups.
        stop: ends the wait.
        observe: hears how the canary stands.
        clock: the time.

    Raises:
        CanaryFailed: the rest must not be sent, or nobody can tell.
        AccountRefused: the API refuses the key.
        StoreError: plan, journal or receipts cannot be read or written.
    """
    wait = await asyncio.to_thread(_begun, plan, gates, safety, clock.reading()[0])
    with ReceiptsWriter(plan.run_dir.receipts) as writer:
        waiting = _Waiting(plan, wait, ask=ask, stop=stop, observe=observe, clock=clock, writer=writer)
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(waiting.ask_again_and_again(), name="canary")
                try:
                    verdict = await waiting.look_until_decided()
                finally:
                    asking.cancel()
        except* BroadcasterError as errors:
            raise _first(errors) from None
    if verdict is Verdict.HALT:
        raise CanaryFailed(
            why_halted(
                waiting.found,
                share=safety.halt_share,
                waited=_written(safety.canary_wait),
                where=shlex.quote(str(plan.run_dir.path)),
                asking=waiting.because,
            )
        )


def _first(group: BaseExceptionGroup[BroadcasterError]) -> BroadcasterError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _written(seconds: float) -> str:
    """Return a duration as people say it."""
    return f"{seconds / 60:.0f} min" if seconds >= _MINUTES_FROM_S else f"{seconds:.0f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    """What is waited for, and until when. Moments are µs since 1970; ``oldest_us``: no message is older."""

    probes: tuple[Probe, ...]
    share: float
    until_us: int
    oldest_us: int


def _begun(plan: Plan, gates: Sequence[Gate], safety: Safety, now_us: int) -> _Wait:
    settled_us = canary_settled_us(plan, gates)
    with JournalReader(plan.run_dir.journal) as journal:
        first_us = journal.first_claim_us()
    return _Wait(
        probes=probes(plan, Facts.read(plan, whole=False), gates),
        share=safety.halt_share,
        until_us=min(now_us, settled_us or now_us) + round(safety.canary_wait * _S),
        oldest_us=(first_us or now_us) - EARLY_US,
    )


class _Waiting:
    """One wait. ``found`` is how the canary stands; ``because`` what went wrong with asking the API last."""

    def __init__(
        self,
        plan: Plan,
        wait: _Wait,
        *,
        ask: Sending,
        stop: Stop,
        observe: Observe,
        clock: Clock,
        writer: ReceiptsWriter,
    ) -> None:
        self._where = plan.run_dir.path
        self._wait = wait
        self._ids = [each.message_id for each in wait.probes if each.message_id is not None]
        self._ask = ask
        self._stop = stop
        self._observe = observe
        self._clock = clock
        self._writer = writer
        self._revision = ""
        self._states: Mapping[str, DeliveryState] = {}
        self._asked = False  # the API, at least once
        self._since_us = self._now_us()
        self.because: str | None = None
        self.found: Standing = standing(wait.probes, {}, now_us=self._since_us)

    def _now_us(self) -> int:
        return self._clock.reading()[0]

    async def look_until_decided(self) -> Verdict:
        """Look at the receipts until they decide, or the wait is over, or the run drains."""
        while not self._stop.draining:
            await asyncio.to_thread(self._read)
            now_us = self._now_us()
            self.found = standing(self._wait.probes, self._states, now_us=now_us)
            asked = self._asked or now_us >= max(self._wait.until_us, self._since_us) + round(_GRACE_S * _S)
            verdict = judge(self.found, share=self._wait.share, over=asked and now_us >= self._wait.until_us)
            if verdict is Verdict.HALT and not asked:
                verdict = Verdict.WAIT
            left_s = max(0.0, (self._wait.until_us - now_us) / _S)
            self._observe(Tested(standing=self.found, left_s=left_s, verdict=verdict))
            if verdict is not Verdict.WAIT:
                return verdict
            await self._stop.sleep(_LOOK_S)
        return Verdict.WAIT

    def _read(self) -> None:
        """Read the states of the canary's messages anew when a receipt has come."""
        files = receipt_files(self._where)
        now = revision(files)
        if now != self._revision:
            self._states, self._revision = states_of(files, self._ids), now

    async def ask_again_and_again(self) -> None:
        """Ask the API about the messages that are not known to do well, until cancelled or the run drains.

        Raises:
            AccountRefused: it refuses the key.
        """
        pause_s = _FIRST_S
        while not self._stop.draining:
            await self._stop.sleep(pause_s)
            pause_s = min(pause_s * _GROWS, _LAST_S)
            polled = await poll(
                self._not_well(),
                ask=self._ask,
                keep=self._keep,
                now_us=self._now_us,
                newest_us=self._now_us() + _LATE_US,
                oldest_us=self._wait.oldest_us,
                limit=None,
                concurrency=_CONCURRENCY,
                observe=lambda _polled: None,
            )
            if isinstance(polled.because, AccountRefused):
                raise polled.because
            self.because = polled.because.sentence if polled.because is not None else None
            self._asked = True

    def _not_well(self) -> list[str]:
        return [each for each in self._ids if each not in self._states or self._states[each].status not in WELL]

    async def _keep(self, receipts: Sequence[Receipt], _asked: Sequence[str]) -> int:
        return await self._writer.add(receipts)
