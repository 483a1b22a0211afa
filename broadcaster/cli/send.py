"""``broadcaster send``: a job from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.app.prepare import Ask


@click.command(name="send")
@click.argument("lists", metavar="LIST...", nargs=-1, required=True)
@click.option("--campaign", required=True, help="Within one campaign nobody is messaged twice.")
@click.option("--template-id", help="The template to send.")
@click.option("--template-name", help="The same by its name.")
@click.option("--text", help="A text instead of a template.")
@click.option(
    "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A template parameter; {column} works."
)
@click.option(
    "--channel", "channels", multiple=True, help="sms, whatsapp or rcs; none: the API picks. Two are two messages."
)
@click.option("--phone", help="Column of the numbers.")
@click.option("--id", "id_", help="Column of your own id, carried through to the manifest.")
@click.option("--region", help="Country of numbers without a country code, such as US.")
@click.option("--group-by", help="Column whose equal values are sent together, one after the other.")
@click.option("--suppress", multiple=True, help="A list of numbers that must not be messaged.")
@options.DELIMITER
@click.option("--encoding", help="Of a text file.")
@click.option("--sheet", help="Of an XLSX file; else its first one.")
@click.option("--timezone", help="For {date} in the campaign.")
@click.option("--batch-size", type=int, help="Recipients per request at the most.")
@click.option("--requests-per-minute", type=int, help="The account's limit; 0: none.")
@click.option("--messages-per-minute", type=int, help="The account's limit; 0: none.")
@click.option("--concurrency", type=int, help="Requests under way at once.")
@click.option("--max-messages", type=int, help="Refuse a larger plan.")
@click.option("--dry-run", is_flag=True, help="Print the plan and keep nothing.")
@options.planning
@options.sending
def command(
    lists: tuple[str, ...],
    *,
    parameters: tuple[str, ...],
    channels: tuple[str, ...],
    suppress: tuple[str, ...],
    id_: str | None,
    region: str | None,
    dry_run: bool,
    ask: "Ask",
    as_json: bool,
    no_preflight: bool,
    no_wait: bool,
    yes: bool,
    **others: Any,
) -> ExitCode:
    """Send to a list without a job file: plan, show, ask, send.

    \b
    Example:
      broadcaster send sample_data/customers.csv --campaign hello-2026 \\
        --template-id 3f2504e0-4f89-41d3-9a0c-0305e82c3301 --channel sms \\
        --param name={first_name} --param code=SPRING --region US --simulate
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.running import start
    from broadcaster.job.load import job_from

    values = {
        "campaign": others["campaign"],
        "timezone": others["timezone"],
        "recipients": {
            "file": list(lists),
            "phone": others["phone"],
            "id": id_,
            "default_region": region,
            "group_by": others["group_by"],
            "suppress": list(suppress) or None,
            "encoding": others["encoding"],
            "delimiter": others["delimiter"],
            "sheet": others["sheet"],
        },
        "message": {
            "template_id": others["template_id"],
            "template_name": others["template_name"],
            "text": others["text"],
            "channels": list(channels) or None,
            "parameters": dict(_pair(each) for each in parameters) or None,
        },
        "limits": {
            name: others[name]
            for name in ("batch_size", "requests_per_minute", "messages_per_minute", "concurrency", "max_messages")
        },
    }
    job = job_from(_given(values), base=Path.cwd(), name="the command line")
    return start(job, ask, dry_run=dry_run, yes=yes, preflight=not no_preflight, wait=not no_wait, as_json=as_json)


def _pair(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--param {written!r} is not NAME=VALUE, such as name={{first_name}}")
    return name, value


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given, so that the job's defaults hold."""
    kept = {name: _given(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None}
