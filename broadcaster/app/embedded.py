"""The embedded simulator: a process of its own, known by its address only, that ends with whoever started it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from broadcaster.errors import StoreError

_START_S = 30.0  # to wait for the simulator's first line; it takes about one second


@contextlib.contextmanager
def simulator(environ: Mapping[str, str], state: Path | None, *flags: str) -> Iterator[str]:
    """Start the simulator as a process of its own; it ends when its standard input closes, however we end.

    Args:
        environ: of its process; what is for the real API is left out.
        state: its file; ``None`` keeps its state in memory.
        flags: more of its command line.
    """
    command = [sys.executable, "-m", "broadcaster.simulator", "--port", "0", "--until-stdin-closes"]
    command += ["--state", os.fspath(state) if state is not None else ":memory:", *flags]
    quiet = {name: value for name, value in environ.items() if not name.startswith("SENT_")}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=quiet,
        start_new_session=True,  # Ctrl-C in the terminal is for us: the simulator must answer what is in flight
    )
    try:
        yield _url(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _url(process: "subprocess.Popen[bytes]") -> str:
    line = process.stdout.readline() if process.stdout else b""
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError):
        process.kill()
        said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
        raise StoreError(f"the embedded simulator did not start: {said or 'it said nothing'}") from None
