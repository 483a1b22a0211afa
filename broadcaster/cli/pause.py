"""``broadcaster pause``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.core.words import Steering
from broadcaster.errors import ExitCode


@click.command(name="pause")
@options.RUN_DIR
def command(path: Path) -> ExitCode:
    """Let a run send nothing more until 'broadcaster go'; from another terminal, while it runs.

    What is under way ends properly. The process stays and waits; Ctrl-C still ends it. A run that nobody works on is
    paused too: 'run' and 'resume' then say so and end with exit code 75 instead of sending.

    \b
    Example:
      broadcaster pause runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.steering import order

    return order(path, Steering.PAUSE)
