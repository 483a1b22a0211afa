"""Deliberate breaks of the program, one per promise: each must make some test fail, or that test proves nothing.

They are switched on from outside (``python -m support.broken mutant:NAME -- …``) and act on that process alone. The
invariants I1 to I7 are:

- I1 no byte of a request leaves before a claim is durable;
- I2 a batch in doubt goes again only with the same key and the same bytes, inside the window;
- I3 after that only evidence or a person's decision moves it;
- I4 parts come only from batches that provably were not executed, and together with their parent's end;
- I5 every row is accounted for;
- I6 a message id stands for one delivery;
- I7 the plan is never made again.
"""

import asyncio
import csv
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any

from broadcaster.core.keys import idempotency_key
from broadcaster.core.values import Reading
from broadcaster.core.words import Action, Shape
from broadcaster.operations import OPERATIONS
from support.patching import Function, replace

_JOURNAL = "broadcaster.store.writer:JournalWriter"
_SEND = "broadcaster.api.client:Client.__call__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One break. ``path`` is the function that it replaces."""

    invariant: str
    says: str
    path: str
    make: Callable[[Function], Function]

    def apply(self) -> None:
        """Break this process."""
        replace(self.path, lambda original: wraps(original)(self.make(original)))


def _no_claim(_: Function) -> Function:
    async def claim(*_: Any) -> None:
        """Write nothing."""

    return claim


def _claim_late(original: Function) -> Function:
    async def claim(journal: Any, claims: Any) -> None:
        """Write it once the request is on its way."""
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, lambda: loop.create_task(original(journal, claims)))

    return claim


def _synchronous_off(original: Function) -> Function:
    def ready(path: Path, db: Any) -> None:
        original(path, db)
        db.execute("PRAGMA synchronous = OFF")

    return ready


def _key_per_attempt(original: Function) -> Function:
    async def send(client: Any, request: Any) -> Any:
        return await original(client, changed(request, key=request.key and uuid.uuid4().hex))

    return send


def _key_per_launch(original: Function) -> Function:
    async def send(client: Any, request: Any) -> Any:
        return await original(client, changed(request, key=request.key and f"{request.key}-{os.getpid()}"))

    return send


def _bytes_change(original: Function) -> Function:
    seen: set[str] = set()

    async def send(client: Any, request: Any) -> Any:
        if request.key in seen:
            request = changed(request, body=request.body[:-1] + b" }")
        elif request.key:
            seen.add(request.key)
        return await original(client, request)

    return send


def _no_window(original: Function) -> Function:
    def may_repeat(*args: Any, **named: Any) -> Any:
        return original(*args, **{**named, "window_s": float("inf")})

    return may_repeat


def _clock_set_back(original: Function) -> Function:
    def may_repeat(claim: Any, now: Any, **named: Any) -> Any:
        """Take an attempt that seems to lie in the future for one of this moment."""
        return original(
            changed(claim, since=changed(claim.since, wall_us=min(claim.since.wall_us, now.wall_us))), now, **named
        )

    return may_repeat


def _refusal_after_doubt(original: Function) -> Function:
    def classify(*args: Any, **named: Any) -> Any:
        return original(*args, **{**named, "doubtful": False})

    return classify


def _split_without_parts(original: Function) -> Function:
    async def settle(journal: Any, outcome: Any, children: Any = (), blames: Any = ()) -> None:
        """Write the parts later: what a crash between two transactions leaves."""
        del children
        await original(journal, outcome, (), blames)

    return settle


def _give_up(original: Function) -> Function:
    def classify(*args: Any, **named: Any) -> Any:
        verdict = original(*args, **named)
        return changed(verdict, action=Action.REJECT) if verdict.action is Action.REPEAT else verdict

    return classify


def _settled_in_memory(_: Function) -> Function:
    async def settle(*_: Any) -> None:
        """Count it, and write nothing."""

    return settle


def _same_id_twice(original: Function) -> Function:
    def understand(batch: Any, body: bytes) -> Any:
        """Take rows as they come, whatever their ids."""
        from broadcaster.operations import messages

        shape, reading, meta = original(batch, body)
        if shape is Shape.FOREIGN:
            rows = messages._ANSWERS.decode(body).data.recipients
            return Shape.WHOLE, Reading(message_ids=tuple(row.message_id for row in rows), server_to={}), meta
        return shape, reading, meta

    return understand


def _list_read_again(original: Function) -> Function:
    def read_batches(plan: Any, wanted: Any = None) -> Any:
        """Fill the batches with who is on the list now."""
        head = plan.head
        with Path(head.lists[0].path).open(newline="", encoding="utf-8") as file:
            listed = list(dict.fromkeys(row[head.identity["recipients"]["phone"]] for row in csv.DictReader(file)))
        size = head.largest_batch
        for batch in original(plan, wanted):
            other = changed(batch, to=tuple(listed[batch.id * size : (batch.id + 1) * size]))
            body = OPERATIONS[head.operation].encode(head.message, other)
            yield changed(other, key=idempotency_key(body, scope=head.message.scope))

    return read_batches


MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        name: Mutant(invariant=invariant, says=says, path=path, make=make)
        for name, invariant, says, path, make in (
            ("no_claim", "I1", "nothing is claimed before it is sent", f"{_JOURNAL}.claim", _no_claim),
            ("claim_late", "I1", "a claim is written after its request has left", f"{_JOURNAL}.claim", _claim_late),
            (
                "synchronous_off",
                "I1",
                "a commit does not wait for the disk",
                "broadcaster.store.writer:_ready",
                _synchronous_off,
            ),
            ("key_per_attempt", "I2", "every attempt has a key of its own", _SEND, _key_per_attempt),
            ("key_per_launch", "I2", "every process has keys of its own", _SEND, _key_per_launch),
            ("bytes_change", "I2", "a repeated request has other bytes", _SEND, _bytes_change),
            ("no_window", "I2", "a key is trusted for ever", "broadcaster.core.doubt:may_repeat", _no_window),
            (
                "clock_set_back",
                "I3",
                "a clock that was set back makes doubt young",
                "broadcaster.core.doubt:may_repeat",
                _clock_set_back,
            ),
            (
                "refusal_after_doubt",
                "I4",
                "a refusal after a lost answer is believed",
                "broadcaster.core.classify:classify",
                _refusal_after_doubt,
            ),
            (
                "split_without_parts",
                "I4",
                "a split and its parts are two transactions",
                f"{_JOURNAL}.settle",
                _split_without_parts,
            ),
            ("give_up", "I5", "a failed attempt counts as a refusal", "broadcaster.core.classify:classify", _give_up),
            (
                "settled_in_memory",
                "I5",
                "an outcome counts before it is written",
                f"{_JOURNAL}.settle",
                _settled_in_memory,
            ),
            (
                "same_id_twice",
                "I6",
                "a message id may stand for two deliveries",
                "broadcaster.operations.messages:_understand",
                _same_id_twice,
            ),
            (
                "list_read_again",
                "I7",
                "a resumed run looks at the list again",
                "broadcaster.store.plan:Plan.read_batches",
                _list_read_again,
            ),
        )
    }
)
