"""``broadcaster doctor``."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.app.doctor import Finding
    from broadcaster.job.model import Job


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
    from broadcaster.app.doctor import State, check_disk, check_settings
    from broadcaster.app.parts import run_loop
    from broadcaster.cli.telling import print_json
    from broadcaster.job.load import load_job

    job = None if job_file is None else load_job(job_file)
    found: list[Finding] = []

    def tell(finding: "Finding") -> None:
        found.append(finding)
        if not as_json:
            click.echo(f"{finding.check:<9} {finding.state:<8} {finding.sentence}")

    for at, (name, environ) in enumerate(_environments(job)):
        if name and not as_json:
            click.echo(f"── {name} ──")
        key = check_settings(environ, legacy=_is_legacy(job))
        tell(key)
        if not at:
            tell(check_disk(Path("runs")))
        if key.state is State.OK:
            run_loop(_ask(job, environ, tell=tell))
    if as_json:
        rows = [{"check": each.check, "state": each.state, "sentence": each.sentence} for each in found]
        print_json({"checks": rows})
    return next((each.code for each in found if each.state is State.FAILED), ExitCode.DONE)


def _environments(job: "Job | None") -> list[tuple[str, Mapping[str, str]]]:
    """Return the environment of each profile by its name; without profiles this one, without a name."""
    from broadcaster.job.profiles import environment_of, senders_of

    senders = senders_of(job) if job is not None else ()
    found = [(each.name, environment_of(each, senders, os.environ, needs_key=False)) for each in senders]
    return [*found] or [("", os.environ)]


def _is_legacy(job: "Job | None") -> bool:
    return job is not None and job.api.version == "v1"


async def _ask(job: "Job | None", environ: Mapping[str, str], *, tell: "Callable[[Finding], None]") -> None:
    from broadcaster.app.doctor import check_api
    from broadcaster.app.parts import access
    from broadcaster.core.words import Mode

    with access(Mode.LIVE, environ, legacy=_is_legacy(job)) as to:
        async for finding in check_api(to, job):
            tell(finding)
