"""One directory for a campaign of an account: the registry beside the runs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.plans import T0

from broadcaster.errors import BelongsToAnother, ExitCode, StoreDamaged, StoreError
from broadcaster.store.account import Launch, fingerprint, mark_divided, register, registry_path
from broadcaster.store.writer import JournalWriter

WINDOW_S = 24 * 3600.0
HOUR_US = 3_600_000_000


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
async def launch(tmp_path: Path) -> Launch:
    """A launch from a directory whose journal has its name."""
    run_dir = tmp_path / "runs" / "spring"
    run_dir.mkdir(parents=True)
    with JournalWriter(run_dir / "journal.sqlite", version="1") as journal:
        await journal.put_meta(run="run-1")
    return Launch(
        account="account-1", mode="live", campaign="spring", run="run-1", run_dir=run_dir, keys_sha256="keys-1"
    )


def at(launch: Launch, hours: float) -> bool:
    """Register at that hour; return whether another directory's keys make the answers replays."""
    return register(launch, now_us=T0 + round(hours * HOUR_US), window_s=WINDOW_S) is not None


def elsewhere(launch: Launch, **other: str) -> Launch:
    """The same campaign from a second directory, planned there."""
    return replace(launch, run="run-2", run_dir=launch.run_dir.parent / "second", **other)


def test_the_registry_is_in_the_users_state_directory_and_only_theirs(launch: Launch, state_home: Path) -> None:
    at(launch, 0)

    assert registry_path() == state_home / "broadcaster" / "campaigns.sqlite"
    assert registry_path().is_file()
    assert registry_path().parent.stat().st_mode & 0o777 == 0o700


def test_the_first_launch_is_nobodys_second(launch: Launch) -> None:
    assert at(launch, 0) is False


@pytest.mark.parametrize("hours", [0.0, 1.0, 1000.0])
def test_the_same_run_may_go_on_for_ever(launch: Launch, hours: float) -> None:
    at(launch, 0)

    assert at(launch, hours) is False


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"account": "account-2"}, id="another account"),
        pytest.param({"mode": "sandbox"}, id="another mode"),
        pytest.param({"campaign": "autumn"}, id="another campaign"),
    ],
)
def test_a_launch_that_shares_nothing_is_allowed(launch: Launch, other: dict[str, str]) -> None:
    at(launch, 0)

    assert at(elsewhere(launch, keys_sha256="keys-2", **other), 1) is False


@pytest.mark.parametrize(
    ("hours", "keys", "allowed"),
    [
        pytest.param(0.0, "keys-1", True, id="the same keys at once"),
        pytest.param(24.0, "keys-1", True, id="the same keys at the end of the window"),
        pytest.param(24.01, "keys-1", False, id="the same keys after the window"),
        pytest.param(-0.01, "keys-1", False, id="the same keys before the first claim: a clock is wrong"),
        pytest.param(1.0, "keys-2", False, id="other keys inside the window"),
        pytest.param(48.0, "keys-2", False, id="other keys after the window"),
    ],
)
def test_a_second_directory_is_allowed_only_where_the_keys_protect(
    launch: Launch,
    hours: float,
    keys: str,
    allowed: bool,  # noqa: FBT001 - a table's column
) -> None:
    at(launch, 0)
    second = elsewhere(launch, keys_sha256=keys)

    if allowed:
        assert at(second, hours) is True
        return
    with pytest.raises(BelongsToAnother, match="message people twice") as refused:
        at(second, hours)
    assert str(launch.run_dir) in refused.value.sentence
    assert refused.value.exit_code is ExitCode.FOREIGN
    assert at(launch, 100) is False  # what was refused was not written down


def test_the_window_counts_from_the_first_launch_and_not_from_the_last(launch: Launch) -> None:
    at(launch, 0)
    at(launch, 20)

    with pytest.raises(BelongsToAnother):
        at(elsewhere(launch), 30)


def test_a_moved_directory_goes_on(launch: Launch) -> None:
    at(launch, 0)
    moved = launch.run_dir.rename(launch.run_dir.with_name("moved"))

    assert at(replace(launch, run_dir=moved), 100) is False
    assert at(replace(launch, run_dir=moved), 101) is False


def test_a_copied_directory_is_refused_while_the_original_is_there(launch: Launch) -> None:
    at(launch, 0)
    copy = replace(launch, run_dir=Path(shutil.copytree(launch.run_dir, launch.run_dir.with_name("copy"))))

    with pytest.raises(BelongsToAnother, match="is a copy of"):
        at(copy, 1)
    shutil.rmtree(launch.run_dir)
    assert at(copy, 2) is False


def test_a_directory_under_another_name_for_it_is_the_same(launch: Launch) -> None:
    at(launch, 0)
    link = launch.run_dir.with_name("link")
    link.symlink_to(launch.run_dir)

    assert at(replace(launch, run_dir=link), 1) is False


def test_a_directory_that_was_planned_anew_is_another_run(launch: Launch) -> None:
    at(launch, 0)

    assert at(replace(launch, run="run-3"), 1) is True
    with pytest.raises(BelongsToAnother):
        at(replace(launch, run="run-4", keys_sha256="keys-2"), 1)


def test_a_registry_that_is_damaged_stops_the_launch(launch: Launch) -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().write_bytes(b"x" * 4096)

    with pytest.raises(StoreDamaged):
        at(launch, 0)


def test_a_registry_that_cannot_be_written_stops_the_launch(launch: Launch, state_home: Path) -> None:
    state_home.write_bytes(b"")

    with pytest.raises(StoreError):
        at(launch, 0)


def test_an_account_is_known_by_address_id_and_profile_and_by_nothing_else() -> None:
    parts = {"base_url": "https://api.example", "account_id": "a", "profile": None}
    found = {
        fingerprint(base_url=each["base_url"] or "", account_id=each["account_id"] or "", profile=each["profile"])
        for each in (
            parts,
            parts | {"base_url": "https://other.example"},
            parts | {"account_id": "b"},
            parts | {"profile": "p"},
            parts | {"account_id": "ap"},
        )
    }

    assert len(found) == 5
    assert fingerprint(base_url="u", account_id="a", profile=None) == fingerprint(
        base_url="u", account_id="a", profile=""
    )


def test_once_parts_of_batches_were_sent_no_other_directory_may_send_the_campaign(launch: Launch) -> None:
    at(launch, 0)
    mark_divided(launch)
    with pytest.raises(BelongsToAnother, match="sent from"):
        at(elsewhere(launch), 1)
    assert at(launch, 1) is False  # the run itself goes on, and that changes nothing for the others
    with pytest.raises(BelongsToAnother, match="sent from"):
        at(elsewhere(launch), 2)
