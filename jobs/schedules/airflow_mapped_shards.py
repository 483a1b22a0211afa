"""One broadcast in 16 shards, four at a time, by mapped tasks of Airflow 3: put this file into the folder of DAGs.

The workers have the program on their PATH, and all of them reach the bucket; the first task also needs job and list.
Plan, shards and proof are one run: a task that is tried again goes on where its shard stopped, on any worker.
"""

import os
import subprocess
from datetime import UTC, datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

HOME = "/srv/broadcaster"
KEY_FILE = "/srv/broadcaster/sent.key"
RUN = "s3://broadcasts/spring-sale"
SHARDS, AT_ONCE = 16, 4
PLAN = ["broadcaster", "plan", "jobs/spring_sale.toml", "--run-dir", RUN]
SHARD = ["broadcaster", "run-shard", "--plan", RUN, "--of", str(SHARDS), "--rate-share", f"1/{AT_ONCE}", "--shard"]
VERIFY = ["broadcaster", "verify", RUN]
REPORT = ["broadcaster", "report", RUN]
TRY_AGAIN = {74, 75}  # the store did not answer; stopped early, or the shard's last owner may still live
FINISHED = {0, 3, 4}  # all accepted; some rejected; some in doubt: the report says who


def launch(command: list[str], *, fine: frozenset[int] = frozenset({0})) -> None:
    """Run a command, with its lines in the task's log; only what can go better is tried again."""
    environment = {**os.environ, "SENT_DM_API_KEY_FILE": KEY_FILE}
    with subprocess.Popen(
        command, cwd=HOME, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in running.stdout or ():
            print(line, end="")
    code = running.returncode
    if code in TRY_AGAIN or code < 0:
        raise subprocess.CalledProcessError(code, command)  # Airflow tries again
    if code not in fine:
        raise AirflowFailException(f"exit code {code}: somebody must look at it")


@task
def plan() -> None:
    """Put the plan where all workers find it; a second time changes nothing."""
    launch(PLAN)


@task(retries=60, retry_delay=timedelta(minutes=1), max_active_tis_per_dag=AT_ONCE)
def send(shard: int) -> None:
    """Send one shard."""
    launch([*SHARD, str(shard)], fine=frozenset(FINISHED))


@task
def prove() -> None:
    """Prove that every row is accounted for, and write the report."""
    launch(VERIFY)
    launch(REPORT)


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1)
def spring_sale() -> None:
    """Plan, send all shards, prove."""
    plan() >> send.expand(shard=list(range(SHARDS))) >> prove()


spring_sale()
