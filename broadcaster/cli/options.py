"""Options that several commands share, each described once."""

import functools
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click

from broadcaster.core.words import Mode
from broadcaster.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_ASKED = ("run_dir", "day", "new_date", "strict", "expect_recipients", "extend", "only")


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date such as 2026-12-01", param, ctx)


class _RunPlace(click.Path):
    """A directory, as a ``Path``; an address (``s3://…``) stays the text that it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


class LocalRun(click.Path):
    """A run directory on this machine; an address is refused with what helps instead."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click; raise :class:`ConfigError` for an address."""
        if isinstance(value, str):
            of_this_machine(value if "://" in value else Path(value), command=ctx.command.name or "" if ctx else "")
        return super().convert(value, param, ctx)


def shared_at(place: Path | str) -> str | None:
    """Return the address of a run that several processes share; ``None`` for an ordinary run directory."""
    if isinstance(place, str):
        return place
    return f"file://{place.absolute()}" if (place / "meta.json").is_file() else None


def of_this_machine(place: Path | str, *, command: str) -> Path:
    """Return the ordinary run directory that *place* is.

    Raises:
        ConfigError: it is shared by several processes; the sentence says what helps instead of *command*.
    """
    if isinstance(place, Path) and shared_at(place) is None:
        return place
    from broadcaster.lists.fetch import shown

    raise ConfigError(
        f"'broadcaster {command}' works on a run directory of this machine, and {shown(str(place))} is one that "
        f"several share; {_INSTEAD.get(command, 'it can be looked at with status, verify, report and trace')}"
    )


_ITS_KEYS = "start its shards again: what is in doubt is repeated with its own keys as long as these protect"
_INSTEAD = MappingProxyType(
    {
        "run": "go on with --cluster",
        "resume": "go on with --cluster, or with run-shard",
        "purge": "remove its objects there, with the tools of that store",
        "resolve": _ITS_KEYS,
        "reconcile": f"{_ITS_KEYS}. For receipts, put the receipts.sqlite of 'serve' there",
        "retry-failed": "its failed.csv (broadcaster manifest) is a list: send that as a campaign of its own",
        "serve": "serve a directory of this machine, and put its receipts.sqlite there when it has ended",
        "cancel": "it holds no messages back that this command could find; ask Sent",
    }
)

JOB = click.argument("job_file", metavar="JOB.toml", type=click.Path(path_type=Path))
RUN_DIR = click.argument("path", metavar="RUN_DIR", type=LocalRun(path_type=Path))

ANY_RUN = click.argument("path", metavar="RUN_DIR", type=_RunPlace(path_type=Path))
CLUSTER = click.option(
    "--cluster",
    metavar="tcp://HOST:PORT|local:N",
    help="Send from the workers of a Dask cluster, or from N processes of this machine, out of a shared run directory.",
)

_RUN_DIR = click.option(
    "--run-dir", type=_RunPlace(path_type=Path, file_okay=False), help="Where to keep the run (runs/CAMPAIGN)."
)
_SIMULATE = click.option("--simulate", is_flag=True, help="Send to an embedded simulator: no account needed.")
_SANDBOX = click.option("--sandbox", is_flag=True, help="Send with Sent's own sandbox flag: nobody is messaged.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output.")
_YES = click.option("--yes", "-y", is_flag=True, help="Do not ask before sending.")
_EXPECT = click.option(
    "--expect-recipients", type=click.IntRange(min=0), metavar="N", help="Refuse a plan that has not N recipients."
)
_STRICT = click.option("--strict", is_flag=True, help="Refuse a list with an invalid number.")
_EXTEND = click.option("--extend", is_flag=True, help="Add the rows that the frozen plan does not have.")
ONLY = click.option(
    "--only",
    multiple=True,
    metavar="EXPRESSION",
    help=(
        "Only rows of which this holds, such as 'region == \"TX\" and age >= 18'; besides the job's filter. Of "
        "several, all must hold. There are == != < <= > >= in, and or not, contains startswith endswith lower."
    ),
)
SKIP_CANARY = click.option(
    "--skip-canary", is_flag=True, help="Do not wait for the canary any more; the decision is recorded."
)
_NO_PREFLIGHT = click.option("--no-preflight", is_flag=True, help="Do not look the template up first.")
_NO_WAIT = click.option(
    "--no-wait", is_flag=True, help="Exit with 75 while the job's window is shut, instead of waiting until it opens."
)
_DATE = click.option(
    "--date", "day", type=_Day(), help="What {date} in the campaign stands for, and local send times are of (today)."
)
DELIMITER = click.option("--delimiter", help="Of a CSV file, in place of the one that is detected.")
_NEW_DATE = click.option("--new-date", is_flag=True, help="Start today's run although an earlier date is unfinished.")


def json_output(function: F) -> F:
    """Add ``--json``."""
    return _JSON(function)


def run_dir_or_url(
    *, builds: bool = False, keeps: str | None = None, counts_shards: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``RUN_DIR`` for a command that looks at a run; at an address it sees a copy.

    Args:
        builds: it needs a manifest that is up to date.
        keeps: what it makes and is put at the address: ``"results"`` is everything, ``"report"`` the report alone.
        counts_shards: after it, say how many shards are done; not with ``--json``.
    """

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def anywhere(path: Path | str, **given: Any) -> Any:
            if (url := shared_at(path)) is None:
                return function(path, **given)
            from broadcaster.cli.mirrored import on_a_copy

            return on_a_copy(
                lambda copy: function(copy, **given),
                url,
                builds=builds,
                keeps=keeps,
                counts_shards=counts_shards and not given.get("as_json"),
                wrote=given.get("out"),
            )

        return ANY_RUN(anywhere)

    return decorated


def mode_flags(function: F) -> F:
    """Add ``--simulate`` and ``--sandbox``."""
    return _SIMULATE(_SANDBOX(function))


def planning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a command that plans may be told; the command gets it as one ``ask``."""

    @functools.wraps(function)
    def with_ask(*arguments: Any, **given: Any) -> Any:
        from broadcaster.app.parts import mode_of
        from broadcaster.app.prepare import Ask

        mode = mode_of(simulate=given.pop("simulate"), sandbox=given.pop("sandbox"))
        asked = {name: given.pop(name) for name in _ASKED}
        shared = asked.pop("run_dir") if isinstance(asked["run_dir"], str) else None
        ask = Ask(mode=mode, shared=shared, **asked)
        return function(*arguments, ask=ask, **given)

    for option in (_JSON, _NEW_DATE, _DATE, _EXTEND, _STRICT, _EXPECT, ONLY, _SANDBOX, _SIMULATE, _RUN_DIR):
        with_ask = option(with_ask)
    return with_ask


def sending(function: F) -> F:
    """Add what a command that sends may be told besides."""
    return _YES(_NO_PREFLIGHT(_NO_WAIT(function)))


def going_on(function: F) -> F:
    """Add what a command may be told that goes on with a plan."""
    for option in (_JSON, _NO_WAIT, _NO_PREFLIGHT, _EXPECT, _SANDBOX, _SIMULATE, _YES):
        function = option(function)
    return function


def passed_on(*, cluster: str | None, **given: bool) -> tuple[str, ...]:
    """Return the flags that are *given*, as words for another command."""
    words = tuple(f"--{name.replace('_', '-')}" for name, is_given in given.items() if is_given)
    return words if cluster is None else (*words, "--cluster", cluster)


def flags_of(mode: Mode) -> str:
    """Return the flag that a mode needs on the command line, with a space before it; nothing for live."""
    return {Mode.SIMULATED: " --simulate", Mode.SANDBOX: " --sandbox"}.get(mode, "")
