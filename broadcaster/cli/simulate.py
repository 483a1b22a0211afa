"""``broadcaster simulate``: starts the simulator, which is a program of its own."""

import os
import subprocess
import sys

import click

_IGNORED = {"ignore_unknown_options": True, "allow_extra_args": True}


@click.command(name="simulate", context_settings=_IGNORED)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8484, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--state", default=":memory:", show_default=True, help="File that keeps what it received.")
@click.argument("others", nargs=-1, type=click.UNPROCESSED)
def command(host: str, port: int, state: str, others: tuple[str, ...]) -> None:
    """Start a local Sent API to try things on, until Ctrl-C.

    It accepts the key in SENT_DM_API_KEY, else the word "simulator". More options: python -m broadcaster.simulator
    --help.

    \b
    Example:
      broadcaster simulate --port 8484 --state simulator.sqlite
      SENT_BASE_URL=http://127.0.0.1:8484 SENT_DM_API_KEY=simulator broadcaster run jobs/spring_sale.toml
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    arguments = ["-m", "broadcaster.simulator", "--host", host, "--port", str(port), "--state", state, *others]
    if sys.platform == "win32":  # there exec would leave the terminal to the parent's shell
        sys.exit(subprocess.call([sys.executable, *arguments]))
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - the same interpreter, arguments of ours
