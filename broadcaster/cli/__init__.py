"""The commands: each parses, asks, calls a use case and prints. Errors become exit codes in one place.

A command's module is imported when it is used, so that ``broadcaster --help`` answers at once.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from broadcaster.cli.exits import EXIT_CODES, leave

_COMMANDS = {
    "run": "Plan a job, show the plan, ask, and send. Goes on where a run stopped.",
    "send": "The same for a list, without a job file.",
    "plan": "Freeze a job's plan and print it. Needs neither network nor key.",
    "test": "Send a job's message once, to a number of your own.",
    "resume": "Go on with a stopped run.",
    "pause": "Let a run wait, from another terminal.",
    "go": "Let a paused run go on.",
    "rate": "Give a run another limit of requests a minute.",
    "reconcile": "Ask the API about deliveries in doubt, and what became of the accepted ones.",
    "resolve": "List what is in doubt, or decide about it.",
    "cancel": "Cancel messages that the API still holds.",
    "retry-failed": "Send again what definitely did not arrive, under new keys.",
    "status": "Where a run stands.",
    "trace": "Tell everything that is known about one recipient.",
    "verify": "Prove that every row of a run is accounted for.",
    "manifest": "Build a run's manifest anew.",
    "report": "What arrived, what did not and why: a page, or JSON, CSV, Markdown.",
    "purge": "Remove a finished run's personal data; keep the counts.",
    "rehearse": "Send a whole job to a simulator with faults, kill it, and prove that nobody got it twice.",
    "serve": "Receive delivery receipts as webhooks; show the runs in a browser.",
    "contacts": "Take the account's contacts out, into a file.",
    "doctor": "Is all there that a run needs? Key, disk, account, clock, template.",
    "simulate": "Start a local Sent API to try things on.",
    "run-shard": "Send one shard of a run that several machines share.",
}


def _has_profiles(path: Path) -> bool:
    """Whether a directory, or the one that it is in, has a run for each profile in it."""
    return any((each / "profiles.json").is_file() for each in (path, path.parent))


class _Commands(click.Group):
    """The commands by name, imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people need them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"broadcaster.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Name the nearest command when there is no such one."""
        import difflib

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(_COMMANDS)}"
            raise click.UsageError(f"there is no command '{args[0]}'{hint}", ctx)
        name, command, words = super().resolve_command(ctx, args)
        if command is None or not any(
            isinstance(each, click.Argument) and each.name == "path" for each in command.params
        ):
            return name, command, words
        if not any(_has_profiles(Path(word)) for word in words):
            return name, command, words
        from broadcaster.cli.eachprofile import each_of

        each = each_of([str(name), *words], at_end=ctx.call_on_close)
        return (name, command, words) if each is None else (name, click.Command(name, callback=each), [])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Explain the exit codes."""
        del ctx
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_CODES.items()])
        with formatter.section("Environment"):
            formatter.write_dl(
                [
                    ("SENT_DM_API_KEY", "the API key, or SENT_DM_API_KEY_FILE: a file that holds it"),
                    ("SENT_BASE_URL", "address of the API (https://api.sent.dm)"),
                    ("SENT_PROFILE_ID", "act for this profile"),
                    ("SENT_SENDER_ID", "the sender, for version v1 of the API only"),
                    ("SENT_NOTIFY_URL", "tell this address how a run ended; signed with SENT_NOTIFY_SECRET"),
                    ("BROADCASTER_DASHBOARD_TOKEN", "what the dashboard of 'serve' asks for"),
                    ("SENT_WEBHOOK_SECRET", "signing secret of webhooks, or SENT_WEBHOOK_SECRET_FILE"),
                ]
            )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="broadcaster")
def cli() -> None:
    """Send one message to a list of people through the Sent API, nobody twice and nobody lost.

    \b
    Try it without an account:
      broadcaster run jobs/spring_sale.toml --simulate
    """  # noqa: D301 - \b is click's mark for "do not wrap"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    leave(lambda: cli.main(args=given, prog_name="broadcaster", standalone_mode=False))
