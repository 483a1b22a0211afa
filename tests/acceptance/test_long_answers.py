"""Answers so long that the API forgets their key: a lost one is never simply asked for again."""

import json

import pytest
from support.cli import KEY, Cli, matches, once, sends
from support.simulator import Simulator

RUN = "runs/acceptance"
_SEND = "POST /v3/messages"
_LONG = "4e2f7c1a-7a55-4f0c-9f6e-1d1f0a6f6d01"
_LOST = {"on": _SEND, "nth": [1], "do": "drop_after_accept"}


def job(cli: Cli, people: int, **limits: int) -> None:
    cli.people(people)
    cli.job(message={"template_id": _LONG}, limits=limits)


@pytest.mark.parametrize("letters", [1_024, 40], ids=["beyond five megabytes", "short, which nobody can know"])
def test_the_only_answer_is_lost_and_nobody_is_messaged_twice(cli: Cli, letters: int) -> None:
    template = {"id": _LONG, "name": "long", "body": "\u0645" * letters}
    with Simulator(key=KEY, templates=json.dumps([template]), faults=[_LOST], lifecycle_speed=0) as sim:
        cli.use(sim)
        job(cli, 990)
        assert cli("run", "job.toml", "--yes").code == 4
        assert len(sends(sim)) == 1
        assert len(sim.messages()) == 990
        assert cli("resume", RUN).code == 4
        assert len(sends(sim)) == 1
        assert cli("reconcile", RUN).code == 0
        matches(cli.home / RUN, sim.messages())


def test_when_another_answer_was_short_the_lost_one_is_asked_for_again(cli: Cli) -> None:
    template = {"id": _LONG, "name": "long", "body": "\u0645" * 40}
    with Simulator(key=KEY, templates=json.dumps([template]), faults=[_LOST], lifecycle_speed=0) as sim:
        cli.use(sim)
        job(cli, 990, batch_size=600)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        assert len(sends(sim)) == 3
        matches(cli.home / RUN, sim.messages())


def test_an_answer_that_is_too_long_to_be_read_is_never_asked_for_again(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "bloat", "size": 34_000_000}])
    assert cli("run", "job.toml", "--yes").code == 4
    assert cli.statuses() == {"accepted": 2, "in_doubt": 2}
    assert cli("resume", RUN).code == 4
    assert len(sends(sim)) == 2
    once(sim.messages())
