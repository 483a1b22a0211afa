"""A list that many have planned is planned as one would have: both tables to the byte, every figure of the head."""

import asyncio
import csv
import logging
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("distributed")

from distributed import Client, LocalCluster
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from support.cluster import Cluster
from support.fiction import numbers
from support.forks import Forks
from support.hands import Hands
from support.plans import make_job, make_plan, phone, write_csv

from broadcaster.app.prepare import Ask, prepare
from broadcaster.cluster import dask_plan, pieces, planfiles, planner
from broadcaster.cluster.dask_plan import build_part_on_cluster, planning_on
from broadcaster.cluster.planfiles import write_part
from broadcaster.cluster.planner import AloneError, Planner, Workers
from broadcaster.cluster.reading import read_piece
from broadcaster.cluster.where import Where
from broadcaster.core.words import Mode, Reason
from broadcaster.errors import BroadcasterError, ConfigError, ListUnusable
from broadcaster.job.load import job_from
from broadcaster.job.model import Job
from broadcaster.planning import bodies, rowtable
from broadcaster.planning.pipeline import Audience, Built, Wording, build_part
from broadcaster.planning.share import Share
from broadcaster.planning.timing import Timing
from broadcaster.store.rundir import RunDir

AHEAD = (datetime.now(tz=UTC) + timedelta(days=3)).date()
COLUMNS = ("id", "mobile", "name", "stop", "via", "tz")
Build = Callable[..., Built]
Cells = Mapping[str, str]

# Few values, so that they meet.
MOBILES = st.one_of(
    st.integers(0, 9).map(phone),
    st.integers(0, 9).map(lambda n: f"(415) 555-010{n}"),
    st.sampled_from(["", "none", "+1 800 555 0100", "+447700900123", "+61491570156", phone(110), phone(110)]),
)
ROWS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["", "a", "b"]),
        "mobile": MOBILES,
        "name": st.sampled_from(["Ada", "Ada", "Bea", "Zo\u00eb", "", "a\tb", '"']),
        "stop": st.sampled_from(["", "", "", "no", "yes"]),
        "via": st.sampled_from(["", "", "sms", "whatsapp+sms", "fax"]),
        "tz": st.sampled_from(["", "", "", "Europe/Paris", "Pacific/Honolulu", "Mars/Base"]),
        "ragged": st.sampled_from([False] * 9 + [True]),  # of a text file: a cell too many
    }
)
FILES = st.lists(
    st.tuples(st.sampled_from(["csv", "parquet"]), st.lists(ROWS, min_size=1, max_size=12)), min_size=1, max_size=4
)
SCHEDULES = st.sampled_from(
    [
        {},
        {},
        {"send_at": f"{AHEAD}T09:00:00Z"},
        {"send_at_local": "10:00"},
        {"send_at_local": "10:00", "window": "08:00-20:00", "unknown_zone": "strictest"},
        {"send_at_local": "10:00", "not_after": f"{AHEAD}T19:00:00Z"},
    ]
)
FILTERS = st.sampled_from(
    [
        "",
        "",
        'name != "Bea"',
        'id in ["a", "b"] and not stop == "no"',
        'mobile starts with "+1" or tz is not missing',
        'via == "letter"',  # nobody
    ]
)
JOBS = st.fixed_dictionaries(
    {
        "filter": FILTERS,
        "parameters": st.sampled_from([{}, {"n": "Hi {name}"}, {"n": "{name}", "id": "{id}"}]),
        "channels": st.sampled_from([[], ["whatsapp", "sms"]]),
        "named": st.sets(st.sampled_from(["opt_out", "channel", "timezone", "suppress"])),
        "schedule": SCHEDULES,
        "batch_size": st.integers(1, 4),
    }
)


def write_list(base: Path, files: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """Write a list of several files; return their names."""
    names = []
    for number, (kind, rows) in enumerate(files):
        name = f"{number}.{kind}"
        names.append(name)
        if kind == "parquet":
            table = pa.table({column: pa.array([row[column] for row in rows], pa.string()) for column in COLUMNS})
            pq.write_table(table, base / name, row_group_size=3)
            continue
        with (base / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in rows:
                writer.writerow([*(row[column] for column in COLUMNS), *(["more"] if row.get("ragged") else [])])
    return names


def job_of(base: Path, names: Sequence[str], given: Mapping[str, Any]) -> Job:
    """Return the job that *given* describes, over the files *names*."""
    (base / "stop.csv").write_text(f"phone\n{phone(7)}\n{phone(8)}\n", encoding="utf-8")
    columns: dict[str, Any] = {"opt_out": "stop", "channel": "via", "timezone": "tz", "suppress": ["stop.csv"]}
    named = {key: columns[key] for key in given["named"]}
    if not {"send_at_local", "window"} & set(given["schedule"]):
        named.pop("timezone", None)
    return make_job(
        base,
        {
            "recipients": {"file": list(names), "filter": given["filter"], **named},
            "message": {"parameters": given["parameters"], "channels": given["channels"]},
            "limits": {"batch_size": given["batch_size"]},
            "schedule": given["schedule"],
        },
    )


def planned(job: Job, where: Path, build: Build = build_part, *, share: Share | None = None) -> tuple[Any, ...]:
    """Return all that a plan says, except when it was made; or why there is none."""
    run_dir = RunDir(where)
    run_dir.create()
    ask = Ask(mode=Mode.LIVE, run_dir=where, day=AHEAD, share=share)
    try:
        plan = prepare(job, ask, run_dir=run_dir, campaign=job.campaign, profile=None, build=build).plan
    except BroadcasterError as error:
        return type(error), error.sentence
    rows, batches = pq.read_table(run_dir.rows(0)), pq.read_table(run_dir.batches(0))
    head = replace(plan.head, planned_us=0)
    return rows.to_pylist(), batches.to_pylist(), head, run_dir.rows(0).read_bytes(), run_dir.batches(0).read_bytes()


def by_hand(
    audience: Audience, wording: Wording, *, workers: Workers | None = None, timing: Timing | None = None, **part: Any
) -> Built:
    """Do what ``build_part`` does as many would, one after the other."""
    run_dir: RunDir = part["run_dir"]
    return write_part(
        Planner(workers=workers or Hands(), audience=audience, wording=wording, timing=timing),
        rows_path=run_dir.rows(part["part"]),
        batches_path=run_dir.batches(part["part"]),
        first_row=part["first_row"],
        first_batch=part["first_batch"],
    )


@contextmanager
def small(here: pytest.MonkeyPatch) -> Iterator[None]:
    """Make everything small that is cut by size, so that a few rows are several of everything."""
    with here.context() as patch:
        patch.setattr(pieces, "_ROWS", 6)
        patch.setattr(pieces, "_TEXT_BYTES", 100)
        patch.setattr(planner, "_PARTITION_ROWS", 5)
        patch.setattr(bodies, "_RECIPIENTS_PER_GROUP", 4)
        for module in (rowtable, planfiles):
            patch.setattr(module, "ROW_GROUP", 7)
        yield


def same(files: Any, given: Mapping[str, Any], build: Build) -> tuple[Any, ...]:
    """Require that *build* plans as one machine does; return the plan."""
    with TemporaryDirectory() as directory, small(pytest.MonkeyPatch()):
        base = Path(directory)
        job = job_of(base, write_list(base, files), given)
        alone, together = planned(job, base / "alone"), planned(job, base / "together", build)
        for one, other in zip(alone, together, strict=True):
            assert other == one
        return alone


# ---- what is planned -------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(files=FILES, given_job=JOBS)
def test_many_plan_what_one_would(files: Any, given_job: dict[str, Any]) -> None:
    same(files, given_job, by_hand)


@pytest.fixture(scope="module")
def threads() -> Iterator[Client]:
    """A cluster whose two workers are threads of this process."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]  # Dask's
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address=":0",  # whatever is free: somebody else may have the usual one
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # Dask's
    ):
        yield client


@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate]
)
@given(files=FILES, given_job=JOBS)
def test_a_cluster_plans_what_one_machine_would(threads: Client, files: Any, given_job: dict[str, Any]) -> None:
    """The rules are tested above; here, that Dask does what they expect of it."""
    said: list[str] = []

    same(files, given_job, partial(build_part_on_cluster, threads, say=said.append))

    assert said == []


EVERYTHING: dict[str, Any] = {
    "filter": 'id != "out"',
    "parameters": {"n": "Hi {name}"},
    "channels": [],
    "named": {"opt_out", "channel", "timezone", "suppress"},
    "schedule": {"send_at_local": "10:00", "not_after": f"{AHEAD}T19:00:00Z"},
    "batch_size": 2,
}


def of_every_kind() -> list[tuple[str, list[dict[str, Any]]]]:
    """Return a list in which every reason to leave somebody out is there, and a first row is in another file."""
    usual = {"id": "a", "mobile": phone(0), "name": "Ada", "stop": "", "via": "", "tz": "", "ragged": False}
    rows: list[dict[str, Any]] = [
        {"mobile": "none"},
        {"name": " "},
        {"mobile": phone(1), "name": "a\tb"},
        {"mobile": phone(2), "via": "fax"},
        {"mobile": phone(3), "tz": "Mars/Base"},
        {"mobile": "+1 800 555 0100"},
        {"mobile": phone(4), "tz": "Pacific/Honolulu"},
        {"mobile": phone(5)},
        {"mobile": phone(6), "ragged": True},
        {"mobile": phone(7)},
        {"mobile": phone(110)},
        {"mobile": phone(9), "name": "Bea"},
        {"mobile": phone(12), "via": "sms"},
        {"mobile": phone(13), "name": "Bea"},
        {"mobile": phone(14)},
        {"mobile": phone(15), "id": "out"},
        {"mobile": phone(7), "id": "out"},
        {"mobile": phone(16), "id": "out"},
    ]
    more = [
        {"mobile": phone(5), "stop": "yes"},
        {"mobile": phone(110)},
        {"mobile": phone(9)},
        {"mobile": phone(111)},
        {"mobile": phone(15)},  # no duplicate: the row before is outside the filter
        {"mobile": phone(16), "id": "out", "stop": "yes"},  # and so is this one, whose opt-out counts all the same
    ]
    return [("csv", [usual | row for row in rows]), ("parquet", [usual | row for row in more])]


def test_the_lists_above_reach_every_reason_and_many_of_everything() -> None:
    """A guard on the strategies: of equal plans without duplicates nothing would follow about duplicates."""
    rows, batches, head, *_ = same(of_every_kind(), EVERYTHING, by_hand)

    assert {row["reason"] for row in rows if row["reason"]} == set(Reason) - {Reason.UNKNOWN_PROFILE}
    assert [row["reason"] for row in rows if row["to"] == phone(15)] == [Reason.FILTERED, None]
    assert {row["error"] for row in rows if row["reason"] == Reason.DUPLICATE} == {
        "the same number as input row 10",
        "the same number as input row 11",
    }
    assert len(batches) > 3
    assert len(head.times) > 1


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Cluster]:
    """A cluster of processes that share nothing but the disk."""
    started = Cluster(tmp_path_factory.mktemp("dask") / "cluster", forks)
    yield started
    started.close()


def test_worker_processes_at_an_address_plan_what_one_machine_would(processes: Cluster, tmp_path: Path) -> None:
    """Some hundred rows in files of both kinds."""
    chance = random.Random(9)
    found = numbers(350)
    rows = [
        {"id": str(at), "mobile": chance.choice(found), "name": f"Name{at % 40}", "stop": "", "via": "", "tz": ""}
        for at in range(450)
    ]
    names = write_list(tmp_path, [("csv", rows[:150]), ("parquet", rows[150:300]), ("csv", rows[300:])])
    job = job_of(tmp_path, names, EVERYTHING | {"named": {"suppress", "opt_out"}, "schedule": {}, "batch_size": 10})

    with (
        planning_on(Where(address=processes.address), say=pytest.fail) as build,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(pieces, "_ROWS", 100)
        patch.setattr(planner, "_PARTITION_ROWS", 150)
        together = planned(job, tmp_path / "together", build)
    alone = planned(job, tmp_path / "alone")

    assert build is not build_part
    assert together == alone
    assert alone[2].excluded["duplicate"] > 100


async def test_a_client_in_use_by_a_loop_is_left_to_it(threads: Any, tmp_path: Path) -> None:
    job = job_of(tmp_path, write_list(tmp_path, of_every_kind()), EVERYTHING)

    async with Client(threads.scheduler.address, asynchronous=True) as client:  # type: ignore[no-untyped-call]  # Dask's
        together = await asyncio.to_thread(
            planned, job, tmp_path / "together", partial(build_part_on_cluster, client, say=pytest.fail)
        )

    assert together == planned(job, tmp_path / "alone")


def test_worker_processes_of_this_machine_are_not_started_for_planning() -> None:
    with planning_on(Where(workers=2), say=pytest.fail) as build:
        assert build is build_part


def test_an_address_where_nobody_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_plan, "CONNECT_S", 0.1)

    with (
        pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9;"),
        planning_on(Where(address="tcp://127.0.0.1:9"), say=pytest.fail),
    ):
        pass


# ---- what is not planned by many -------------------------------------------------------------------------------------


def contacts_job(base: Path) -> Job:
    """Return a job that messages nobody."""
    recipients = {"file": ["0.csv", "1.parquet"], "phone": "mobile", "default_region": "US"}
    return job_from({"campaign": "move", "kind": "contacts", "recipients": recipients}, base=base, name="job.toml")


def sheet_job(base: Path) -> Job:
    """Return a job over a spreadsheet."""
    book = Workbook()
    for row in (("id", "mobile"), ("a", phone(0)), ("b", phone(0))):
        book.active.append(row)
    book.save(base / "list.xlsx")
    return make_job(base, {"recipients": {"file": "list.xlsx"}})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(
            lambda base: make_job(base, {"recipients": {"file": "0.csv"}, "safety": {"canary": 2}}),
            "safety.canary",
            id="a canary",
        ),
        pytest.param(
            lambda base: make_job(base, {"recipients": {"file": "0.csv", "group_by": "name"}}),
            "recipients.group_by",
            id="groups",
        ),
        pytest.param(contacts_job, "contacts are not messages", id="contacts"),
        pytest.param(sheet_job, "list.xlsx is neither text nor Parquet", id="a spreadsheet"),
    ],
)
def test_what_a_cluster_does_not_plan_is_planned_here_and_said(
    threads: Client, tmp_path: Path, make: Callable[[Path], Job], why: str
) -> None:
    write_list(tmp_path, of_every_kind())
    job = make(tmp_path)
    said: list[str] = []

    together = planned(job, tmp_path / "together", partial(build_part_on_cluster, threads, say=said.append))

    assert together == planned(job, tmp_path / "alone")
    (sentence,) = said
    assert sentence.startswith("planned on this machine alone: ")
    assert why in sentence


def test_an_extension_is_planned_here_and_said(threads: Client, tmp_path: Path) -> None:
    make_plan(tmp_path, [{"id": "a", "mobile": phone(0), "name": "Ada"}])
    write_csv(tmp_path / "list.csv", [{"id": "b", "mobile": phone(at), "name": "Ada"} for at in range(3)])
    said: list[str] = []

    run_dir = RunDir(tmp_path / "run")
    plan = prepare(
        make_job(tmp_path),
        Ask(mode=Mode.LIVE, run_dir=run_dir.path, extend=True),
        run_dir=run_dir,
        campaign="spring-sale",
        profile=None,
        build=partial(build_part_on_cluster, threads, say=said.append),
    ).plan

    assert [part.head.recipients for part in plan.parts] == [1, 2]
    assert said == ["planned on this machine alone: --extend looks at the rows of earlier parts"]


def test_the_plan_of_one_of_several_profiles_is_made_here_and_said(threads: Client, tmp_path: Path) -> None:
    profiles = [{"name": name, "id": str(uuid.UUID(int=at))} for at, name in enumerate("ab", start=1)]
    job = make_job(tmp_path, {"recipients": {"file": "0.csv", "profile": "id"}}, profiles=profiles)
    write_list(tmp_path, of_every_kind())
    share, said = Share(name="b", names=("a", "b")), list[str]()

    together = planned(
        job, tmp_path / "together", partial(build_part_on_cluster, threads, say=said.append), share=share
    )

    assert together == planned(job, tmp_path / "alone", share=share)
    assert said == ["planned on this machine alone: a list for several profiles is divided among their plans"]


class Elsewhere(Hands):
    """Workers on another machine: what they find under the path of the list is what *put* leaves there."""

    def __init__(self, put: Callable[[Path], object]) -> None:
        self._put = put

    def run(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if work is not read_piece:
            return super().run(work, *arguments, **named)
        path: Path = arguments[0].files[0].place.path
        mine = path.read_bytes()
        self._put(path)
        try:
            return super().run(work, *arguments, **named)
        finally:
            path.write_bytes(mine)


@pytest.mark.parametrize(
    ("put", "why"),
    [
        pytest.param(Path.unlink, "is not on every machine of the cluster", id="no such file"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes().replace(b"Ada", b"Eve")), "is another file", id="another"
        ),
        pytest.param(lambda path: path.write_text("mobile\n"), "cannot be read", id="one without rows"),
    ],
)
def test_a_list_that_the_workers_do_not_have_is_not_planned_by_them(
    tmp_path: Path, put: Callable[[Path], object], why: str
) -> None:
    job = job_of(tmp_path, write_list(tmp_path, of_every_kind()), EVERYTHING)

    with pytest.raises(AloneError, match=why):
        planned(job, tmp_path / "together", partial(by_hand, workers=Elsewhere(put)))

    assert not RunDir(tmp_path / "together").rows(0).exists()


def test_a_list_that_cannot_be_read_is_refused_as_alone(threads: Client, tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text('id,mobile,name,stop,via,tz\na,"+14155550100"x,Ada,,,\n', encoding="utf-8")
    job = job_of(tmp_path, ["0.csv"], EVERYTHING | {"named": set(), "schedule": {}})
    said: list[str] = []

    together = planned(job, tmp_path / "together", partial(build_part_on_cluster, threads, say=said.append))

    assert together == planned(job, tmp_path / "alone")
    assert together[0] is ListUnusable
    assert len(said) == 1


def test_workers_with_other_rules_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(planner, "versions", lambda: ("0.0.1", "9.9"))
    job = job_of(tmp_path, write_list(tmp_path, of_every_kind()), EVERYTHING)

    kind, sentence = planned(job, tmp_path / "together", by_hand)

    assert kind is ConfigError
    assert sentence.endswith("; install broadcaster 0.0.1 and phonenumbers 9.9 there")
