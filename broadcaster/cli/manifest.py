"""``broadcaster manifest``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="manifest")
@options.run_dir_or_url(keeps="results")
@options.json_output
def command(path: Path, *, as_json: bool) -> ExitCode:
    """Build a run's manifest anew, from its plan and its journal.

    \b
    Example:
      broadcaster manifest runs/spring-sale-2026
      broadcaster manifest s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.inspect import rebuild
    from broadcaster.cli.screen import busy
    from broadcaster.cli.telling import print_json
    from broadcaster.store.rundir import RunDir

    with busy("building the manifest …"):
        made = rebuild(path)
    if as_json:
        print_json(made.summary)
    else:
        click.echo(str(RunDir(path).manifest))
    return ExitCode.DONE
