"""Commands in processes that need not start from nothing: a server has imported the program, and forks for each.

Importing is most of what a short command costs, and a crash test needs a hundred of them. Each is a process of its own
all the same: it can be killed, and nothing that it does outlives it but its files.
"""

import atexit
import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from support.broken import main
from support.cli import KEY, ROOT, Cli, Result, keeps_no_key, told_no_secrets

_IMPORTED = (
    "broadcaster.cli.run",
    "broadcaster.cli.resume",
    "broadcaster.cli.running",
    "broadcaster.cli.report",
    "broadcaster.report.page",
    "pyarrow.dataset",
    "tenacity",
    "uvloop",
)


class Warm:
    """The server; a context manager."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.warm"],
            env={**environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def run(self, cli: Cli, *arguments: str, env: Mapping[str, str] | None = None, typed: str = "") -> Result:
        """Run ``support.broken`` with *arguments* as *cli* would, to its end; a signal is a negative exit code."""
        environment = {**cli.environment, **(env or {})}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as said:
            Path(said, "stdin").write_text(typed, encoding="utf-8")
            order = {"arguments": arguments, "home": str(cli.home), "environment": environment, "said": said}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            stdout, stderr = (Path(said, name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        key = environment.get("SENT_DM_API_KEY") or KEY
        for text in (stdout, stderr):
            told_no_secrets(text, key=key)
        keeps_no_key(cli.home, key=key)
        return Result(code=code, stdout=stdout, stderr=stderr)


def serve() -> None:
    """Fork for every line on standard input; answer with the exit code."""
    for name in _IMPORTED:
        import_module(name)
    import_module("broadcaster.report.page")._template()  # compiled once for all: every run writes its report
    gc.collect()
    gc.freeze()  # no child looks through what all of them share
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


def _become(*, arguments: Sequence[str], home: str, environment: dict[str, str], said: str) -> NoReturn:
    """Be the command, and end without taking the whole program apart, which costs more than a short command itself."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(home)
    for descriptor, path in ((0, f"{said}/stdin"), (1, f"{said}/stdout"), (2, f"{said}/stderr")):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    random.seed()  # or all of them would wait equally long after a failure
    code: Any = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # private, but what the interpreter itself calls at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
