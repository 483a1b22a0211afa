"""Planning on a Dask cluster: the same tables, batches and keys as :func:`broadcaster.planning.pipeline.build_part`.

What is done by whom is in :mod:`broadcaster.cluster.planner`; here is how Dask does it. Frames are shuffled by
dask.dataframe, from worker to worker and over their disks, so that neither a worker nor the driver has to hold a list.

What a cluster cannot do, or cannot do there, is planned on this machine instead, and somebody is told why.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask
from dask import dataframe
from distributed import Client
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from broadcaster.cluster.frames import Layout, empty
from broadcaster.cluster.pieces import why_alone
from broadcaster.cluster.planfiles import write_part
from broadcaster.cluster.planner import AloneError, Planner
from broadcaster.cluster.where import CONNECT_S, WORKERS_S, Where, silence_dask, without_workers
from broadcaster.errors import ConfigError, StoppedEarly
from broadcaster.planning.followup import Known
from broadcaster.planning.pipeline import Audience, Built, Wording, build_part
from broadcaster.planning.timing import Timing
from broadcaster.store.rundir import RunDir

_UNDER_WAY = 4  # row groups of each table that are made while one is written


def build_part_on_cluster(
    client: Client,
    audience: Audience,
    wording: Wording,
    *,
    run_dir: RunDir,
    part: int,
    first_row: int,
    first_batch: int,
    known: Known,
    timing: Timing | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """Do what :func:`broadcaster.planning.pipeline.build_part` does, on the workers of *client*; it blocks.

    Args:
        client: of the cluster. Of an asynchronous one only the address is used; call this in another thread than its.
        audience: as there, like all that follow.
        wording: as there.
        run_dir: as there.
        part: as there.
        first_row: as there.
        first_batch: as there.
        known: as there.
        timing: as there.
        say: is told why the list is planned on this machine after all, where it is.

    Raises:
        ConfigError: the workers have other versions of the packages that decide about a row, or not our code.
        ListUnusable: when the list cannot be read or has no rows.
        StoppedEarly: scheduler or workers are lost.
        StoreError: when the disk refuses.
    """
    alone = why_alone(audience, wording, known)
    if alone is None:
        try:
            with _readable_errors(), _blocking(client) as blocking:
                return write_part(
                    Planner(workers=DaskWorkers(blocking), audience=audience, wording=wording, timing=timing),
                    rows_path=run_dir.rows(part),
                    batches_path=run_dir.batches(part),
                    first_row=first_row,
                    first_batch=first_batch,
                )
        except AloneError as error:
            alone = str(error)
    say(f"planned on this machine alone: {alone}")
    return build_part(
        audience,
        wording,
        run_dir=run_dir,
        part=part,
        first_row=first_row,
        first_batch=first_batch,
        known=known,
        timing=timing,
    )


@contextmanager
def planning_on(where: Where, *, say: Callable[[str], None]) -> Iterator[Callable[..., Built]]:
    """Yield what does the work of :func:`broadcaster.planning.pipeline.build_part`, on a cluster while the block lasts.

    Worker processes of this machine would plan no sooner than it does without them: for these, that is ``build_part``.

    Args:
        where: the cluster.
        say: as for :func:`build_part_on_cluster`.

    Raises:
        ConfigError: nobody answers at its address.
        StoppedEarly: it has no workers.
    """
    if where.address is None:
        yield build_part
        return
    silence_dask()
    try:
        attached: Any = Client(where.address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]  # Dask's
    except OSError:
        raise ConfigError(f"no Dask scheduler answers at {where}; start one with 'dask scheduler'") from None
    with attached as client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            raise without_workers() from None
        yield partial(build_part_on_cluster, client, say=say)


@dataclass(frozen=True, slots=True)
class DaskWorkers:
    """See :class:`broadcaster.cluster.planner.Workers`. Results are Dask's futures; its own types say little."""

    client: Any

    def run(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Let some worker do *work*."""
        return self.client.submit(work, *arguments, **named, pure=False)

    def told(self, results: Sequence[Any]) -> list[Any]:
        """Return what results are, in order."""
        found: list[Any] = self.client.gather(list(results))
        return found

    def together(self, frames: Sequence[Any], layout: Layout, *, by: str, parts: int) -> list[Any]:
        """Bring rows of equal *by* together."""
        whole = _whole(frames, layout)
        return self._kept(whole.shuffle(on=by, npartitions=parts, shuffle_method="p2p", ignore_index=True))

    def between(self, frames: Sequence[Any], layout: Layout, *, by: str, bounds: Sequence[int]) -> list[Any]:
        """Bring rows together by the two of *bounds* that their *by* is between."""
        return self._kept(_whole(frames, layout).set_index(by, divisions=list(bounds), shuffle_method="p2p"))

    def _kept(self, frame: Any) -> list[Any]:
        """Return the partitions of a frame, which workers keep from now on.

        The scheduler gets plain tasks. Given an expression it would make them itself, in a thread; with a scheduler in
        this process that thread and this one, busy with the next frame, can wait for each other forever: up to Python
        3.11 each of an expression's cached properties is guarded by a lock.
        """
        frame = frame.optimize()
        keys = frame.__dask_keys__()
        futures: list[Any] = self.client.get(dict(frame.__dask_graph__()), keys, sync=False)
        return futures

    def in_order(self, results: Iterable[Any]) -> Iterator[Any]:
        """Yield what results are, in order, a few ahead."""
        under_way: deque[Any] = deque()
        for result in results:
            under_way.append(result)
            if len(under_way) > _UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _whole(frames: Sequence[Any], layout: Layout) -> Any:
    """Return frames as one, the partitions of which they are."""
    with dask.config.set({"dataframe.convert-string": False}):
        return dataframe.from_delayed(list(frames), meta=empty(layout), verify_meta=False)


@contextmanager
def _blocking(client: Any) -> Iterator[Any]:
    """Yield a client that may be waited for in this thread."""
    if not client.asynchronous:
        yield client
        return
    with Client(client.scheduler.address, security=client.security, set_as_default=False) as own:  # type: ignore[no-untyped-call]  # Dask's
        yield own


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Say in a sentence what Dask raises."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"the cluster cannot run this code ({error}); install the same broadcaster on its scheduler and workers: "
            "pip install 'broadcaster[cluster]'"
        ) from None
    except KilledWorker:
        raise StoppedEarly(
            "planning was begun on several workers, and each of them died; look at their memory. Nothing was sent"
        ) from None
    except (FutureCancelledError, OSError):
        raise StoppedEarly("the scheduler of the cluster is lost, or all its workers; nothing was sent") from None
