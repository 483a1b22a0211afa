"""``broadcaster rehearse``."""

import os
import tempfile
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="rehearse")
@options.JOB
@click.option("--profile", default="hostile", show_default=True, help="Faults: calm, rush-hour, flaky-network, …")
@click.option("--kills", default=5, show_default=True, type=click.IntRange(min=0), help="Times the sender is killed.")
@click.option("--seed", default=1, show_default=True, type=int, help="The same seed gives the same faults and kills.")
@click.option(
    "--run-dir", type=click.Path(path_type=Path, file_okay=False), help="Where to keep what happened (nowhere)."
)
@options.ONLY
@options.json_output
def command(
    job_file: Path,
    *,
    profile: str,
    kills: int,
    seed: int,
    run_dir: Path | None,
    only: tuple[str, ...],
    as_json: bool,
) -> ExitCode:
    """Send the whole job to a simulator with faults, kill it now and then, and prove that nobody got it twice.

    The real list and plan are used, as fast as this machine allows. Exit code 0 only when the simulator's own ledger
    says that nobody was messaged twice and nobody was lost.

    \b
    Example:
      broadcaster rehearse jobs/spring_sale.toml --profile hostile --kills 5
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.rehearse import Drill, rehearse
    from broadcaster.cli.freezing import plan_rehearsal
    from broadcaster.cli.screen import duration, show_plan
    from broadcaster.cli.telling import print_json

    with tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch:
        plan, shown = plan_rehearsal(job_file, run_dir or Path(scratch) / "rehearsal", only=only)
        show_plan(shown)
        found = rehearse(
            plan,
            Drill(profile=profile, kills=kills, seed=seed),
            environ=os.environ,
            say=lambda sentence: click.echo(sentence, err=True),
        )
    real = duration(shown.duration_s)
    click.echo(
        f"{found.proof.messages:,} messages in the simulator's ledger, nobody twice, nobody lost: "
        f"{found.launches} launches, {found.kills} kills, profile {profile}, {found.elapsed_s:.0f} s",
        err=True,
    )
    click.echo(f"The real run will take {real} at the account's limits.", err=True)
    if as_json:
        print_json(
            {
                "proved": True,
                "messages": found.proof.messages,
                "kills": found.kills,
                "launches": found.launches,
                "exit_codes": found.codes,
                "real_duration_s": shown.duration_s,
            }
        )
    return ExitCode.DONE
