"""Two processes at one campaign: the kernel's lock keeps the second out, and the keys protect where no lock can."""

import shutil
import signal

import pytest
from support.campaign import Begin
from support.failpoints import FAILPOINTS

LOCKED = 75
FOREIGN = 78
STORE = 74
# The worst moments to be frozen at: a claim is written and its request has not left; it has left and is executed.
MOMENTS = {
    "before a request leaves": FAILPOINTS["after the third claim"],
    "before an answer is read": "broadcaster.api.wire:Wire._body:before:5",
}


def test_a_second_process_is_kept_out_until_the_first_is_gone_even_if_that_is_paused(begin: Begin) -> None:
    campaign = begin(40)
    first = campaign.paused(MOMENTS["before an answer is read"])
    for command in (("resume", "runs/crash"), ("run", "job.toml")):
        refused = campaign.run(*command)
        assert refused.code == LOCKED, refused.stderr
        assert f"process {first.pid}" in refused.stderr
    first.signal(signal.SIGKILL)  # nothing else ends what is paused
    first.result()
    campaign.check()
    campaign.finish()


def test_a_paused_process_goes_on_as_if_nothing_had_been(begin: Begin) -> None:
    campaign = begin(40)
    first = campaign.paused(MOMENTS["before a request leaves"])
    assert campaign.run().code == LOCKED
    first.signal(signal.SIGCONT)
    assert first.result().code == 0
    campaign.check_ended()


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_wakes_after_a_takeover_messages_nobody_again(begin: Begin, moment: str) -> None:
    """No process can take over while another lives, unless somebody removes run.lock: then the keys protect."""
    campaign = begin(40, limits={"concurrency": 1})  # so that it holds no transaction while it is paused
    zombie = campaign.paused(MOMENTS[moment])
    (campaign.run_dir / "run.lock").unlink()
    campaign.finish()
    zombie.signal(signal.SIGCONT)
    assert zombie.result().code == STORE, "it stops at the first fact that the other has written"
    campaign.check_ended()
    campaign.finish()


def test_a_copy_that_runs_elsewhere_at_the_same_time_messages_nobody_again(begin: Begin) -> None:
    """The run directory is copied to a second machine, with registry and lock of its own, and both go on."""
    campaign = begin(200)
    here = campaign.paused(MOMENTS["before a request leaves"])
    copy = campaign.copied_to(campaign.cli.home / "elsewhere")
    there = copy.paused(MOMENTS["before an answer is read"])
    both = (here, there)
    for each in both:
        each.signal(signal.SIGCONT)
    assert [each.result().code for each in both] == [0, 0]
    campaign.check_ended()
    copy.check_ended()


def test_a_copy_on_the_same_machine_is_refused(begin: Begin) -> None:
    campaign = begin(40)
    here = campaign.paused(MOMENTS["before a request leaves"])
    shutil.copytree(campaign.run_dir, campaign.cli.home / "runs" / "copy")
    refused = campaign.run("resume", "runs/copy")
    assert refused.code == FOREIGN, refused.stderr
    here.signal(signal.SIGCONT)
    assert here.result().code == 0
    campaign.check_ended()
