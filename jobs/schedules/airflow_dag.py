"""The weekly digest, by Airflow 3: put this file into the folder of DAGs.

The worker has the program on its PATH, and /srv/broadcaster with jobs, lists and runs. With several workers, name the
queue of one of them: the runs are on its disk.
"""

import os
import subprocess
from datetime import UTC, datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task
from airflow.timetables.trigger import CronTriggerTimetable

HOME = "/srv/broadcaster"
KEY_FILE = "/srv/broadcaster/sent.key"
# With this timetable {{ ds }} is the day of the launch, by UTC, and stays so for another try after midnight.
COMMAND = ["broadcaster", "run", "jobs/weekly_digest.toml", "--yes", "--date", "{{ ds }}"]
GO_ON_LATER = 75  # what the other codes mean: README.md


@task(retries=60, retry_delay=timedelta(minutes=10), queue="default")
def send(command: list[str]) -> None:
    """Run it, with its lines in the task's log; only 75, and being killed, are worth another try."""
    environment = {**os.environ, "SENT_DM_API_KEY_FILE": KEY_FILE}
    with subprocess.Popen(
        command, cwd=HOME, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in running.stdout or ():
            print(line, end="")
    if running.returncode == GO_ON_LATER or running.returncode < 0:
        raise subprocess.CalledProcessError(running.returncode, command)  # Airflow tries again
    if running.returncode:
        raise AirflowFailException(f"exit code {running.returncode}: somebody must look at it")


@dag(
    schedule=CronTriggerTimetable("0 6 * * 1", timezone="America/New_York"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # nobody wants last year's digests
    max_active_runs=1,
)
def weekly_digest() -> None:
    """Send the digest of the day, before 10:00 has come for any reader."""
    send(COMMAND)


weekly_digest()
