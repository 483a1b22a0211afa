"""``broadcaster resolve``."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.cli.who import who
from broadcaster.core.words import Decision
from broadcaster.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from broadcaster.app.resolve import Known

_SHOWN = 20  # batches in doubt that are listed one by one


@click.command(name="resolve")
@options.RUN_DIR
@click.option("--resend", "what", flag_value="resend", help="Send them again: some may get it twice.")
@click.option("--skip", "what", flag_value="skip", help="Never send them again: some may not get it.")
@click.option("--note", default="", metavar="TEXT", help="The reason, kept with the decision.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before writing the decision down.")
@options.json_output
def command(path: Path, *, what: str | None, note: str, yes: bool, as_json: bool) -> ExitCode:
    """List what is in doubt, or decide about it; 'resume' then acts on it.

    Whatever the API still remembers is repeated by 'resume' with its own key, whoever decides what: nobody gets that
    twice. Only beyond the idempotency window somebody has to decide. 'broadcaster reconcile' looks first whether the
    messages can be seen.

    \b
    Example:
      broadcaster resolve runs/spring-sale-2026
      broadcaster resolve runs/spring-sale-2026 --skip --note "the offer is over"
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.resolve import look, resolve
    from broadcaster.cli.telling import print_json, tell
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    known = look(path)
    if what is None:
        if as_json:
            print_json({"in_doubt": [_as_json(each) for each in known]})
        else:
            _list(known, path)
        return ExitCode.SOME_IN_DOUBT if known else ExitCode.DONE
    decision = Decision(what)
    if known and not yes:
        _list(known, path)
        _ask(known, decision)
    resolved = resolve(path, decision, expected=known, who=who(), note=note)
    if not resolved.decided:
        click.echo("Nothing is in doubt; there is nothing to decide.", err=True)
    return tell(Plan.open(RunDir(path)), resolved.conclusion, as_json=as_json)


def _list(known: "list[Known]", path: Path) -> None:
    deliveries = sum(len(each.doubted.deliveries) for each in known)
    if not known:
        click.echo("Nothing is in doubt.", err=True)
        return
    click.echo(f"{deliveries:,} deliveries of {len(known):,} requests are in doubt:", err=True)
    for each in known[:_SHOWN]:
        doubted = each.doubted
        since = datetime.fromtimestamp(doubted.since_us / 1e6, tz=UTC).isoformat(sep=" ", timespec="seconds")
        part = "" if doubted.is_whole else f" of {doubted.batch.deliveries:,}"
        may = "'resume' repeats it safely" if each.is_protected else each.refusal
        click.echo(
            f"  request {doubted.batch.id}, sent {since}, {len(doubted.deliveries):,}{part} deliveries, "
            f"{doubted.code}: {may}",
            err=True,
        )
    if len(known) > _SHOWN:
        click.echo(f"  and {len(known) - _SHOWN:,} requests more; the manifest has every delivery", err=True)
    if any(each.is_protected for each in known):
        click.echo(f"To repeat what is protected: broadcaster resume {shlex.quote(str(path))}", err=True)
    if any(each.can_be_found for each in known):
        click.echo(f"To look for them at the API: broadcaster reconcile {shlex.quote(str(path))}", err=True)
    click.echo("To decide: the same command with --resend or --skip", err=True)


def _ask(known: "list[Known]", what: Decision) -> None:
    deliveries = sum(len(each.doubted.deliveries) for each in known)
    anew = sum(len(each.doubted.deliveries) for each in known if not each.is_protected)
    if what is Decision.SKIP:
        question = f"Never send these {deliveries:,} again? Whoever did not get it will not get it."
    else:
        keys = "are sent without a key" if not known[0].can_be_found else "get new keys"
        question = f"Send again? {anew:,} of {deliveries:,} {keys}: whoever got it already gets it twice."
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody can be asked here (standard input is no terminal); add --yes to decide without asking"
        )
    click.confirm(question, abort=True, err=True)


def _as_json(known: "Known") -> dict[str, object]:
    doubted = known.doubted
    return {
        "batch": doubted.batch.id,
        "deliveries": len(doubted.deliveries),
        "of": doubted.batch.deliveries,
        "since": datetime.fromtimestamp(doubted.since_us / 1e6, tz=UTC).isoformat(),
        "code": doubted.code,
        "idempotency_key": doubted.batch.key,
        "key_protects": known.is_protected,
        "why": known.refusal,
    }
