"""``broadcaster verify``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="verify")
@options.run_dir_or_url(builds=True)
@options.json_output
def command(path: Path, *, as_json: bool) -> ExitCode:
    """Prove from plan, journal and manifest that every row is accounted for.

    Names the first difference, with exit code 74, if there is one.

    \b
    Example:
      broadcaster verify runs/spring-sale-2026
      broadcaster verify s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.inspect import verify
    from broadcaster.cli.screen import busy
    from broadcaster.cli.telling import print_json

    with busy("deriving everything again …"):
        found, counts = verify(path)
    if as_json:
        print_json({"verified": True, "checked": found.checked, **counts})
        return ExitCode.DONE
    for each in found.checked:
        click.echo(f"ok  {each}")
    names = ("accepted", "rejected", "in_doubt", "pending", "excluded")
    parts = " + ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in names)
    click.echo(f"ok  {counts['total']:,} manifest rows = {parts}")
    return ExitCode.DONE
