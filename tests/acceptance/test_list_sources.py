"""Lists that come from elsewhere than a plain file: what a run does with them, and what it can do long after."""

import csv
import gzip
from pathlib import Path

import pytest
from support.cli import Cli
from support.plans import freeze, make_job, make_plan, people, phone

PEOPLE = "phone,first_name,code\n+14155550111,Ada,A-1\n+14155550112\n12,Eve,C-3\n+14155550114,Dan,D-4\n"
SEND = ("send", "-", "--campaign", "piped", "--text", "hello", "--channel", "sms", "--simulate")
RUN = "runs/piped.simulated"


def excluded(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "excluded.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_piped_list_is_sent_to_and_what_was_excluded_has_its_columns_at_any_later_time(cli: Cli) -> None:
    sent = cli(*SEND, "--yes", typed=PEOPLE)
    run_dir = cli.home / RUN

    assert sent.code == 0, sent.stderr
    assert cli.statuses(RUN) == {"accepted": 2, "excluded": 2}
    expected = [
        ("", "", "malformed_row", "line 3 has 1 cell, the header has 3"),
        ("12", "Eve", "invalid_number", "it has no country code and the job has no default region"),
    ]
    (copy,) = run_dir.glob("input-*")
    assert (copy.read_text(encoding="utf-8"), copy.stat().st_mode & 0o777) == (PEOPLE, 0o600)
    assert not list(run_dir.glob(".broadcaster-*"))
    moved = run_dir.rename(run_dir.with_name("moved"))
    for again in ("before", "after"):
        rows = [(row["phone"], row["first_name"], row["reason"], row["error"]) for row in excluded(moved)]
        assert rows == expected, again
        (moved / "excluded.csv").unlink()
        assert cli("resume", moved, "--simulate").code == 0
    moved.rename(run_dir)

    assert cli(*SEND, "--yes", typed=PEOPLE).code == 0
    other = cli(*SEND, "--yes", typed=PEOPLE + "+14155550115,Ida,I-5\n")
    assert other.code == 78
    assert "--extend" in other.stderr
    extended = cli(*SEND, "--yes", "--extend", typed=PEOPLE + "+14155550115,Ida,I-5\n+14155550116\n")
    assert extended.code == 0, extended.stderr
    assert cli.statuses(RUN) == {"accepted": 3, "excluded": 3}
    assert [row["error"] for row in excluded(run_dir)][-1] == "line 7 has 1 cell, the header has 3"
    assert len(list(run_dir.glob("input-*"))) == 2
    assert cli("verify", RUN).code == 0

    purged = cli("purge", RUN, "--yes")
    assert purged.code == 0, purged.stderr
    assert not list(run_dir.glob("input-*"))


def test_nobody_is_asked_through_the_pipe_that_the_list_comes_by(cli: Cli) -> None:
    ended = cli(*SEND, typed=PEOPLE)

    assert ended.code == 2
    assert "--yes" in ended.stderr
    assert not (cli.home / RUN / "plan.json").exists()


def test_a_dry_run_of_a_piped_list_keeps_nothing(cli: Cli) -> None:
    ended = cli(*SEND, "--dry-run", "--json", typed=PEOPLE)

    assert ended.code == 0, ended.stderr
    assert ended.json["excluded"] == {"malformed_row": 1, "invalid_number": 1}
    assert not (cli.home / "runs").exists()


def test_the_delimiter_of_the_command_line_goes_before_the_jobs(cli: Cli) -> None:
    cli.write("people.csv", "phone;first_name,code\n+14155550111;Ada,A-1\n")
    cli.job(recipients={"delimiter": ","})
    wrong = cli("plan", "job.toml")
    assert wrong.code == 65

    planned = cli("plan", "job.toml", "--delimiter", ";", "--json")
    assert (planned.code, planned.json["recipients"]) == (0, 1)
    assert "broadcaster run job.toml --delimiter ';'" in planned.stderr


@pytest.mark.parametrize("name", ["list.csv.gz", "list.csv"])
def test_rows_that_were_excluded_have_the_columns_of_a_list_however_it_is_packed(tmp_path: Path, name: str) -> None:
    from broadcaster.app.conclude import conclude

    content = f"id,mobile,name\nc0,{phone(0)},Ada\nc1,12,Bob\nc2\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    plan = freeze(tmp_path, make_job(tmp_path, {"recipients": {"file": name}})).plan
    conclude(plan)

    rows = [(row["id"], row["mobile"], row["name"], row["reason"]) for row in excluded(plan.run_dir.path)]
    assert rows == [("c1", "12", "Bob", "invalid_number"), ("", "", "", "malformed_row")]


def test_an_extension_adds_rows_that_cannot_be_read_only_once(tmp_path: Path) -> None:
    make_plan(tmp_path, people(2))
    ragged = (tmp_path / "list.csv").read_text(encoding="utf-8") + "c2\n"
    longer = f"{ragged}c3,{phone(3)}\n,\nc5,{phone(5)},x\n"
    for content, rows, why in ((ragged, 3, "a new one"), (ragged, 3, "the same"), (longer, 6, "another, and an empty")):
        (tmp_path / "list.csv").write_text(content, encoding="utf-8")
        plan = freeze(tmp_path, make_job(tmp_path, {"limits": {"batch_size": 1000}}), extend=True).plan
        assert plan.rows == rows, why

    errors = [row["error"] for part in plan.parts for table in part.read_rows(["error"]) for row in table.to_pylist()]
    assert [each for each in errors if each and each.startswith("line")] == [
        "line 4 has 1 cell, the header has 2",
        "line 7 has 3 cells, the header has 2",
    ]
