"""From whatever ended a command to an exit code and one sentence on stderr."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

import click

from broadcaster.errors import BroadcasterError, ExitCode

EXIT_CODES = {
    ExitCode.DONE: "every delivery accepted or excluded",
    ExitCode.BUG: "a bug",
    ExitCode.USAGE: "usage or configuration",
    ExitCode.SOME_REJECTED: "finished, some rejected",
    ExitCode.SOME_IN_DOUBT: "finished, some in doubt",
    ExitCode.HALTED: "halted: safety limit, spend, balance, count not as expected",
    ExitCode.LIST_UNUSABLE: "the list is unusable, or --strict and a number is invalid",
    ExitCode.STORE: "disk, journal, or verify found a difference",
    ExitCode.STOPPED: "stopped early or locked; the printed 'broadcaster resume DIR' goes on",
    ExitCode.REFUSED: "key or account refused",
    ExitCode.FOREIGN: "run directory, campaign, plan, account, mode or format is another's",
}


def leave(command: Callable[[], Any]) -> NoReturn:
    """Run *command* and exit: with its own code, or with that of what went wrong."""
    sys.stderr = _ForPeople(sys.stderr)
    try:
        result = command()
        code = int(result) if isinstance(result, int) else ExitCode.DONE
        sys.stdout.flush()
    except BroadcasterError as error:
        code = _say(error.sentence, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = ExitCode.USAGE
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        code = _say(error.format_message(), ExitCode.USAGE)
        if context is not None:
            click.echo(f"Try '{context.command_path} --help'.", err=True)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = _say("stopped; nothing is lost: run the same command again", ExitCode.STOPPED)
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.STOPPED
    except Exception as error:  # noqa: BLE001 - the last net: a bug gets a sentence too
        code = _say(_bug(error), ExitCode.BUG)
    sys.exit(int(code))


class _ForPeople:
    """Standard error whose reader may leave, a closed window or pipe: no run ends because nobody watches any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write *text* if somebody reads it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            if not _nobody_reads(error):
                raise
            return len(text)

    def flush(self) -> None:
        """Flush if somebody reads it."""
        try:
            self._stream.flush()
        except OSError as error:
            if not _nobody_reads(error):
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _nobody_reads(error: OSError) -> bool:
    """Whether *error* is what writing to a closed pipe or window gives."""
    return error.errno in {errno.EPIPE, errno.EIO}


def _say(sentence: str, code: ExitCode) -> ExitCode:
    click.echo(f"Error: {sentence}", err=True)
    return code


def _bug(error: Exception) -> str:
    """Describe a bug by kind and place only: its message could hold a number or a key."""
    if os.environ.get("BROADCASTER_DEBUG"):
        traceback.print_exc()
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"this is a bug in broadcaster ({type(error).__name__} at {os.path.basename(place.filename)}:{place.lineno}). "  # noqa: PTH119 - a name for people
        "The journal is safe: 'broadcaster resume' goes on. BROADCASTER_DEBUG=1 prints more, numbers included"
    )
