"""``broadcaster rate``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.core.control import FASTEST, SLOWEST
from broadcaster.core.words import Steering
from broadcaster.errors import ExitCode


@click.command(name="rate")
@click.argument("per_minute", metavar="N", type=click.IntRange(SLOWEST, FASTEST))
@options.ANY_RUN
def command(per_minute: int, path: Path | str) -> ExitCode:
    """Limit a run to N requests a minute, from another terminal, while it runs or before it goes on.

    It takes the place of the job's requests_per_minute for this run, also after a restart, until another 'rate'. What
    the API says of its limit from then on still lowers it, and the job's limit of messages still holds. Where several
    machines send a run it is the rate of all of them together.

    \b
    Example:
      broadcaster rate 120 runs/spring-sale-2026
      broadcaster rate 120 s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.steering import order

    return order(path, Steering.RATE, per_minute=per_minute)
