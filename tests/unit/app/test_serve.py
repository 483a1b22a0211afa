"""Where receipts go: into the one run's directory, or into the one above several."""

from pathlib import Path

import pytest

from broadcaster.app.serve import place
from broadcaster.errors import BelongsToAnother, ConfigError
from broadcaster.store.receipts import receipt_files


def run_dir(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "plan.json").touch()
    return path


def test_one_run_has_them_in_its_directory(tmp_path: Path) -> None:
    one = run_dir(tmp_path / "runs" / "one")
    assert place([one]) == one / "receipts.sqlite"


def test_a_directory_with_runs_in_it_has_them_itself(tmp_path: Path) -> None:
    one = run_dir(tmp_path / "runs" / "one")
    assert place([tmp_path / "runs"]).parent == tmp_path / "runs"
    assert place([tmp_path / "runs", one]) == tmp_path / "runs" / "receipts.sqlite"


def test_several_runs_have_them_above_where_each_looks(tmp_path: Path) -> None:
    one, other = run_dir(tmp_path / "runs" / "one"), run_dir(tmp_path / "runs" / "other")
    found = place([one, other])
    found.touch()
    assert receipt_files(one) == receipt_files(other) == [found]


def test_the_usual_directory_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place([]) == Path("runs/receipts.sqlite")
    assert (tmp_path / "runs").is_dir()


def test_no_other_directory_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        place([tmp_path / "rnus"])
    assert list(tmp_path.iterdir()) == []


def test_runs_that_are_not_beside_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="different directories"):
        place([run_dir(tmp_path / "a" / "one"), run_dir(tmp_path / "b" / "other")])


def test_a_purged_run_gets_no_receipts(tmp_path: Path) -> None:
    one = run_dir(tmp_path / "one")
    (one / "purged.json").touch()
    with pytest.raises(BelongsToAnother, match="was purged"):
        place([one])
