"""Named places of the program at which a process kills or pauses itself: no handler, no last word.

A place is written ``module:function?text:before|after:N``: the N-th call whose arguments show the text (without ``?``:
the N-th of all), before it begins or after it has returned. Whatever other threads do at that moment stops as well.
"""

import inspect
import itertools
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import Any

from support.patching import Function, replace

_PLACE = re.compile(r"(?P<path>[\w.]+:[\w.]+)(?:\?(?P<text>.+))?:(?P<when>before|after):(?P<nth>[1-9]\d*)")
_PLANNING, _JOURNAL = "broadcaster.planning.pipeline", "broadcaster.store.writer:JournalWriter"

FAILPOINTS: Mapping[str, str] = MappingProxyType(
    {
        # the plan is made
        "before the plan's tables": f"{_PLANNING}:build_part:before:1",
        "beside the plan's tables": f"{_PLANNING}:write_rows:before:1",
        "after the plan's tables": f"{_PLANNING}:build_part:after:1",
        "before plan.json has its name": "pathlib:Path.replace?plan.json:before:1",
        "after plan.json has its name": "pathlib:Path.replace?plan.json:after:1",
        "after the manifest of the plan": "broadcaster.app.conclude:conclude:after:1",
        # the run begins
        "before the journal has its name": "pathlib:Path.replace?journal.sqlite:before:1",
        "after the journal has its name": "pathlib:Path.replace?journal.sqlite:after:1",
        "after the journal is opened": f"{_JOURNAL}.__init__:after:1",
        "before the account is written down": f"{_JOURNAL}.put_meta:before:1",
        "after the account is written down": f"{_JOURNAL}.put_meta:after:1",
        "before the registry is written": "broadcaster.store.account:register:before:1",
        "after the registry is written": "broadcaster.store.account:register:after:1",
        # a batch is sent; the third request of a process is its first POST, after two look-ups
        "before a claim": f"{_JOURNAL}.claim:before:1",
        "after a claim, before its bytes leave": f"{_JOURNAL}.claim:after:1",
        "after the third claim": f"{_JOURNAL}.claim:after:3",
        "while a request leaves": "broadcaster.api.wire:_leave:after:3",
        "while an answer arrives": "broadcaster.api.wire:Wire._body:before:3",
        "after an answer has arrived": "broadcaster.api.client:Client.__call__?POST:after:1",
        "after an answer is judged": "broadcaster.core.classify:classify:after:1",
        "before an outcome is written": f"{_JOURNAL}.settle:before:1",
        "before the third outcome is written": f"{_JOURNAL}.settle:before:3",
        "before a commit": f"{_JOURNAL}._transact:before:2",
        "after a commit, before anybody is told": f"{_JOURNAL}._transact:after:2",
        "after an outcome is written": f"{_JOURNAL}.settle:after:1",
        "after the fourth outcome is written": f"{_JOURNAL}.settle:after:4",
        "after a batch is done": "broadcaster.engine.sender:Sender.deliver:after:1",
        # a batch is refused, and its parts go on
        "before a split is written": f"{_JOURNAL}.settle?State.SPLIT:before:1",
        "after a split is written": f"{_JOURNAL}.settle?State.SPLIT:after:1",
        "after a part is claimed": f"{_JOURNAL}.claim?batch=-1,:after:1",
        "after a part's outcome is written": f"{_JOURNAL}.settle?batch=-1,:after:1",
        # an attempt that settles nothing
        "before an attempt is noted": f"{_JOURNAL}.note:before:1",
        "after an attempt is noted": f"{_JOURNAL}.note:after:1",
        "before a claim is taken back": f"{_JOURNAL}.release:before:1",
        "after a claim is taken back": f"{_JOURNAL}.release:after:1",
        # the run ends
        "before the journal is closed": f"{_JOURNAL}.close:before:1",
        "after the journal is closed": f"{_JOURNAL}.close:after:1",
        "before the manifest is built": "broadcaster.store.manifest:build_manifest:before:1",
        "while the manifest is built": "broadcaster.store.spill:Spill.write:after:1",
        "before the manifest has its name": "pathlib:Path.replace?manifest.parquet:before:1",
        "after the manifest has its name": "pathlib:Path.replace?manifest.parquet:after:1",
        "before excluded.csv has its name": "pathlib:Path.replace?excluded.csv:before:1",
        "after excluded.csv has its name": "pathlib:Path.replace?excluded.csv:after:1",
        "before the summary is written": "pathlib:Path.replace?summary.json:before:1",
        "after the summary is written": "pathlib:Path.replace?summary.json:after:1",
    }
)
IN_EVERY_LIFE = (
    "before a claim",
    "after a claim, before its bytes leave",
    "while a request leaves",
    "while an answer arrives",
    "after an answer has arrived",
    "after an answer is judged",
    "before an outcome is written",
    "before a commit",
    "after a commit, before anybody is told",
    "after an outcome is written",
    "after a batch is done",
)
"""The places that every process passes that sends anything, and passes often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failpoint:
    """A place to die at, or to be paused at."""

    path: str
    text: str
    after: bool
    nth: int

    @classmethod
    def parse(cls, written: str) -> "Failpoint":
        """Read a place; see the module.

        Raises:
            ValueError: it is not written as a place.
        """
        match = _PLACE.fullmatch(written)
        if match is None:
            raise ValueError(f"{written!r} is not module:function?text:before|after:N")
        return cls(path=match["path"], text=match["text"] or "", after=match["when"] == "after", nth=int(match["nth"]))

    def arm(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Make this process send itself a signal there.

        Raises:
            LookupError: the program has no such function.
        """
        replace(self.path, lambda original: self._wrapped(original, number))

    def _wrapped(self, original: Function, number: signal.Signals) -> Function:
        calls = itertools.count(1)

        def reached(*given: Any) -> bool:
            return (not self.text or self.text in repr(given)) and next(calls) == self.nth

        def send(*, now: bool) -> None:
            if now:
                os.kill(os.getpid(), number)

        if inspect.iscoroutinefunction(original):

            @wraps(original)
            async def wrapped_later(*args: Any, **kwargs: Any) -> Any:
                here = reached(args, kwargs)
                send(now=here and not self.after)
                result = await original(*args, **kwargs)
                send(now=here and self.after)
                return result

            return wrapped_later

        @wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            here = reached(args, kwargs)
            send(now=here and not self.after)
            result = original(*args, **kwargs)
            send(now=here and self.after)
            return result

        return wrapped
