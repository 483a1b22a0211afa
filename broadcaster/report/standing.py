"""Where a run stands, in one word and one sentence, and which command goes on. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broadcaster.errors import ExitCode
from broadcaster.report.figures import Outcome, Receipts, State
from broadcaster.report.outcomes import ACCEPTED, DELIVERED, NOT_DELIVERED, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a headline is made of.

    ``creates``: contacts are created, and nobody is messaged. ``named``: the API names what it creates, so that
    receipts and look-ups can be about it; without, a request in doubt is never repeated by itself either.
    """

    state: State
    outcomes: Mapping[str, int]
    receipts: Receipts
    mode: str
    run_dir: str
    why: str | None
    creates: bool = False
    named: bool = True

    @property
    def verify(self) -> tuple[str, str]:
        """The command that proves the promises, and what for."""
        return f"broadcaster verify {shlex.quote(self.run_dir)}", "prove that every row is accounted for"


def state_of(outcomes: Mapping[str, int], summary: Mapping[str, Any], *, working: bool) -> State:
    """Return where a run stands."""
    if working:
        return State.SENDING
    open_ones = outcomes[Outcome.PENDING] + outcomes[Outcome.IN_DOUBT]
    if summary["stopped_by"] and summary["exit_code"] not in {ExitCode.STOPPED, ExitCode.DONE}:
        return State.HALTED
    if not open_ones:
        return State.COMPLETE
    touched = total(outcomes, ACCEPTED) + outcomes[Outcome.REJECTED] + outcomes[Outcome.IN_DOUBT]
    return State.UNFINISHED if touched or summary["stopped_by"] else State.PLANNED


def headline(standing: Standing) -> str:
    """Return one sentence, or two: what happened, in numbers."""
    outcomes = standing.outcomes
    accepted = total(outcomes, ACCEPTED)
    asked = accepted + sum(outcomes[each] for each in (Outcome.REJECTED, Outcome.IN_DOUBT, Outcome.PENDING))
    if not asked:
        return "There was nobody to message: every row is excluded, or the list has none."
    if standing.state is State.PLANNED:
        return f"{_counted(standing, asked)} planned, and nothing was sent yet."
    parts = [f"{accepted:,} of {_counted(standing, asked)} accepted"]
    parts += [
        f"{outcomes[each]:,} {name}"
        for each, name in (
            (Outcome.REJECTED, "rejected"),
            (Outcome.IN_DOUBT, "in doubt"),
            (Outcome.PENDING, "not sent yet"),
        )
        if outcomes[each]
    ]
    sentence = f"{', '.join(parts)}."
    if not accepted or standing.creates:
        return sentence
    if not standing.named:
        return f"{sentence} Version v1 of the API names no messages, so that nobody can ask what became of them."
    if not standing.receipts.messages:
        return f"{sentence} No receipts yet, so that nobody knows how many arrived."
    arrived, lost = total(outcomes, DELIVERED), total(outcomes, NOT_DELIVERED)
    told = f"{arrived:,} delivered{f', {lost:,} not' if lost else ''}"
    return f"{sentence} By {standing.receipts.messages:,} receipts, {told}."


def commands(standing: Standing, *, verified: bool) -> tuple[tuple[str, str], ...]:
    """Return what to do next: commands with what each is for, the most urgent first; none when all is *verified*."""
    where, outcomes = shlex.quote(standing.run_dir), standing.outcomes
    found: list[tuple[str, str]] = []
    if standing.state is State.SENDING:
        return ((f"broadcaster status {where}", "where it stands at this moment"),)
    if standing.state is State.PLANNED:
        found.append((f"broadcaster resume {where}", "send it"))
    elif outcomes[Outcome.PENDING] or (outcomes[Outcome.IN_DOUBT] and standing.named):
        found.append((f"broadcaster resume {where}", "go on; nobody gets it twice"))
    if outcomes[Outcome.IN_DOUBT]:
        if standing.named:
            found.append((f"broadcaster reconcile {where}", "look at the API for what is in doubt"))
        found.append((f"broadcaster resolve {where}", "see what is in doubt, and decide about it"))
    if outcomes[Outcome.REJECTED]:
        found.append((f"broadcaster retry-failed {where}", "send again what was refused, once the cause is mended"))
    comes = standing.mode == "live" and standing.named and not standing.creates
    if comes and total(outcomes, ACCEPTED) and standing.receipts.messages < standing.receipts.of:
        found.append((f"broadcaster serve {where}", "receive receipts by webhook as they come"))
        found.append((f"broadcaster reconcile {where}", "ask the API for what has no receipt"))
    if not verified:
        found.append(standing.verify)
    first: dict[str, str] = {}
    for command, reason in found:
        first.setdefault(command, reason)
    return tuple(first.items())


def _counted(standing: Standing, count: int) -> str:
    return f"{count:,} {'contact' if standing.creates else 'message'}{'' if count == 1 else 's'}"
