"""The command line inside something else: a tracer, another mount namespace, a process with a patch."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.cli import KEY, ROOT, Cli, Running


class Wrapped(Cli):
    """A user all of whose commands begin with *prefix*; *module* is what Python runs instead of the program.

    Takes over home, environment and simulator of *cli*.
    """

    def __init__(self, cli: Cli, prefix: Sequence[str] = (), *, module: Sequence[str] = ("broadcaster",)) -> None:
        super().__init__(cli.home)
        self.environment = {**cli.environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        self.simulator = cli.simulator
        self.prefix = tuple(prefix)
        self.module = tuple(module)

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Running:
        environment = {**self.environment, **(env or {})}
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", *self.module, *map(str, arguments)],
            cwd=self.home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        return Running(process, self, environment.get("SENT_DM_API_KEY") or KEY)
