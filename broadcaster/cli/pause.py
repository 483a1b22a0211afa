"""``broadcaster pause``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.core.words import Steering
from broadcaster.errors import ExitCode


@click.command(name="pause")
@options.ANY_RUN
def command(path: Path | str) -> ExitCode:
    """Let a run send nothing more until 'broadcaster go'; from another terminal, while it runs.

    What is under way ends properly. The process stays and waits; Ctrl-C still ends it. A run that nobody works on is
    paused too: 'run' and 'resume' then say so and end with exit code 75 instead of sending. Where several machines send
    a run all of them stop, two seconds later.

    \b
    Example:
      broadcaster pause runs/spring-sale-2026
      broadcaster pause s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.steering import order

    return order(path, Steering.PAUSE)
