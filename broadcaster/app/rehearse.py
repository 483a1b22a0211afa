"""``rehearse``: the whole job against the simulator, with faults and kills, proved from the simulator's ledger.

The sender is a process of its own that is really killed; the simulator outlives it, as the real API would.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from broadcaster.app.embedded import simulator
from broadcaster.app.parts import SIMULATOR_URL
from broadcaster.errors import DifferenceFound, ExitCode
from broadcaster.store.facts import Facts
from broadcaster.store.ledger import Proof, messages, prove
from broadcaster.store.plan import Plan

_TICK_S = 0.01  # how often the ledger is looked at for the moment of the next kill
_MOST_LAUNCHES = 50  # after the last kill; a fault that stops a run is met by launching it again
_AGAIN = frozenset({ExitCode.STOPPED, ExitCode.HALTED, ExitCode.SOME_IN_DOUBT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """How hard the rehearsal is. ``seed`` makes faults and kills repeatable; ``profile`` is one of the simulator's."""

    profile: str
    kills: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What happened. ``codes`` are the exit codes of all launches that were not killed."""

    proof: Proof
    kills: int
    launches: int
    codes: tuple[int, ...]
    elapsed_s: float


def rehearse(plan: Plan, drill: Drill, *, environ: Mapping[str, str], say: Callable[[str], None]) -> Rehearsed:
    """Send a simulated plan to its end through faults and kills, then compare ledger and manifest.

    Args:
        plan: frozen, in simulated mode; nobody holds its lock.
        drill: how hard.
        environ: of the sender's processes.
        say: hears of every kill and launch, in a sentence.

    Raises:
        DifferenceFound: somebody was messaged twice or lost.
        StoreError: the simulator cannot be started, or a file cannot be read.
    """
    chance = random.Random(drill.seed)  # noqa: S311 - no secret: the same seed must give the same kills
    ledger = plan.run_dir.simulator
    began_s = time.monotonic()
    marks = sorted(chance.randrange(1, max(2, plan.deliveries)) for _ in range(drill.kills))
    codes: list[int] = []
    killed = launches = 0
    flags = ("--profile", drill.profile, "--seed", str(drill.seed))
    with simulator(environ, ledger, *flags) as url:
        while launches < drill.kills + _MOST_LAUNCHES:
            launches += 1
            process = _launch(plan, {**environ, SIMULATOR_URL: url})
            code = _wait(process, ledger, mark=marks[0] if marks else None)
            if code is None:
                killed += 1
                say(f"killed at {messages(ledger):,} messages")
                marks.pop(0)
                continue
            codes.append(code)
            if code not in _AGAIN or (code == ExitCode.SOME_IN_DOUBT and not Facts.read(plan).claims):
                break  # at its end; what an answer did not name stays in doubt, and the ledger tells
            marks = [mark for mark in marks if mark > messages(ledger)]
            say(f"stopped with exit code {code}; launched again")
    proof = prove(plan.run_dir, ledger)
    if not proof.holds:
        raise DifferenceFound(
            f"{proof.twice} deliveries twice, {proof.lost} lost, {proof.strangers} to strangers, {proof.misnamed} with "
            f"a wrong message id. Look at {ledger} and {plan.run_dir.journal}; seed {drill.seed} repeats it"
        )
    return Rehearsed(
        proof=proof, kills=killed, launches=launches, codes=tuple(codes), elapsed_s=time.monotonic() - began_s
    )


def _launch(plan: Plan, environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "broadcaster", "resume", os.fspath(plan.run_dir.path), "--yes"]
    log = Path(plan.run_dir.path, "rehearsal.log")
    with log.open("ab") as output:
        return subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _wait(process: "subprocess.Popen[bytes]", ledger: Path, *, mark: int | None) -> int | None:
    """Wait for the process's end and return its exit code; kill it when the ledger has *mark* messages: ``None``."""
    while mark is None or messages(ledger) < mark:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_TICK_S)
    process.kill()
    code = process.wait()
    return code if code >= 0 else None
