"""The layout of a run directory, its lock, and who holds it.

The lock is the kernel's (``flock``): it goes when its holder dies, however it dies. Who holds it is written into the
lock file for messages only; nothing is decided by it.
"""

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from broadcaster.clock import wall_us
from broadcaster.errors import BelongsToAnother, ConfigError, RunLocked
from broadcaster.store.files import TEMPORARY, disk_errors

_OURS = frozenset({"run.lock", "plan.json", "journal.sqlite", "simulator.sqlite", "manifest.parquet"})
_RECEIPTS = "receipts.sqlite"  # may be the first file of a run, or that of a directory with runs in it
_LOCK_S = 0.3  # 'status' holds the lock for a moment to see whether anybody else does
_STEERING = f"{TEMPORARY}control."  # what the names of half-done orders, and of their lock, begin with
_STEERING_S = 5.0  # an order is a few hundred bytes; this long takes only a disk that hangs
_NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"})


@dataclass(frozen=True, slots=True)
class RunDir:
    """Where the files of one run are."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the process that works here."""
        return self.path / "run.lock"

    @property
    def journal(self) -> Path:
        """Claims, attempts, outcomes, decisions."""
        return self.path / "journal.sqlite"

    @property
    def manifest(self) -> Path:
        """The table of every delivery."""
        return self.path / "manifest.parquet"

    @property
    def summary(self) -> Path:
        """The counts of the last stop."""
        return self.path / "summary.json"

    @property
    def failed(self) -> Path:
        """Rejected deliveries, in the columns of the list."""
        return self.path / "failed.csv"

    @property
    def excluded(self) -> Path:
        """Excluded rows, in the columns of the list."""
        return self.path / "excluded.csv"

    @property
    def suppress(self) -> Path:
        """Numbers to leave alone for good, by what the API and receipts said; the next job can name it."""
        return self.path / "suppress.csv"

    @property
    def events(self) -> Path:
        """What happened, a line for each event; nothing depends on it."""
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        """The run's figures for Prometheus; nothing depends on it."""
        return self.path / "metrics.prom"

    @property
    def report(self) -> Path:
        """The page that says for people what happened."""
        return self.path / "report.html"

    @property
    def simulator(self) -> Path:
        """State of the embedded simulator (simulated mode only)."""
        return self.path / "simulator.sqlite"

    @property
    def control(self) -> Path:
        """What people ordered of the run while it works."""
        return self.path / "control.json"

    @property
    def receipts(self) -> Path:
        """What became of the messages, by webhooks and look-ups; another is in the directory above for several runs."""
        return self.path / _RECEIPTS

    @property
    def purged(self) -> Path:
        """The counts of a run whose personal data were removed; while it is here, nothing else is done here."""
        return self.path / "purged.json"

    def head(self, part: int) -> Path:
        """Return the path of ``plan.json``, or of ``plan-N.json`` of a later part."""
        return self.path / _numbered("plan", part, ".json")

    def rows(self, part: int) -> Path:
        """Return the path of the part's rows in list order."""
        return self.path / _numbered("plan", part, ".parquet")

    def batches(self, part: int) -> Path:
        """Return the path of the part's batches in sending order."""
        return self.path / _numbered("batches", part, ".parquet")

    def kept_list(self, part: int, name: str) -> Path:
        """Return the path of a part's copy of a list that cannot be read again; *name* is the copy's own."""
        return self.path / f"input-{part}-{name}"

    def kept_lists(self, part: int) -> tuple[Path, ...]:
        """Return the copies of lists that are here for a part."""
        return tuple(sorted(self.path.glob(f"input-{part}-*")))

    @property
    def is_planned(self) -> bool:
        """Whether a frozen plan is here."""
        return self.head(0).exists()

    def create(self) -> None:
        """Make the directory, for its owner's eyes only.

        Raises:
            ConfigError: on a network file system, where SQLite's journal and the lock do not hold, and where somebody
                else's files are.
            StoreError: when the disk refuses.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            found = {each.name for each in self.path.iterdir() if not each.name.startswith(_RECEIPTS)}
            if found and found.isdisjoint(_OURS):
                raise ConfigError(f"{self.path} is not empty and no run directory; choose another --run-dir")
            self.path.chmod(0o700)
        self.require_local()

    def require_local(self) -> None:
        """Raise :class:`ConfigError` on a network file system, where SQLite's journal and the lock do not hold."""
        kind = filesystem(self.path)
        if kind in _NETWORK_FILESYSTEMS:
            raise ConfigError(
                f"{self.path} is on a network file system ({kind}), where locks and the journal are not safe; "
                "choose a local directory with --run-dir"
            )

    def require_unpurged(self) -> None:
        """Raise :class:`BelongsToAnother` when the run's personal data were removed, or are being removed."""
        if self.purged.exists():
            raise BelongsToAnother(
                f"{self.path} was purged: nobody knows any more who is in it, so that nothing can be sent, proved or "
                f"looked up here again. 'broadcaster status {self.path}' still prints the counts"
            )

    def require_planned(self) -> None:
        """Raise :class:`ConfigError` when no plan is here, :class:`BelongsToAnother` when it was purged."""
        if not self.path.is_dir():
            raise ConfigError(f"{self.path}: there is no such run directory")
        self.require_unpurged()
        if not self.is_planned:
            raise ConfigError(
                f"{self.path} holds no plan (plan.json); plan it with 'broadcaster plan' or 'broadcaster run'"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's lock.

        Raises:
            ConfigError: on a network file system, where no lock holds.
            RunLocked: when another process holds it; the sentence names that process.
        """
        self.require_local()  # it may have been moved there since it was made
        lock = FileLock(self.lock, timeout=_LOCK_S, mode=0o600)
        with disk_errors(self.lock):
            try:
                lock.acquire()
            except Timeout:
                raise RunLocked(
                    f"{self.path} is in use by {self.holder() or 'another process'}; "
                    "wait for it to end, or stop it with Ctrl-C, then run the same command again"
                ) from None
        try:
            owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": wall_us()}
            with disk_errors(self.lock):
                self.lock.write_text(json.dumps(owner), encoding="utf-8")
                self._sweep()
            yield
        finally:
            lock.release()

    @contextmanager
    def steering(self) -> Iterator[None]:
        """Let nobody else change the run's orders meanwhile, whoever works on the run.

        Raises:
            RunLocked: somebody else does not come to an end of changing them.
            StoreError: the disk refuses.
        """
        place = self.path / f"{_STEERING}lock"
        lock = FileLock(place, timeout=_STEERING_S, mode=0o600)
        with disk_errors(place):
            try:
                lock.acquire()
            except Timeout:
                raise RunLocked(f"somebody else is changing {self.control}; run the same command again") from None
        try:
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Remove what a killed process left half done; orders are given under a lock of their own."""
        for leftover in self.path.glob(f"{TEMPORARY}*"):
            if leftover.name.startswith(_STEERING):
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def holder(self) -> str | None:
        """Describe the last process that took the lock, or ``None``."""
        try:
            owner = json.loads(self.lock.read_text(encoding="utf-8"))
            since = datetime.fromtimestamp(owner["since"] / 1e6, tz=UTC)
            return f"process {owner['pid']} on {owner['host']} (since {since:%Y-%m-%d %H:%M:%S} UTC)"
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_in_use(self) -> bool:
        """Whether some process holds the lock now."""
        if not self.lock.exists():
            return False
        lock = FileLock(self.lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        except OSError as error:
            return error.errno != errno.EROFS  # where nobody can write, nobody works
        lock.release()
        return False


def _numbered(stem: str, part: int, suffix: str) -> str:
    return f"{stem}{f'-{part}' if part else ''}{suffix}"


def filesystem(path: Path, *, mounts: str | None = None) -> str | None:
    """Return the type of the file system that holds *path*, or ``None`` where the platform does not tell.

    Args:
        path: need not exist.
        mounts: what to read it from, in the form of ``/proc/self/mounts``; the platform's own when ``None``.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    best: tuple[str, str | None] = ("", None)
    resolved = str(path.resolve())
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def campaign_dir(base: Path, campaign: str, mode: str) -> Path:
    """Return the default directory of a campaign: other modes than live have their own."""
    return base / (campaign if mode == "live" else f"{campaign}.{mode}")
