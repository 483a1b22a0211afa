#!/bin/bash
# One broadcast in 16 shards, four at a time, as an array of Slurm jobs:
#   broadcaster plan jobs/spring_sale.toml --run-dir file:///scratch/runs/spring-sale      a disk that all nodes have
#   sbatch slurm_array.sh file:///scratch/runs/spring-sale
#   broadcaster report file:///scratch/runs/spring-sale                                    when the array has ended
# The key is in a file that only you can read; the nodes must reach the API.
#SBATCH --job-name=spring-sale
#SBATCH --array=0-15%4
#SBATCH --ntasks=1
#SBATCH --time=04:00:00
#SBATCH --requeue

set -u
shards=16   # as --array
at_once=4   # as --array: four at a time have a quarter of the account's limits each
export SENT_DM_API_KEY_FILE="${SENT_DM_API_KEY_FILE:-$HOME/sent.key}"

for _ in $(seq 60); do
    broadcaster run-shard --plan "$1" --shard "$SLURM_ARRAY_TASK_ID" --of "$shards" --rate-share "1/$at_once"
    code=$?
    # 75: stopped early, or the last owner of the shard may still live; 74: the disk did not answer. Everything else
    # is the end, good or bad. A node that is lost is Slurm's business: it queues the job again, and the shard goes on.
    case $code in
        74 | 75) sleep "${PAUSE:-60}" ;;
        *) exit "$code" ;;
    esac
done
exit "$code"
