"""The command line without a process of its own, for tests that need it hundreds of times."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from broadcaster.cli import main
from support.cli import Cli, Result, told_no_secrets


def call(cli: Cli, *arguments: str) -> Result:
    """Run a command in this process, in the user's home and environment; it may read no standard input."""
    out, err = io.StringIO(), io.StringIO()
    with _as(cli, cli.environment), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _code(arguments)
    told_no_secrets(out.getvalue() + err.getvalue(), key=cli.environment.get("SENT_DM_API_KEY", "-"))
    return Result(code=code, stdout=out.getvalue(), stderr=err.getvalue())


def _code(arguments: tuple[str, ...]) -> int:
    try:
        main(list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    raise AssertionError("a command ends by exiting")


@contextlib.contextmanager
def _as(cli: Cli, environment: dict[str, str]) -> Iterator[None]:
    before, here, stdin = dict(os.environ), Path.cwd(), sys.stdin
    os.environ.update(environment)
    os.chdir(cli.home)
    sys.stdin = io.StringIO()
    try:
        yield
    finally:
        sys.stdin = stdin
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
