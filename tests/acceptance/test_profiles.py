"""One job for several profiles: a run for each, side by side, with its own key and its own limit. As users have it."""

import json
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from support.cli import KEY, Cli, Result, numbers, sends, wait_until
from support.simulator import Simulator

from broadcaster.store.rundir import RunDir

ACME, ZENITH = "11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-666666666666"
OWN_KEYS = {"acme": {"key_env": "ACME_KEY"}, "zenith": {"key_env": "ZENITH_KEY"}}
OWN_IDS = {"acme": {"id": ACME}, "zenith": {"id": ZENITH}}
KEYS = {"ACME_KEY": f"{KEY}:{ACME}", "ZENITH_KEY": f"{KEY}:{ZENITH}"}
RUN = "runs/acceptance"
_SEND = "POST /v3/messages"


@pytest.fixture
def sim(cli: Cli) -> Iterator[Simulator]:
    """The API, where an organization has two profiles, and each of them has a key of its own."""
    with Simulator(key=KEY, profile_id=[ACME, ZENITH]) as simulator:
        cli.use(simulator)
        cli.environment |= KEYS
        yield simulator


def job(cli: Cli, profiles: Mapping[str, Mapping[str, object]], **limits: int) -> None:
    cli.job(limits={"batch_size": 1, **limits})
    with (cli.home / "job.toml").open("a") as file:
        for name, table in profiles.items():
            lines = (f"{key} = {json.dumps(value)}" for key, value in {"name": name, **table}.items())
            file.write("\n".join(["[[profiles]]", *lines, ""]))


def listed(cli: Cli, acme: int, zenith: int, *more: str) -> None:
    whose = [*["acme"] * acme, *["zenith"] * zenith]
    rows = [f"{number},{name}" for number, name in zip(numbers(len(whose)), whose, strict=True)]
    cli.write("people.csv", "\n".join(["phone,profile", *rows, *more, ""]))


def run(cli: Cli, *flags: str) -> Result:
    return cli("run", "job.toml", "--yes", *flags)


def whole(cli: Cli) -> list[dict[str, Any]]:
    """Return the rows of the one manifest of all."""
    return cli.manifest(RUN)


def test_each_row_is_sent_for_its_profile_and_is_in_one_manifest(cli: Cli, sim: Simulator) -> None:
    """Also one who is there for both, one who is there twice for one, and one whose profile nobody has."""
    first = numbers(1)[0]
    listed(cli, 3, 2, f"{first},zenith", f"{first}, acme ", f"{numbers(1, start=9)[0]},acmee", "x,zenith")
    job(cli, OWN_IDS)
    ended = run(cli, "--expect-recipients", "6", "--json")

    assert ended.code == 0, ended.stderr
    assert Counter(row["profile_id"] for row in sim.messages()) == {ACME: 3, ZENITH: 3}
    assert sorted(row["profile_id"] for row in sim.messages() if row["recipient"] == first) == [ACME, ZENITH]
    assert sorted(row["input_row"] for row in whole(cli)) == list(range(9))
    assert Counter((row["profile"], row["reason"] or row["status"]) for row in whole(cli)) == {
        ("acme", "accepted"): 3,
        ("acme", "duplicate"): 1,
        ("acme", "unknown_profile"): 1,
        ("zenith", "accepted"): 3,
        ("zenith", "invalid_number"): 1,
    }
    assert ended.json["deliveries"] == {"accepted": 6, "rejected": 0, "in_doubt": 0, "pending": 0, "excluded": 3}
    assert "the row names none of the job's profiles" in ended.stderr

    again = run(cli)
    assert (again.code, len(sim.messages())) == (0, 6), again.stderr
    told = cli("status", RUN, "--json").json["profiles"]
    assert {name: each["deliveries"]["accepted"] for name, each in told.items()} == {"acme": 3, "zenith": 3}

    with (cli.home / "people.csv").open("a") as file:
        file.write(f"{numbers(1, start=50)[0]},zenith\n")
    changed = run(cli)
    assert changed.code == 78
    assert "--extend' adds the rows" in changed.stderr
    added = run(cli, "--extend")
    assert added.code == 0, added.stderr
    assert Counter(row["profile_id"] for row in sim.messages()) == {ACME: 3, ZENITH: 4}


def test_they_go_side_by_side_each_with_its_own_limit(cli: Cli) -> None:
    """Each has one request on its way, and both are; together they pass what an account may, and neither its own."""
    listed(cli, 40, 25)
    acme = {**OWN_KEYS["acme"], "requests_per_minute": 2000}
    job(cli, {"acme": acme, "zenith": {**OWN_KEYS["zenith"], "requests_per_minute": 1000}}, concurrency=1)
    with Simulator(key=KEY, profile_id=[ACME, ZENITH], requests_per_minute=45) as limited:
        cli.use(limited)
        cli.environment |= KEYS
        limited.set_faults([{"on": _SEND, "do": "slow", "delay_s": 5.0}])
        started = cli.start("run", "job.toml", "--yes")
        wait_until(lambda: [each["status"] for each in sends(limited)].count(None) == 2, what="one of each on its way")
        started.signal(signal.SIGINT)
        started.signal(signal.SIGTERM)
        assert started.result().code == 75
        limited.set_faults([])
        ended = cli("resume", RUN)
        assert ended.code == 0, ended.stderr
        assert Counter(row["profile_id"] for row in limited.messages()) == {ACME: 40, ZENITH: 25}
        assert 429 not in {each["status"] for each in limited.requests()}
    for name, limit in (("acme", 2000), ("zenith", 1000)):
        head = json.loads((cli.home / RUN / name / "plan.json").read_bytes())
        assert head["limits"]["requests_per_minute"] == limit


def test_when_the_command_is_killed_its_runs_drain_and_are_gone_on_with_alone_or_together(
    cli: Cli, sim: Simulator
) -> None:
    listed(cli, 12, 12)
    job(cli, OWN_KEYS, concurrency=1)
    sim.set_faults([{"on": _SEND, "do": "slow", "delay_s": 0.5}])
    started = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: len({row["profile_id"] for row in sim.messages()}) == 2, what="a message of each")
    started.process.kill()
    started.process.communicate()
    for name in ("acme", "zenith"):
        wait_until(lambda: not RunDir(cli.home / RUN / name).is_in_use(), what=f"the end of {name}")  # noqa: B023 - now
    assert len(sim.messages()) < 24
    sim.set_faults([])

    # One of them alone has its key from the profiles that are written down beside it.
    one = cli("resume", f"{RUN}/acme")
    assert one.code == 0, one.stderr
    assert {row["status"] for row in cli.manifest(f"{RUN}/acme")} == {"accepted"}
    rest = cli("resume", RUN)
    assert rest.code == 0, rest.stderr
    assert "acme:" not in rest.stderr  # it was complete
    assert Counter(row["profile_id"] for row in sim.messages()) == {ACME: 12, ZENITH: 12}
    assert Counter(row["status"] for row in whole(cli)) == {"accepted": 24}


def test_nothing_is_sent_where_a_key_is_missing_or_the_whole_is_not_as_expected(cli: Cli, sim: Simulator) -> None:
    listed(cli, 2, 2)
    job(cli, OWN_KEYS, max_messages=3)
    looked = cli("doctor", "job.toml", env={"ACME_KEY": ""})
    assert (looked.code, looked.stdout.count("key       failed"), looked.stdout.count("account   ok")) == (2, 1, 1)
    job(cli, {**OWN_KEYS, "third": {"id": ACME}})
    third = cli("run", "job.toml", "--yes", env={"SENT_DM_API_KEY": ""})
    assert (third.code, "profile third: there is no API key" in third.stderr) == (2, True)
    job(cli, OWN_KEYS, max_messages=3)
    missing = cli("run", "job.toml", "--yes", env={"ACME_KEY": ""})
    assert (missing.code, missing.stdout) == (2, "")
    assert "there is no API key for profile acme: set ACME_KEY, or ACME_KEY_FILE" in missing.stderr
    many = run(cli)
    assert many.code == 5
    assert "for all profiles together the plan has 4 messages, and limits.max_messages allows 3" in many.stderr
    job(cli, OWN_KEYS)
    other = run(cli, "--expect-recipients", "3")
    assert other.code == 5
    assert "the plans have 4 recipients together, not 3" in other.stderr
    asked = cli("run", "job.toml")
    assert (asked.code, "add --yes" in asked.stderr) == (2, True)
    assert not (cli.home / RUN / "acme" / "plan.json").exists()
    assert sim.messages() == []
    nothing = cli("resume", RUN, "--yes")
    assert (nothing.code, "holds no plan" in nothing.stderr) == (2, True)
    cli.job()
    assert run(cli).code == 0  # where nothing was planned for several, it can be for one


def test_whoever_had_one_account_does_not_get_several_nor_the_other_way_round(cli: Cli, sim: Simulator) -> None:
    listed(cli, 1, 1)
    job(cli, OWN_IDS)
    assert run(cli).code == 0
    cli.job(limits={"batch_size": 1})
    one = run(cli)
    assert one.code == 78
    assert "holds a run for each of several profiles" in one.stderr
    job(cli, {"acme": {"id": ZENITH}, "zenith": {"id": ACME}})
    swapped = run(cli)
    assert swapped.code == 78
    assert "profile acme has another id or key_env" in swapped.stderr
    assert len(sim.messages()) == 2

    cli.job(campaign="alone", limits={"batch_size": 1})
    assert run(cli).code == 0
    job(cli, OWN_IDS)
    (cli.home / "job.toml").write_text((cli.home / "job.toml").read_text().replace('"acceptance"', '"alone"'))
    several = run(cli)
    assert several.code == 78
    assert "holds a run for one account" in several.stderr
    assert len(sim.messages()) == 4


def test_a_plan_and_a_rehearsal_need_no_key(cli: Cli) -> None:
    listed(cli, 3, 1)
    job(cli, {**OWN_KEYS, "nobody": {"id": ACME}})
    planned = cli("plan", "job.toml", "--json")
    assert planned.code == 0, planned.stderr
    assert {name: each["recipients"] for name, each in planned.json["profiles"].items()} == {
        "acme": 3,
        "zenith": 1,
        "nobody": 0,
    }
    assert Counter((row["profile"], row["status"]) for row in whole(cli)) == {
        ("acme", "pending"): 3,
        ("zenith", "pending"): 1,
    }
    own = parquet.read_schema(cli.home / RUN / "acme" / "manifest.parquet").names
    assert parquet.read_schema(cli.home / RUN / "manifest.parquet").names == ["profile", *own]
    simulated = run(cli, "--simulate", "--json")
    assert simulated.code == 0, simulated.stderr
    assert simulated.json["deliveries"]["accepted"] == 4
    assert "── nobody ──\nno row of the list names it" in simulated.stderr
    dry = cli("run", "job.toml", "--dry-run", "--json")
    assert dry.json["profiles"]["acme"]["run_dir"] == f"{RUN}/acme"

    place = f"{RUN}.simulated"
    table = cli("report", place, "--format", "json")
    assert (table.code, "has a report for each profile" in table.stderr) == (2, True)
    assert cli("purge", f"{place}/acme", "--yes").code == 0
    assert Counter(row["to"] is None for row in cli.manifest(place)) == {True: 3, False: 1}  # nobody of acme is named
    assert cli("purge", f"{place}/zenith", "--yes").code == 0
    told = cli("status", place)
    assert (told.code, told.stdout.count("complete, purged at")) == (0, 2)


def test_the_gravest_end_is_that_of_all_and_the_next_day_goes_on_with_it(cli: Cli, sim: Simulator) -> None:
    """A key that is refused stops its own profile; the others are sent, and the code says it."""
    listed(cli, 2, 2)
    job(cli, OWN_KEYS)
    (cli.home / "job.toml").write_text((cli.home / "job.toml").read_text().replace('"acceptance"', '"daily-{date}"'))
    broken = cli("run", "job.toml", "--yes", "--date", "2026-11-20", env={"ACME_KEY": "wrong"})
    assert broken.code == 77, broken.stderr
    assert "zenith: 2 accepted" in broken.stderr
    assert {row["profile_id"] for row in sim.messages()} == {ZENITH}
    assert "To go on: broadcaster resume runs/daily-2026-11-20\n" in broken.stderr
    ended = run(cli)
    assert ended.code == 0, ended.stderr
    assert sorted(path.name for path in Path(cli.home, "runs").iterdir()) == ["daily-2026-11-20"]
    assert Counter(row["profile_id"] for row in sim.messages()) == {ACME: 2, ZENITH: 2}
