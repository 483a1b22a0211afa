"""Some of a list: the job's filter and ``--only`` say who is meant; groups say who comes first. As users have it."""

import csv
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.cli import NOTICE, Cli, matches, sends
from support.plans import extend_plan, freeze, make_job, make_plan, people, phone
from support.simulator import Simulator

import broadcaster
from broadcaster.errors import BelongsToAnother, FilterInvalid

HEADER = "phone,region,plan,stop\n"
RUN = "runs/acceptance.simulated"
TX = 'region == "TX"'


def listed(cli: Cli, *rows: str, name: str = "people.csv") -> None:
    """Write a list of these rows, each ``last two digits,region,plan,stop``."""
    cli.write(name, HEADER + "".join(f"+141555501{row}\n" for row in rows))


def reasons(cli: Cli, run_dir: str = RUN) -> list[str]:
    """Return what became of each row: why it was excluded, or its status."""
    return [row["reason"] or row["status"] for row in cli.manifest(run_dir)]


def test_only_those_are_messaged_who_are_inside_both_filters(cli: Cli, sim: Simulator) -> None:
    listed(cli, "01,TX,pro,", "02,CA,pro,", "03, TX ,basic,", "04,TX,pro,", "x,TX,pro,")
    cli.job(recipients={"filter": TX})
    run = ("run", "job.toml", "--yes", "--only", 'plan != "basic"', "--expect-recipients", "2")
    ended = cli(*run, "--json")

    assert ended.code == 0, ended.stderr
    assert reasons(cli, "runs/acceptance") == ["accepted", "filtered", "filtered", "accepted", "invalid_number"]
    assert ended.json["excluded_rows"] == {"invalid_number": 1, "filtered": 2}
    matches(cli.home / "runs/acceptance", sim.messages())
    assert len(sim.messages()) == 2
    assert 'filter         (region == "TX") and (plan != "basic")' in ended.stderr
    assert "excluded     2 outside the filter" in ended.stderr
    assert ended.stderr.count("line 6: ") == 1
    assert "outside" not in ended.stderr.replace("2 outside the filter", "")
    with (cli.home / "runs/acceptance/excluded.csv").open(encoding="utf-8-sig", newline="") as file:
        told = [(row["phone"][-2:], row["reason"], row["error"]) for row in csv.DictReader(file)]
    assert told[:2] == [(at, "filtered", "the row is outside the filter") for at in ("02", "03")]
    assert cli("verify", "runs/acceptance").code == 0

    again = cli(*run)
    assert (again.code, len(sim.messages())) == (0, 2)
    for other, says in (((), "(region =="), (("--only", "plan == 'pro'"), "(plan == 'pro')")):
        changed = cli("run", "job.toml", "--yes", *other)
        assert changed.code == 78, other
        assert "was frozen with the filter (region ==" in changed.stderr
        assert says in changed.stderr
        assert "broadcaster resume runs/acceptance" in changed.stderr
    assert cli("resume", "runs/acceptance", "--yes").code == 0
    assert len(sim.messages()) == 2


def test_exclusions_are_decided_in_their_order(cli: Cli) -> None:
    """A duplicate whose first row is outside is sent by its second; an opt-out outside covers the number inside."""
    listed(cli, "01,CA,a,", "01,TX,b,", "02,TX,c,", "02,CA,d,yes", "03,CA,,", "04,TX,e,", "04,TX,f,", "9,CA,g,")
    cli.job(
        recipients={"opt_out": "stop"},
        message={"template_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3303", "parameters": {"region": "{plan}"}},
    )
    ended = cli("run", "job.toml", "--yes", "--simulate", "--only", TX)

    assert ended.code == 0, ended.stderr
    assert reasons(cli) == [
        "filtered",
        "accepted",
        "suppressed",
        "suppressed",
        "missing_parameter",
        "accepted",
        "duplicate",
        "invalid_number",
    ]


@pytest.mark.parametrize(
    ("only", "says"),
    [
        pytest.param(
            "region == TX", "--only: character 11: there is no column 'TX'; text stands in quotes: \"TX\"", id="a"
        ),
        pytest.param(
            "regoin == 'TX'", "--only: character 1: there is no column 'regoin'; did you mean 'region'?", id="b"
        ),
        pytest.param("region == 'TX", "--only: character 11: the quote ' that begins here is never closed", id="c"),
        pytest.param("(" * 10_000, "--only: character 51: more than 50 parentheses", id="d"),
        pytest.param("", "--only: it is empty", id="what a script left empty does not mean everybody"),
        pytest.param("upper(region) == 'TX'", "--only: character 1: there is no function 'upper'", id="e"),
    ],
)
def test_a_mistake_ends_the_command_before_anything_is_kept(cli: Cli, idle: Simulator, only: str, says: str) -> None:
    cli.use(idle)
    listed(cli, "01,TX,pro,")
    cli.job()
    before = len(idle.requests())
    for command in (["run", "job.toml", "--yes"], ["plan", "job.toml"], ["run", "job.toml", "--dry-run"]):
        ended = cli(*command, "--only", only)
        assert (ended.code, ended.stdout) == (2, "")
        assert says in ended.stderr
        assert len(ended.stderr) < 400
    assert not (cli.home / "runs/acceptance/plan.json").exists()
    assert len([each for each in idle.requests()[before:] if each["method"] == "POST"]) == 0


def test_a_filter_of_a_job_that_is_a_megabyte_long_is_a_sentence(cli: Cli) -> None:
    listed(cli, "01,TX,pro,")
    cli.job(recipients={"filter": "region == '" + "x" * 1_000_000 + "'"})
    ended = cli("plan", "job.toml")

    assert ended.code == 2
    assert "recipients.filter: it has 1,000,012 characters, and 10,000 are the most" in ended.stderr


def test_a_filter_that_nobody_is_inside_is_the_lists_fault_and_says_where_to_look(cli: Cli) -> None:
    listed(cli, "01,TX,pro,", "02,CA,pro,")
    cli.job()
    ended = cli("plan", "job.toml", "--only", 'region == "tx"')

    assert ended.code == 65
    assert "check the filter: capitals count" in ended.stderr


def test_every_command_that_plans_takes_it_and_says_how_to_go_on(cli: Cli) -> None:
    listed(cli, "01,TX,pro,", "02,CA,pro,", "03,TX,pro,")
    cli.job(message={"template_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3303", "parameters": {"region": "{region}"}})
    dry = cli("run", "job.toml", "--simulate", "--dry-run", "--json", "--only", TX, "--only", 'plan == "pro"')
    assert (dry.json["recipients"], dry.json["filter"]) == (2, '(region == "TX") and (plan == "pro")')

    planned = cli("plan", "job.toml", "--simulate", "--only", TX)
    assert planned.code == 0, planned.stderr
    assert f"To send it: broadcaster run job.toml --simulate --only '{TX}'" in planned.stderr
    assert cli("run", "job.toml", "--simulate", "--yes", "--only", TX).code == 0
    assert reasons(cli) == ["accepted", "filtered", "accepted"]

    sent = cli(
        *("send", "people.csv", "--campaign", "short", "--template-id", NOTICE, "--simulate", "--yes"),
        *("--only", "region in ['CA']", "--group-by", "region", "--json"),
    )
    assert (sent.code, sent.json["deliveries"]["accepted"]) == (0, 1)

    cli.job("filtered.toml", recipients={"filter": 'region == "CA"'}, message={"parameters": {"region": "{region}"}})
    tried = cli("test", "filtered.toml", "--to", "+14155550100", "--simulate")
    assert 'with the parameters {"region":"CA"}' in tried.stderr


def test_a_rehearsal_is_of_those_who_are_meant(cli: Cli) -> None:
    listed(cli, *(f"{at:02},{('TX', 'CA')[at % 2]},pro," for at in range(1, 21)))
    cli.job()
    ended = cli("rehearse", "job.toml", "--kills", "0", "--profile", "calm", "--only", TX)

    assert ended.code == 0, ended.stderr
    assert "10 messages in the simulator's ledger, nobody twice, nobody lost" in ended.stderr


def test_a_number_in_a_filter_is_shown_to_nobody(cli: Cli) -> None:
    """The helper that runs commands fails for every full number on a screen."""
    listed(cli, "01,TX,pro,", "02,TX,pro,")
    cli.job()
    planned = cli("plan", "job.toml", "--only", 'phone == "+14155550101"')
    assert (planned.code, planned.stderr.count("+1••••••••01")) == (0, 3)  # filter, example, command

    other = cli("run", "job.toml", "--yes", "--simulate", "--run-dir", "runs/acceptance", "--only", 'phone != "x"')
    assert other.code == 78


def test_one_region_is_messaged_after_the_other(cli: Cli, sim: Simulator) -> None:
    listed(cli, *(f"{at:02},{('TX', 'CA', 'NY')[at % 3]},{('pro', 'basic')[at % 2]}," for at in range(1, 31)))
    cli.job(
        recipients={"group_by": "region"},
        message={"template_id": "3f2504e0-4f89-41d3-9a0c-0305e82c3303", "parameters": {"region": "{plan}"}},
        limits={"batch_size": 2, "concurrency": 1},
    )
    ended = cli("run", "job.toml", "--yes")

    assert ended.code == 0, ended.stderr
    assert "grouped by     region: CA 10, NY 10, TX 10, in this order" in ended.stderr
    rows = cli.manifest("runs/acceptance")
    region_of = {row["to"]: ("TX", "CA", "NY")[int(row["to"][-2:]) % 3] for row in rows}
    assert [region for region, _ in groupby(region_of[row["recipient"]] for row in sim.messages())] == [
        "CA",
        "NY",
        "TX",
    ]
    requests = {(row["idempotency_key"], region_of[row["to"]]) for row in rows}
    assert len({key for key, _ in requests}) == len(requests) == len(sends(sim))

    cli.job(recipients={"group_by": None}, limits={"batch_size": 2, "concurrency": 1})
    assert cli("run", "job.toml", "--yes").code == 78
    cli.job(recipients={"group_by": "regoin"})
    wrong = cli("plan", "job.toml", "--run-dir", "elsewhere")
    assert wrong.code == 2
    assert "recipients.group_by: no column 'regoin'; did you mean 'region'?" in wrong.stderr


# ---- lists of every kind, without a process for each ----------------------------------------------------------------

ROWS = people(7, region=["TX", "CA", "NY"], joined=["2026-01-31", "2025-06-01"])


def write(base: Path, kind: str) -> Any:
    """Write :data:`ROWS` as a list of this kind, and return its name."""
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    if kind == "parquet":
        import datetime as dt

        typed = {**columns, "joined": [dt.date.fromisoformat(each) for each in columns["joined"]]}
        parquet.write_table(pa.table(typed), base / "list.parquet")
        return "list.parquet"
    if kind == "xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for cells in ([*columns], *(list(row.values()) for row in ROWS)):
            book.active.append(cells)
        book.save(base / "list.xlsx")
        return "list.xlsx"
    cut = 3 if kind == "files" else len(ROWS)
    for name, some in (("a.csv", ROWS[:cut]), ("b.csv", ROWS[cut:])):
        lines = [",".join(ROWS[0]), *(",".join(row.values()) for row in some), ""]
        if some:
            (base / name).write_text("\n".join(lines), encoding="utf-8")
    return ["a.csv", "b.csv"] if kind == "files" else "a.csv"


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx", "files"])
def test_lists_of_every_kind_are_filtered_and_grouped(tmp_path: Path, kind: str) -> None:
    tables = {
        "recipients": {
            "file": write(tmp_path, kind),
            "filter": 'region != "CA" and joined < "2026-01-31"',
            "group_by": "region",
        }
    }
    plan = freeze(tmp_path, make_job(tmp_path, tables)).plan

    assert [rows.tolist() for _, rows in plan.read_with_rows()] == [[3], [5]]
    assert plan.head.excluded == {"filtered": 5}
    assert plan.head.groups == {"TX": 1, "NY": 1}


def test_python_programs_may_say_whom_they_mean(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"recipients": {"file": write(tmp_path, "csv")}})
    plan = broadcaster.plan(job, run_dir=tmp_path / "run", simulate=True, only='region == "NY"')

    assert [rows.tolist() for _, rows in plan.read_with_rows()] == [[2, 5]]
    with pytest.raises(FilterInvalid, match="text stands in quotes"):
        broadcaster.plan(job, run_dir=tmp_path / "other", simulate=True, only="region == NY")


def test_an_extension_has_the_plans_filter_and_no_other(tmp_path: Path) -> None:
    only: dict[str, Any] = {"recipients": {"filter": 'region == "TX"'}}
    make_plan(tmp_path, people(4, region=["TX", "CA"]), only)
    longer = extend_plan(tmp_path, people(8, region=["TX", "CA"]), only)

    assert [rows.tolist() for _, rows in longer.read_with_rows()] == [[0, 2], [4, 6]]
    assert [part.head.rows for part in longer.parts] == [4, 4]
    assert longer.excluded == {"filtered": 4}
    wider: dict[str, Any] = {"recipients": {"filter": 'region in ["TX", "CA"]'}}
    for other, says in ((wider, 'not with the filter region in ["TX", "CA"]'), ({}, "not with no filter")):
        with pytest.raises(BelongsToAnother) as refused:
            extend_plan(tmp_path, people(9, region=["TX", "CA"]), other)
        assert says in refused.value.sentence


def test_whoever_is_inside_by_a_later_row_only_is_added_by_an_extension(tmp_path: Path) -> None:
    """And whoever is planned already is not sent to again by it."""
    only: dict[str, Any] = {"recipients": {"filter": 'region == "TX"'}}
    before = people(2, region=["CA", "TX"])
    make_plan(tmp_path, before, only)
    again = [{"id": f"d{at}", "mobile": phone(at), "region": "TX"} for at in range(2)]
    longer = extend_plan(tmp_path, [*before, *again], only)

    assert [(rows.tolist(), batch.to) for batch, rows in longer.read_with_rows()] == [
        ([1], (phone(1),)),
        ([2], (phone(0),)),
    ]


def test_rows_that_cannot_be_read_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"id,mobile,region\nc0,{phone(0)},TX\nc1\nc2,{phone(2)},CA\n", encoding="utf-8")
    plan = freeze(tmp_path, make_job(tmp_path, {"recipients": {"filter": 'region == "" or region == "TX"'}})).plan

    assert plan.head.excluded == {"malformed_row": 1, "filtered": 1}
