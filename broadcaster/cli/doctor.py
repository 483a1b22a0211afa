"""``broadcaster doctor``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.app.doctor import Finding


@click.command(name="doctor")
@click.argument("job_file", metavar="[JOB.toml]", type=click.Path(path_type=Path), required=False)
@options.json_output
def command(job_file: Path | None, *, as_json: bool) -> ExitCode:
    """Check key, disk, account, clock and the job's template. Changes nothing, messages nobody.

    Ends with what a run would end with: 0 when all is well, else the exit code of the first check that failed.

    \b
    Example:
      broadcaster doctor jobs/spring_sale.toml
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.doctor import State, check_api, check_disk, check_settings
    from broadcaster.app.parts import access, run_loop
    from broadcaster.cli.telling import print_json
    from broadcaster.core.words import Mode
    from broadcaster.job.load import load_job

    job = None if job_file is None else load_job(job_file)
    legacy = job is not None and job.api.version == "v1"
    found: list[Finding] = []

    def tell(finding: "Finding") -> None:
        found.append(finding)
        if not as_json:
            click.echo(f"{finding.check:<9} {finding.state:<8} {finding.sentence}")

    async def ask() -> None:
        with access(Mode.LIVE, os.environ, legacy=legacy) as to:
            async for finding in check_api(to, job):
                tell(finding)

    tell(check_settings(os.environ, legacy=legacy))
    usable = found[0].state is State.OK
    tell(check_disk(Path("runs")))
    if usable:
        run_loop(ask())
    if as_json:
        rows = [{"check": each.check, "state": each.state, "sentence": each.sentence} for each in found]
        print_json({"checks": rows})
    return next((each.code for each in found if each.state is State.FAILED), ExitCode.DONE)
