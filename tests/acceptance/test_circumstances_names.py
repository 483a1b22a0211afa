"""What a delivery is called: campaign, date, mode, generation. Another name is another message."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from support.cli import KEY, Cli
from support.proof import RUN, campaign, error, prove, run
from support.simulator import Simulator, Stretch

import broadcaster

_SEND = "POST /v3/messages"
_EARLIER, _LAST = "2020-02-28", "2020-02-29"


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    """The one simulator of this module."""
    with Simulator(key=KEY) as simulator:
        yield simulator


@pytest.fixture
def here(cli: Cli, api: Simulator) -> Stretch:
    """What the simulator, well again, hears from this test."""
    cli.use(api)
    api.set_faults([])
    return api.from_here()


# ---- modes, campaigns, tests -----------------------------------------------------------------------------------


def test_no_two_modes_share_a_key(cli: Cli) -> None:
    cli.people(3)
    job = broadcaster.load_job(cli.job(limits={"batch_size": 1}))
    modes: dict[str, Any] = {"live": {}, "sandbox": {"sandbox": True}, "simulated": {"simulate": True}}
    for mode, flags in modes.items():
        broadcaster.plan(job, run_dir=cli.home / "runs" / mode, **flags)
    keys = {mode: {row["idempotency_key"] for row in cli.manifest(f"runs/{mode}")} for mode in modes}
    assert {len(each) for each in keys.values()} == {3}
    assert [(one, two) for one, two in combinations(keys, 2) if keys[one] & keys[two]] == []


def test_the_same_text_to_the_same_list_goes_out_again_under_another_campaign(cli: Cli, here: Stretch) -> None:
    cli.people(2)
    for _ in range(2):
        name = campaign()
        cli.job(campaign=name)
        assert cli("run", "job.toml", "--yes").code == 0
        assert cli.statuses(f"runs/{name}") == {"accepted": 2}
    assert len(here.messages()) == 4


def test_a_test_message_to_somebody_of_the_list_does_not_count_as_theirs(cli: Cli, here: Stretch) -> None:
    to = cli.people(2)
    cli.job(campaign=campaign(), limits={"batch_size": 1, "concurrency": 1})
    assert cli("test", "job.toml", "--to", to[0]).code == 0
    ended = run(cli, "--json")
    assert (ended.code, ended.json["batches"]["accepted_by_an_earlier_launch"]) == (0, 0)
    assert [each["recipient"] for each in here.messages()] == [to[0], *to]
    assert len({each["key"] for each in here.sends()}) == 3


# ---- dates --------------------------------------------------------------------------------------------------------


def _dated(cli: Cli) -> str:
    name = f"{campaign()}-"
    cli.people(2)
    cli.job(campaign=name + "{date}", limits={"batch_size": 1, "concurrency": 1})
    return name


def _stop_at(here: Stretch, *, request: int) -> None:
    here.simulator.set_faults([{"on": _SEND, "nth": [request], "do": "status", "status": 402}])


def test_an_earlier_date_that_broke_halfway_is_finished_before_today_begins(cli: Cli, here: Stretch) -> None:
    name = _dated(cli)
    _stop_at(here, request=2)
    assert cli("run", "job.toml", "--yes", "--date", _LAST).code == 5
    here.simulator.set_faults([])
    night = cli("run", "job.toml", "--yes", "--json")
    assert (night.code, night.json["campaign"]) == (0, name + _LAST)
    prove(cli, here, run_dir=f"runs/{name}{_LAST}")
    morning = cli("run", "job.toml", "--yes", "--json")
    assert morning.code == 0
    assert morning.json["campaign"] != name + _LAST  # that one has everything: today is its own
    assert len(here.messages()) == 4


def test_of_two_earlier_dates_the_one_that_was_planned_last_goes_on_and_a_date_chooses(cli: Cli, here: Stretch) -> None:
    name = _dated(cli)
    for day in (_EARLIER, _LAST):
        assert cli("plan", "job.toml", "--date", day).code == 0
    assert cli("run", "job.toml", "--dry-run", "--json").json["campaign"] == name + _LAST
    assert cli("run", "job.toml", "--yes", "--date", _EARLIER, "--json").json["campaign"] == name + _EARLIER
    assert cli.statuses(f"runs/{name}{_LAST}") == {"pending": 2}
    assert len(here.messages()) == 2


def test_an_earlier_date_with_another_list_is_refused_until_somebody_decides(cli: Cli, here: Stretch) -> None:
    """A demo of another date, although it was planned later, is not what a live run goes on with."""
    name = _dated(cli)
    assert cli("plan", "job.toml", "--date", _LAST).code == 0
    assert cli("plan", "job.toml", "--date", _EARLIER, "--simulate").code == 0
    cli.people(3)
    refused = cli("run", "job.toml", "--yes")
    assert (refused.code, refused.stdout) == (78, "")
    assert f"broadcaster resume runs/{name}{_LAST}'" in refused.stderr
    assert here.requests() == []
    today = cli("run", "job.toml", "--yes", "--new-date", "--json")
    assert (today.code, today.json["deliveries"]["accepted"]) == (0, 3)
    assert today.json["campaign"] not in {name + _LAST, name + _EARLIER}


# ---- extensions ---------------------------------------------------------------------------------------------------


def test_an_extension_of_a_run_that_broke_halfway_finishes_both(cli: Cli, here: Stretch) -> None:
    cli.people(6)
    cli.job(campaign=campaign(), limits={"batch_size": 2, "concurrency": 1})
    here.simulator.set_faults([
        {"on": _SEND, "nth": [2], "do": "drop_after_accept"},
        {"on": _SEND, "nth": [3], "do": "status", "status": 402},
    ])  # fmt: skip
    assert run(cli).code == 5
    here.simulator.set_faults([])
    in_doubt = here.sends()[-1]["key"]
    cli.people(9)
    before = len(here.sends())
    assert run(cli, "--extend").code == 0
    assert here.sends()[before]["key"] == in_doubt  # doubt shrinks before it can grow
    prove(cli, here)
    assert cli.statuses(RUN) == {"accepted": 9}
    assert [row["part"] for row in cli.manifest(RUN)] == [0] * 6 + [1] * 3


def test_extensions_add_only_who_was_never_planned_however_often_the_list_grows(cli: Cli, here: Stretch) -> None:
    """Neither whom the API refused, nor somebody who is written in another way by now."""
    to = cli.people(3)
    cli.job(campaign=campaign(), limits={"concurrency": 1}, recipients={"default_region": "US"})
    one = error("VALIDATION_002", {"to[1]": ["is not valid"]})
    here.simulator.set_faults([{"on": _SEND, "nth": [1], "do": "status", "status": 400, "body": one}])
    assert run(cli).code == 3
    here.simulator.set_faults([])
    cli.people([*to, f"({to[1][2:5]}) {to[1][5:8]}-{to[1][8:]}", "+14155550151"])
    assert run(cli, "--extend").code == 3
    cli.people(["+14155550152", *to, "+14155550151", "12"])
    third = run(cli, "--extend", "--json")
    assert third.code == 3, third.stderr
    assert [each["recipient"] for each in here.messages()] == [to[0], to[2], "+14155550151", "+14155550152"]
    assert cli.statuses(RUN) == {"accepted": 4, "rejected": 1, "excluded": 1}
    assert [row["to"] for row in cli.manifest(RUN) if row["status"] == "rejected"] == [to[1]]
    prove(cli, here)
