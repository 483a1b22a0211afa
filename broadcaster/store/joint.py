"""A directory with a run for each profile of a job: who they are, and one manifest and summary of all.

Each run in it is complete without it; what is here is only put together.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from broadcaster.errors import BelongsToAnother
from broadcaster.job.profiles import Sender
from broadcaster.store.exports import write_summary
from broadcaster.store.files import disk_errors, replacing, write_atomically
from broadcaster.store.parquet import reading, record_batches, writing
from broadcaster.store.rundir import RunDir

PROFILES = "profiles.json"
_FORMAT = 1


def is_joint(path: Path) -> bool:
    """Whether *path* has a run for each profile in it."""
    return (path / PROFILES).is_file()


def write_senders(path: Path, senders: Sequence[Sender]) -> None:
    """Write down for whom there are to be runs in *path*; those that are planned stay.

    Raises:
        BelongsToAnother: one of them is somebody else now, or there is a run for one account.
        StoreError: the disk refuses.
    """
    if RunDir(path).is_planned:
        raise BelongsToAnother(
            f"{path} holds a run for one account, and the job has profiles now; give the job another campaign name"
        )
    before = {each.name: each for each in planned_in(path)}
    for each in senders:
        if before.get(each.name, each) != each:
            raise BelongsToAnother(
                f"profile {each.name} has another id or key_env than when {path} was planned; its messages would get "
                "other keys. Give the job another campaign name"
            )
    known = {**before, **{each.name: each for each in senders}}
    if not is_joint(path) or tuple(known.values()) != read_senders(path):
        found = {"format": _FORMAT, "profiles": [asdict(each) for each in known.values()]}
        write_atomically(path / PROFILES, json.dumps(found, indent=2).encode())


def read_senders(path: Path) -> tuple[Sender, ...]:
    """Return for whom there are runs in *path*.

    Raises:
        BelongsToAnother: the file is not ours, or of another format.
    """
    try:
        found = json.loads((path / PROFILES).read_bytes())
        if found["format"] == _FORMAT:
            return tuple(Sender(**each) for each in found["profiles"])
    except (ValueError, KeyError, TypeError):
        pass
    raise BelongsToAnother(f"{path / PROFILES} cannot be read by this version; restore it from a copy")


def planned_in(path: Path) -> tuple[Sender, ...]:
    """Return for whom there are runs in *path*, also purged ones; it may be no directory for several profiles.

    Raises:
        BelongsToAnother: as :func:`read_senders`.
    """
    if not is_joint(path):
        return ()
    runs = {each: RunDir(path / each.name) for each in read_senders(path)}
    return tuple(each for each, run in runs.items() if run.is_planned or run.purged.exists())


def join_manifests(path: Path, names: Iterable[str]) -> None:
    """Put the manifests of the runs *names* into one, with a column ``profile`` in front; of none there is none.

    Raises:
        StoreDamaged: one cannot be read.
        StoreError: the disk refuses.
    """
    manifests = {name: RunDir(path / name).manifest for name in names}
    manifests = {name: manifest for name, manifest in manifests.items() if manifest.exists()}
    if not manifests:
        with disk_errors(RunDir(path).manifest):
            RunDir(path).manifest.unlink(missing_ok=True)
        return
    with reading(next(iter(manifests.values()))) as first:
        schema = pa.schema([("profile", pa.dictionary(pa.int32(), pa.string())), *first.schema_arrow.remove_metadata()])
    with replacing(RunDir(path).manifest) as temporary, writing(temporary, schema) as writer:
        for name, manifest in manifests.items():
            with reading(manifest) as file:
                for batch in record_batches(file):
                    named = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), batch.num_rows), [name])
                    table = pa.Table.from_arrays([named, *batch.columns], names=schema.names)
                    writer.write_table(table.cast(schema))


def join_summaries(path: Path, summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summaries of all runs by name, with their sums, and write them down.

    Raises:
        StoreError: the disk refuses.
    """
    whole = {
        "run_dir": str(path),
        "complete": all(summary["complete"] for summary in summaries.values()),
        "deliveries": sums(summaries.values()),
        "profiles": summaries,
    }
    write_summary(RunDir(path).summary, whole)
    return whole


def sums(summaries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many deliveries of all runs have which status."""
    found: Counter[str] = Counter()
    for summary in summaries:
        found.update(summary["deliveries"])
    return dict(found)
