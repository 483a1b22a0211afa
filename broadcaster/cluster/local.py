"""``python -m broadcaster.cluster.local N``: a cluster of N worker processes of this machine.

Prints one JSON line with its scheduler's address when the workers are there, and ends when its standard input does: so
it dies with whoever started it, however that ends. It is started in a session of its own: Ctrl-C in a terminal is for
the driver, and workers must finish what is in flight. Its processes have the environment of whoever started it, and in
it the API key.
"""

import asyncio
import json
import logging
import os
import sys

import dask
from distributed import LocalCluster

# A lost host makes all its tasks suspicious; and a worker that says nothing for a minute is replaced, wherever it
# hangs: whoever takes its shard over fences it. What the environment says of these goes first.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 10,
    "distributed.scheduler.worker-ttl": "60s",
    "distributed.scheduler.work-stealing": False,  # shards are alike, and none is worth moving
}


def _variable(setting: str) -> str:
    """Return the variable of the environment by which people choose one of Dask's settings."""
    return f"DASK_{setting.replace('.', '__').replace('-', '_').upper()}"


async def serve(workers: int) -> None:
    """Run a cluster until standard input closes."""
    with dask.config.set({name: value for name, value in _SETTINGS.items() if _variable(name) not in os.environ}):
        cluster = LocalCluster(  # type: ignore[no-untyped-call]  # Dask's
            n_workers=workers,
            threads_per_worker=1,  # a shard at a time: it is not threads that sending needs
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            asynchronous=True,
        )
        async with cluster:
            print(json.dumps({"address": cluster.scheduler_address}), flush=True)  # noqa: T201 - the line is the interface
            await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
