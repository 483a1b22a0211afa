"""``broadcaster report``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="report")
@options.run_dir_or_url(builds=True, keeps="report")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "json", "csv", "md"]),
    default="html",
    show_default=True,
    help="A page, one JSON object, a table of facts, or Markdown for an issue.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where to write it; - is standard output. (html: RUN_DIR/report.html; else standard output)",
)
@click.option("--verify", is_flag=True, help="Check the promises too, also in a run of more than 100,000 rows.")
def command(path: Path, *, form: str, out: Path | None, verify: bool) -> ExitCode:
    """Say what happened in a run: how many arrived, what did not and why, how fast, at what cost.

    The page is one file without scripts that loads nothing, for any browser, phone or printer. Every run writes it at
    its end; this writes it anew with the receipts that have come since. No report holds a phone number.

    \b
    Example:
      broadcaster report runs/spring-sale-2026
      broadcaster report runs/spring-sale-2026 --format json
      broadcaster report s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.report import keep, report
    from broadcaster.cli.screen import busy
    from broadcaster.store.rundir import RunDir

    with busy("counting …"):
        content = report(path, form=form, verify=verify)
    if out is None and form == "html":
        out = RunDir(path).report
    if out is None or str(out) == "-":
        click.echo(content, nl=False)
    else:
        keep(out, content)
        click.echo(str(out))
    return ExitCode.DONE
