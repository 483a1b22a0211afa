"""``broadcaster go``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.core.words import Steering
from broadcaster.errors import ExitCode


@click.command(name="go")
@options.ANY_RUN
def command(path: Path | str) -> ExitCode:
    """Let a paused run go on, from another terminal.

    When nobody works on the run this only ends the pause: 'broadcaster resume' then sends.

    \b
    Example:
      broadcaster go runs/spring-sale-2026
      broadcaster go s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.steering import order

    return order(path, Steering.GO)
