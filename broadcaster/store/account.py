"""What is known beside the runs, per user: which run directory a campaign of an account has.

A campaign has one directory, because the journal in it is what knows who was messaged. A second one is refused, unless
its plan is the same to the byte and the API still remembers the keys: then its requests can only be answered with
replays.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_path

from broadcaster.errors import BelongsToAnother, BroadcasterError
from broadcaster.store.files import disk_errors
from broadcaster.store.journal import JournalReader, journal_errors

_SCHEMA = """
CREATE TABLE IF NOT EXISTS campaign (
    account TEXT, mode TEXT, campaign TEXT, run TEXT NOT NULL, run_dir TEXT NOT NULL, keys_sha256 TEXT NOT NULL,
    first_claim_us INTEGER NOT NULL, PRIMARY KEY (account, mode, campaign, run))
"""
_US = 1_000_000
_PURGED = "purged"  # instead of a digest of keys: no plan agrees with it
_DIVIDED = "divided"  # in place of the digest: it has sent parts of batches under other keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A run that is about to claim its first batch.

    ``run`` names the journal, wherever its directory is moved to; ``keys_sha256`` stands for all keys of the plan.
    ``url`` is where a run is that has no directory of its own.
    """

    account: str
    mode: str
    campaign: str
    run: str
    run_dir: Path
    keys_sha256: str
    url: str | None = None

    @property
    def place(self) -> str:
        """Where the run is, for people and for whoever looks whether it still is there."""
        return self.url or os.fspath(self.run_dir.resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Another directory that has sent the same plan, and when it began, in microseconds since 1970."""

    run_dir: str
    first_us: int


def fingerprint(*, base_url: str, account_id: str, profile: str | None) -> str:
    """Return the digest by which an account is known: never the key, so that a rotated key is the same account."""
    return hashlib.sha256("\0".join((base_url, account_id, profile or "")).encode()).hexdigest()


def registry_path() -> Path:
    """Return where the registry is: the user's state directory."""
    return user_state_path("broadcaster", appauthor=False) / "campaigns.sqlite"


def register(launch: Launch, *, now_us: int, window_s: float) -> Elsewhere | None:
    """Write down that *launch* sends this campaign; call it before the first claim of each process.

    Returns:
        The first other directory that has sent the same plan: its keys make this run's answers replays, but not after
        *window_s* from when it began, and then nothing may leave from here.

    Raises:
        BelongsToAnother: when another directory has sent this campaign and the keys do not protect.
    """
    with _registry() as db:
        known = db.execute(
            "SELECT run, run_dir, keys_sha256, first_claim_us FROM campaign "
            "WHERE account = ? AND mode = ? AND campaign = ?",
            (launch.account, launch.mode, launch.campaign),
        ).fetchall()
        if any(keys == _PURGED for _, _, keys, _ in known):
            raise BelongsToAnother(
                f"campaign {launch.campaign!r} of this account was sent and its personal data were purged, so that "
                "nobody knows any more who got it; give the job another campaign name"
            )
        others = [each for each in known if each[0] != launch.run]
        here = launch.place
        for run, run_dir, _, _ in known:
            if run == launch.run and run_dir != here and _holds(Path(run_dir), run):
                raise BelongsToAnother(
                    f"{here} is a copy of {run_dir}, which has the same journal; go on there, or remove it first"
                )
        for _, run_dir, keys, first_us in others:
            if keys != launch.keys_sha256 or not first_us <= now_us <= first_us + window_s * _US:
                raise BelongsToAnother(
                    f"campaign {launch.campaign!r} of this account was sent from {run_dir}; go on there with "
                    f"'broadcaster resume {run_dir}', or give the job another campaign name. Sending it from a second "
                    "directory would message people twice"
                )
        db.execute(
            "INSERT INTO campaign VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET run_dir = excluded.run_dir, "
            "keys_sha256 = CASE keys_sha256 WHEN ? THEN keys_sha256 ELSE excluded.keys_sha256 END",
            (launch.account, launch.mode, launch.campaign, launch.run, here, launch.keys_sha256, now_us, _DIVIDED),
        )
    return min((Elsewhere(run_dir=where, first_us=us) for _, where, _, us in others), key=_began, default=None)


def _began(each: Elsewhere) -> int:
    return each.first_us


def mark_divided(launch: Launch) -> None:
    """Write down that *launch* is about to send parts of its batches; call it before the first of them.

    Their keys are not in its plan, and the API remembers no refusal: the whole batch, sent from elsewhere, could be
    accepted after its parts were. So no other directory may send this campaign any more.
    """
    with _registry() as db:
        db.execute(
            "UPDATE campaign SET keys_sha256 = ? WHERE account = ? AND mode = ? AND campaign = ? AND run = ?",
            (_DIVIDED, launch.account, launch.mode, launch.campaign, launch.run),
        )


def sent_elsewhere(*, account: str, mode: str, campaign: str, run: str) -> list[str]:
    """Return the directories of other runs that have sent this campaign."""
    with _registry() as db:
        found = db.execute(
            "SELECT run_dir FROM campaign WHERE account = ? AND mode = ? AND campaign = ? AND run <> ?",
            (account, mode, campaign, run),
        ).fetchall()
    return [run_dir for (run_dir,) in found]


def run_dirs(fingerprint: str) -> list[Path]:
    """Return the directories of every run that was sent with an account."""
    with _registry() as db:
        found = db.execute("SELECT DISTINCT run_dir FROM campaign WHERE account = ? ORDER BY run_dir", (fingerprint,))
        return [Path(run_dir) for (run_dir,) in found.fetchall()]


def mark_purged(launch: Launch, *, now_us: int) -> None:
    """Write down that the run of *launch* was purged: its campaign is never sent again. Twice is once."""
    with _registry() as db:
        db.execute(
            "INSERT INTO campaign VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "keys_sha256 = excluded.keys_sha256",
            (
                launch.account,
                launch.mode,
                launch.campaign,
                launch.run,
                launch.place,
                _PURGED,
                now_us,
            ),
        )


def _holds(run_dir: Path, run: str) -> bool:
    """Whether the journal in *run_dir* still is the one named *run*."""
    journal = run_dir / "journal.sqlite"
    if not journal.exists():
        return False
    try:
        with JournalReader(journal) as reader:
            return reader.meta().get("run") == run
    except BroadcasterError:
        return False


@contextmanager
def _registry() -> Iterator[sqlite3.Connection]:
    path = registry_path()
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with journal_errors(path):
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.execute(_SCHEMA)
            db.execute("BEGIN IMMEDIATE")  # two launches at once: one of them sees the other
            yield db
            db.execute("COMMIT")
        finally:
            db.close()
