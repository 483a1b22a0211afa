"""``broadcaster run-shard``."""

from typing import Any

import click

from broadcaster.cli import options
from broadcaster.core.pacing import parse_share
from broadcaster.errors import ExitCode


class _Share(click.ParamType[float]):
    name = "1/64"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_share(value)
        except ValueError:
            self.fail(f"{value!r} is no share: it is above 0 and at most 1, such as 1/64 or 0.25", param, ctx)


class _Duration(click.ParamType[float]):
    name = "30s"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from broadcaster.job.fields import seconds

        if isinstance(value, float):
            return value
        found = seconds(value)
        if found is None:
            self.fail(f"{value!r} is no duration such as 500ms, 30s or 10m", param, ctx)
        return found


@click.command(name="run-shard")
@click.option("--plan", required=True, metavar="URL|RUN_DIR", help="The shared run directory, or a planned local one.")
@click.option("--shard", "index", required=True, type=click.IntRange(min=0), metavar="I", help="Which shard, from 0.")
@click.option("--of", required=True, type=click.IntRange(min=1), metavar="N", help="How many shards there are.")
@click.option(
    "--rate-share",
    type=_Share(),
    metavar="F",
    help="Share of the account's limits, such as 1/8 where eight shards run at a time. (1/N)",
)
@click.option(
    "--take-over-after",
    "idle_s",
    type=_Duration(),
    default=30.0,
    metavar="DURATION",
    help="Take the shard from a process that gave no sign of life for so long. (30s)",
)
@options.json_output
def command(plan: str, *, index: int, of: int, rate_share: float | None, idle_s: float, as_json: bool) -> ExitCode:
    """Send one shard of a run that several machines share.

    For Kubernetes, Airflow, Slurm and whatever else starts processes: one for each shard, at the same time or one after
    the other. A shard whose process is gone is started again by the same command; nobody gets anything twice. With the
    directory of a plan on this machine everything goes into another one next to it, RUN_DIR.shared.

    \b
    Example:
      broadcaster plan jobs/spring_sale.toml --run-dir s3://my-bucket/spring-sale
      broadcaster run-shard --plan s3://my-bucket/spring-sale --shard 7 --of 64 --rate-share 1/8
      broadcaster report s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.shards import send_shard

    return send_shard(
        plan, index, of=of, share=1 / of if rate_share is None else rate_share, idle_s=idle_s, as_json=as_json
    )
