"""Options that several commands share, each described once."""

import functools
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click

from broadcaster.core.words import Mode

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


JOB = click.argument("job_file", metavar="JOB.toml", type=click.Path(path_type=Path))
RUN_DIR = click.argument("path", metavar="RUN_DIR", type=click.Path(path_type=Path))

_RUN_DIR = click.option(
    "--run-dir", type=click.Path(path_type=Path, file_okay=False), help="Where to keep the run (runs/CAMPAIGN)."
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
        ask = Ask(mode=mode, **{name: given.pop(name) for name in _ASKED})
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


def flags_of(mode: Mode) -> str:
    """Return the flag that a mode needs on the command line, with a space before it; nothing for live."""
    return {Mode.SIMULATED: " --simulate", Mode.SANDBOX: " --sandbox"}.get(mode, "")
