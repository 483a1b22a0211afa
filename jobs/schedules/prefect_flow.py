"""The weekly digest, by Prefect 3: ``python prefect_flow.py`` serves it from the machine that has the runs.

The program is on its PATH, and /srv/broadcaster has jobs, lists and runs.
"""

import os
import subprocess
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow, task
from prefect.runtime import flow_run
from prefect.schedules import Cron

HOME = "/srv/broadcaster"
KEY_FILE = "/srv/broadcaster/sent.key"
ZONE = "America/New_York"  # the job's own
COMMAND = ["broadcaster", "run", "jobs/weekly_digest.toml", "--yes", "--date"]
GO_ON_LATER = 75  # what the other codes mean: README.md


def goes_on(_task: Any, _run: Any, state: Any) -> bool:
    """Whether another try is worth it: after 75, which goes on where it stopped, and after being killed."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, subprocess.CalledProcessError) and (
        error.returncode == GO_ON_LATER or error.returncode < 0
    )


@task(retries=60, retry_delay_seconds=600, retry_condition_fn=goes_on, log_prints=True)
def send(command: list[str]) -> None:
    """Run it, with its lines in the task's log."""
    environment = {**os.environ, "SENT_DM_API_KEY_FILE": KEY_FILE}
    with subprocess.Popen(
        command, cwd=HOME, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in running.stdout or ():
            print(line, end="")
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)


@flow(name="weekly-digest")
def weekly_digest(day: str | None = None) -> None:
    """Send the digest of a day; the scheduled one stays the same for another try after midnight."""
    day = day or flow_run.scheduled_start_time.astimezone(ZoneInfo(ZONE)).date().isoformat()
    send([*COMMAND, day])


if __name__ == "__main__":
    weekly_digest.serve(name="mondays", schedule=Cron("0 6 * * 1", timezone=ZONE), limit=1)
