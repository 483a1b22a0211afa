"""A rehearsal: the real list against a hostile API, killed on the way, proved from the API's own ledger."""

import sqlite3
from contextlib import closing
from pathlib import Path

from support.cli import ROOT, Cli


def test_the_sample_list_survives_a_hostile_api_and_kills(cli: Cli) -> None:
    found = cli(
        "rehearse",
        ROOT / "jobs/service_notice.toml",
        "--profile",
        "hostile",
        "--kills",
        "2",
        "--run-dir",
        "r",
        "--json",
    )
    assert found.code == 0, found.stderr
    assert found.json["proved"] is True
    assert found.json["messages"] == 57
    assert found.json["kills"] == 2
    assert "nobody twice, nobody lost" in found.stderr
    assert "The real run will take" in found.stderr
    with closing(sqlite3.connect(cli.home / "r" / "simulator.sqlite")) as ledger:
        assert ledger.execute("SELECT count(*), count(DISTINCT recipient) FROM message").fetchone() == (57, 57)


def test_a_rehearsal_keeps_nothing_unless_it_is_told_where(cli: Cli) -> None:
    cli.people(3)
    cli.job()
    before = sorted(path.name for path in cli.home.iterdir())
    found = cli("rehearse", "job.toml", "--profile", "calm", "--kills", "0")
    assert found.code == 0, found.stderr
    assert sorted(path.name for path in cli.home.iterdir() if path.name != ".state") == before


def test_a_ledger_that_contradicts_is_found_out(cli: Cli) -> None:
    """The proof is no formality: a message that the ledger has twice ends with 74."""
    cli.people(3)
    cli.job()
    assert cli("rehearse", "job.toml", "--profile", "calm", "--kills", "0", "--run-dir", "r").code == 0
    with closing(sqlite3.connect(Path(cli.home, "r", "simulator.sqlite"))) as ledger, ledger:
        names = [row[1] for row in ledger.execute("PRAGMA table_info(message)") if row[1] != "message_id"]
        columns = ", ".join(f'"{name}"' for name in names)
        ledger.execute(f"INSERT INTO message (message_id, {columns}) SELECT 'again', {columns} FROM message LIMIT 1")
    found = cli("rehearse", "job.toml", "--profile", "calm", "--kills", "0", "--run-dir", "r")
    assert found.code == 74
    assert "1 deliveries twice" in found.stderr


def test_an_unknown_profile_is_a_sentence(cli: Cli) -> None:
    cli.people(3)
    cli.job()
    found = cli("rehearse", "job.toml", "--profile", "hostil")
    assert found.code == 74
    assert "hostil" in found.stderr
