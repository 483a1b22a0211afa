"""Between a shared run directory and an ordinary one: the plan goes out, plan and facts come in, results go out.

A *mirror* is an ordinary local run directory with everything that the shared one says at one moment. Manifest, status,
verify and report work on it and cannot tell the difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from broadcaster.cluster.fold import fold
from broadcaster.cluster.meta import ACCOUNT, META, Meta, read_meta, read_whose, require_kept, write_meta
from broadcaster.cluster.objects import shards_in
from broadcaster.cluster.orders import CONTROL, decided
from broadcaster.cluster.storage import Storage
from broadcaster.core.words import Repeat
from broadcaster.errors import BelongsToAnother, ConfigError, StoreDamaged
from broadcaster.store.files import digest, replacing, write_atomically
from broadcaster.store.head import Head
from broadcaster.store.plan import Plan
from broadcaster.store.rows import Statement, deciding, owning
from broadcaster.store.rundir import RunDir
from broadcaster.store.writer import create_journal

_OWNER_ONLY = 0o700
_BESIDE = (CONTROL, "summary.json", "receipts.sqlite")  # small files that say more, where they are there


def publish_plan(plan: Plan, storage: Storage, *, shards: int | None, meta: Mapping[str, str]) -> Meta | None:
    """Put a frozen plan where all machines find it. To do it again, or after a crash half-way, changes nothing.

    Args:
        plan: frozen, in a local run directory.
        storage: the shared run directory.
        shards: how many there shall be; ``None``: whoever starts first says so, with :func:`write_meta`.
        meta: what else is to be remembered.

    Raises:
        ConfigError: it is a plan that cannot be sent by several machines.
        BelongsToAnother: another plan is there.
        StoreError: the store does not do what it is asked, or cannot be relied on.
    """
    _require_shareable(plan)
    storage.require_exclusive()
    for part in plan.parts:
        head = plan.run_dir.head(part.head.part)
        tables = [plan.run_dir.path / name for name in part.head.sha256]
        kept = plan.run_dir.kept_lists(part.head.part)
        for path in (*tables, *kept, head):  # the head last: with it the part is there
            if not storage.upload(path, path.name, exclusively=True):
                raise BelongsToAnother(
                    f"{storage.name}/{path.name} is of another plan; go on with that one, or choose another address"
                )
    return None if shards is None else write_meta(storage, plan, shards=shards, more=meta)


def mirror(storage: Storage, run_dir: RunDir, *, shards: Sequence[int] | None = None, rows: bool = True) -> Plan:
    """Bring a local run directory up to date with a shared one, and return its plan.

    Args:
        storage: the shared run directory.
        run_dir: the local one, which nobody else uses at this moment; what is there already is not fetched again.
        shards: whose facts; ``None`` is all of them.
        rows: with the table of rows and copies of lists, which sending does not need.

    Raises:
        ConfigError: no shared run is there.
        StoreDamaged: something is missing or damaged; the sentence names it.
        StoreError: store or disk do not do what they are asked.
    """
    meta = _meta(storage, run_dir)
    fetch_plan(storage, run_dir, rows=rows)
    for name in _BESIDE:
        _fetch_beside(storage, run_dir.path / name)
    _fold(storage, run_dir, meta, shards)
    return Plan.open(run_dir)


def fetch_plan(storage: Storage, run_dir: RunDir, *, rows: bool) -> Plan:
    """Bring the plan alone up to date; the arguments and errors are those of :func:`mirror`."""
    _meta(storage, run_dir)
    run_dir.path.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
    _fetch_plan(storage, run_dir, rows=rows)
    return Plan.open(run_dir)


def fetch_manifest(storage: Storage, run_dir: RunDir) -> None:
    """Fetch the manifest that was published last, if there is one; it may be older than the facts."""
    if storage.exists(run_dir.manifest.name):
        _fetch(storage, run_dir.manifest, sha256=None)


def publish_results(storage: Storage, run_dir: RunDir) -> None:
    """Put all that a conclusion made of a mirror where all machines find it; a list that it did not make is removed."""
    for path in (run_dir.failed, run_dir.excluded, run_dir.suppress):
        if path.exists():
            storage.upload(path, path.name, exclusively=False)
        else:
            storage.remove(path.name)
    publish_report(storage, run_dir)
    _put_text(storage, run_dir, run_dir.summary)


def publish_report(storage: Storage, run_dir: RunDir) -> None:
    """Put the report of a mirror, and the manifest that it was made of, where all machines find it."""
    if run_dir.manifest.exists():
        storage.upload(run_dir.manifest, run_dir.manifest.name, exclusively=False)
    _put_text(storage, run_dir, run_dir.report)


def _put_text(storage: Storage, run_dir: RunDir, path: Path) -> None:
    """Put a file that names the run directory; the other machines know it by its address."""
    if path.exists():
        told = path.read_bytes().replace(str(run_dir.path).encode(), storage.name.encode())
        storage.replace(path.name, told)


def _require_shareable(plan: Plan) -> None:
    where = plan.run_dir.path
    if plan.head.asked.repeat is Repeat.NEVER:
        raise ConfigError(
            f"{where}: version v1 of the API has no idempotency keys, so that several machines cannot send safely; run "
            "it on one"
        )
    if any(part.head.canary_batches for part in plan.parts):
        raise ConfigError(
            f"{where}: a canary is one process's judgement; run this job on one machine, or without safety.canary"
        )


def _meta(storage: Storage, run_dir: RunDir) -> Meta | None:
    """Return what the shared run is; ``None`` where it is planned only, and nobody has said in how many shards."""
    for name in (META, ACCOUNT):
        require_kept(storage, name)
    if not storage.exists(META) and storage.exists(run_dir.head(0).name):
        return None
    return read_meta(storage)


def _fetch_plan(storage: Storage, run_dir: RunDir, *, rows: bool) -> None:
    part = 0
    beside = storage.names("") if rows else []
    while (content := storage.read(run_dir.head(part).name)) is not None:
        head = Head.from_json(content, path=Path(f"{storage.name}/{run_dir.head(part).name}"))
        for name, frozen in head.sha256.items():
            if rows or name != run_dir.rows(part).name:
                _fetch(storage, run_dir.path / name, sha256=frozen)
        for name in beside:
            if "/" not in name and name.startswith(f"input-{part}-") and not (run_dir.path / name).exists():
                _fetch(storage, run_dir.path / name, sha256=None)
        write_atomically(run_dir.head(part), content)
        part += 1
    if not part:
        raise StoreDamaged(f"{storage.name}/{run_dir.head(0).name} is missing; restore it from a copy")


def _fetch(storage: Storage, path: Path, *, sha256: str | None) -> None:
    if sha256 is not None and path.exists() and digest(path) == sha256:
        return
    with replacing(path) as temporary:
        storage.download(path.name, temporary)
        if sha256 is not None and digest(temporary) != sha256:
            raise StoreDamaged(f"{storage.name}/{path.name} is not what was planned; restore it from a copy")


def _fetch_beside(storage: Storage, path: Path) -> None:
    content = storage.read(path.name)
    if content is not None:
        write_atomically(path, content)


def _fold(storage: Storage, run_dir: RunDir, meta: Meta | None, shards: Sequence[int] | None) -> None:
    """Write the journal anew. One that is still open elsewhere keeps its own file."""
    chosen = shards_in(storage.names("shards")) if shards is None else shards
    for leftover in ("-wal", "-shm"):  # of the journal that is replaced
        run_dir.journal.with_name(run_dir.journal.name + leftover).unlink(missing_ok=True)
    create_journal(run_dir.journal, _facts(storage, meta, chosen, orders=shards is None))


def _facts(storage: Storage, meta: Meta | None, shards: Sequence[int], *, orders: bool) -> Iterator[list[Statement]]:
    whose = read_whose(storage)
    if whose is not None and meta is not None:  # before somebody starts there is nothing to say
        words: dict[str, Any] = {
            "account": whose.account,
            "base_url": whose.base_url,
            "mode": meta.mode,
            "plan": meta.plan,
            "keys": meta.keys,
            "run": meta.run,
        }
        yield [owning(words)]
    if orders:
        yield [deciding(decided(storage))]
    for shard in shards:
        yield from fold(storage, shard)
