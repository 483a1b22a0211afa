"""Whether to send: what people are asked, and when nobody needs to be asked."""

import sys

import click

from broadcaster.core.words import Mode
from broadcaster.errors import ConfigError, CountUnexpected
from broadcaster.planning.left import has_work
from broadcaster.planning.preview import Preview
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan

_TYPE_THE_COUNT = 10_000  # recipients above which "y" is too easily said


def require_answer(*, yes: bool) -> None:
    """Refuse to begin what nobody can confirm."""
    if not yes and not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here (standard input is no terminal); add --yes to send without asking")


def confirmed(plan: Plan, shown: Preview, *, yes: bool, fresh: bool) -> bool:
    """Ask whether to send; a run that has begun was confirmed before, but not what a *fresh* part adds to it."""
    begun = was_started(plan)
    if yes or (begun and not fresh) or not has_work(plan):
        return True
    again = plan.parts[-1].head.is_retry
    return agreed_to(
        plan.parts[-1].head.recipients if begun else shown.recipients,
        plan=plan,
        more="again" if again else "",
        yes=yes,
        added=begun and not again,
    )


def agreed_to(count: int, *, plan: Plan, more: str, yes: bool, added: bool = False) -> bool:
    """Ask whether to send *plan*, or several like it, to *count* people; *more* is said of them behind the number."""
    if yes:
        return True
    require_answer(yes=yes)
    creates = not plan.head.asked.sends_messages
    one, many, verb = ("contact", "contacts", "Create") if creates else ("person", "people", "Send to")
    people = f"{count:,} {'more ' if added else ''}{one if count == 1 else many}"
    people += f" {more}" if more else ""
    where = {"live": "", "sandbox": " in Sent's sandbox", "simulated": " in the simulator"}[plan.head.mode]
    if count <= _TYPE_THE_COUNT or plan.head.mode != Mode.LIVE:
        return click.confirm(f"{verb} {people}{where}?", err=True)
    typed: str = click.prompt(
        f"Type the number of {'contacts' if creates else 'recipients'} to {verb.lower()} {people}", default="", err=True
    )
    return typed.replace(",", "").strip() == str(count)


def require_count(plan: Plan, expected: int | None) -> None:
    """Raise :class:`CountUnexpected` when a plan has not as many recipients as somebody expects."""
    if expected is not None and plan.recipients != expected:
        raise CountUnexpected(f"the plan has {plan.recipients} recipients, not {expected}; nothing was sent")


def was_started(plan: Plan) -> bool:
    """Whether anything of the plan was ever claimed."""
    if not plan.run_dir.journal.exists():
        return False
    with JournalReader(plan.run_dir.journal) as journal:
        return journal.first_claim_us() is not None
