"""A machine that launches jobs by itself, set up as jobs/schedules/ says: nothing of a user's shell is there.

The examples live in /srv/broadcaster; here that is a directory of a test, and nothing else of them is changed.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.cli import KEY, PATIENCE_S, ROOT, Cli, Launcher, Result, keeps_no_key, told_no_secrets
from support.simulator import Simulator

_USUAL_PATH = "/usr/bin:/bin"


class Machine:
    """One with the program, the sample jobs and the key in a file; its launches go to *sim*.

    ``cli`` is somebody who looks after it, and has the launches' state directory.
    """

    def __init__(self, home: Path, sim: Simulator, *, launcher: Launcher | None = None) -> None:
        self.home = home
        for folder in ("jobs", "sample_data"):
            shutil.copytree(ROOT / folder, home / folder)
        job = home / "jobs/weekly_digest.toml"
        job.write_text(job.read_text().replace("[limits]", "[limits]\nrequests_per_minute = 0"))  # do not wait
        self.key_file = home / "sent.key"
        self.key_file.write_text(f"{KEY}\n")
        self.tool("broadcaster", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m broadcaster "$@"')
        self.path = f"{home / 'venv/bin'}:{_USUAL_PATH}"
        self._sent = {"SENT_BASE_URL": sim.url}
        self.cli = Cli(home, launcher=launcher)
        self.cli.environment |= {"XDG_STATE_HOME": str(home / ".local/state")}  # what it is without the variable
        self.cli.use(sim)

    def tool(self, name: str, script: str) -> None:
        """Put a program into /srv/broadcaster/venv/bin."""
        path = self.home / "venv/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def example(self, name: str) -> str:
        """Return the text of an example, with this machine's /srv/broadcaster."""
        text = (ROOT / "jobs/schedules" / name).read_text(encoding="utf-8")
        assert "/srv/broadcaster" in text or name.endswith(".timer")
        return text.replace("/srv/broadcaster", str(self.home))

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return what a launch finds in its environment: what every scheduler sets, and what is *given*."""
        return {"HOME": str(self.home), "LOGNAME": "broadcaster", "PATH": _USUAL_PATH, **given, **self._sent}

    def start(self, command: list[str], given: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Start a launch."""
        environment = self.environment(given)
        found = shutil.which(command[0], path=environment["PATH"])  # as a scheduler looks for it
        assert found is not None, f"{command[0]} is not on the PATH {environment['PATH']}"
        return subprocess.Popen(
            [found, *command[1:]],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def launch(self, command: list[str], given: Mapping[str, str]) -> Result:
        """Launch to the end."""
        return self.end(self.start(command, given))

    def end(self, started: "subprocess.Popen[str]") -> Result:
        """Wait for the end of a launch and look through what it said and left."""
        try:
            stdout, stderr = started.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()
            raise
        for text in (stdout, stderr):
            told_no_secrets(text, key=KEY)
        keeps_no_key(self.home, key=KEY)
        return Result(code=started.returncode, stdout=stdout, stderr=stderr)

    def runs(self) -> list[str]:
        """Return the names of the runs, in order."""
        return sorted(each.name for each in (self.home / "runs").iterdir())
