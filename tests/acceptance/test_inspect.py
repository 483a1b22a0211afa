"""Looking at a run: status, verify, manifest, the library."""

import shutil
from pathlib import Path

import pytest
from support.cli import Cli, numbers, rows
from support.simulator import Simulator


def test_the_library_reads_the_manifest_as_a_table(cli: Cli) -> None:
    cli.write("people.csv", "phone\n+14155550111\n12\n")
    cli.job()
    assert cli("plan", "job.toml").code == 0
    import broadcaster

    frame = broadcaster.read_manifest(cli.home / "runs/acceptance")
    assert list(frame["status"]) == ["pending", "excluded"]
    assert frame["input_row"].dtype == "Int64"
    assert frame["to"].dtype == "string"
    assert frame["message_id"].isna().all()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished run in ``runs/acceptance``: four people and an invalid number, two to a request."""
    cli = Cli(tmp_path_factory.mktemp("finished"))
    cli.people([*numbers(4), "12"])
    cli.job(limits={"batch_size": 2})
    with Simulator() as simulator:
        cli.use(simulator)
        assert cli("run", "job.toml", "--yes").code == 0
    return cli.home


def test_status_tells_people_and_machines_where_a_run_stands(cli: Cli, finished: Path) -> None:
    shutil.copytree(finished, cli.home, dirs_exist_ok=True)
    shown = cli("status", "runs/acceptance")
    assert shown.code == 0
    for line in ("acceptance (live)", "complete", "2 of 2 settled", "accepted   4", "excluded   1"):
        assert line in shown.stdout, line
    shutil.rmtree(cli.home / "runs")
    assert cli("plan", "job.toml").code == 0
    planned = cli("status", "runs/acceptance", "--json")
    assert (planned.code, planned.json["complete"], planned.json["holder"]) == (0, False, None)
    assert planned.json["deliveries"] == {"accepted": 0, "rejected": 0, "in_doubt": 0, "pending": 4, "excluded": 1}
    assert "broadcaster resume runs/acceptance" in cli("status", "runs/acceptance").stderr


def test_verify_proves_a_finished_run(cli: Cli, finished: Path) -> None:
    shutil.copytree(finished, cli.home, dirs_exist_ok=True)
    verified = cli("verify", "runs/acceptance", "--json")
    assert (verified.code, verified.json["verified"]) == (0, True)
    assert {name: verified.json[name] for name in ("rows", "total", "accepted", "excluded")} == {
        "rows": 5, "total": 5, "accepted": 4, "excluded": 1,
    }  # fmt: skip
    shown = cli("verify", "runs/acceptance")
    assert "5 manifest rows = 4 accepted + 0 rejected + 0 in doubt + 0 pending + 1 excluded" in shown.stdout


def test_a_manifest_that_is_gone_is_built_again(cli: Cli, finished: Path) -> None:
    shutil.copytree(finished, cli.home, dirs_exist_ok=True)
    path = cli.home / "runs/acceptance/manifest.parquet"
    before = rows(path.parent)
    path.unlink()
    missing = cli("verify", "runs/acceptance")
    assert (missing.code, missing.stdout) == (74, "")
    assert "broadcaster manifest runs/acceptance" in missing.stderr
    built = cli("manifest", "runs/acceptance")
    assert (built.code, built.stdout.strip()) == (0, "runs/acceptance/manifest.parquet")
    assert rows(path.parent) == before
    assert cli("manifest", "runs/acceptance", "--json").json["deliveries"]["accepted"] == 4


def test_verify_names_a_row_that_was_tampered_with(cli: Cli, finished: Path) -> None:
    from pyarrow import parquet

    shutil.copytree(finished, cli.home, dirs_exist_ok=True)
    path = cli.home / "runs/acceptance/manifest.parquet"
    table = parquet.read_table(path)
    at = table.schema.get_field_index("message_id")
    ids = table["message_id"].to_pylist()
    ids[2:4] = ids[3], ids[2]
    parquet.write_table(table.set_column(at, table.schema.field(at), [ids]), path, write_page_checksum=True)
    ended = cli("verify", "runs/acceptance", "--json")
    assert (ended.code, ended.stdout) == (74, "")
    assert "row 2" in ended.stderr
    assert "message_id" in ended.stderr
