"""``trace``: the story of one recipient on real runs, in lines that somebody can read out on the phone."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.cli import KEY, Cli, numbers, sends, wait_until
from support.simulator import Simulator

from broadcaster.app.trace import Asked, trace

ANN = "+14155550100"  # the one number that commands may print here
RUN = "runs/acceptance"
_SEND = "POST /v3/messages"
Fault = dict[str, Any]


def start(
    cli: Cli, sim: Simulator, *faults: Fault, code: int = 0, people: list[str] | None = None, **tables: Any
) -> None:
    """Send to Ann and five others, two to a request, and meet these faults."""
    cli.people([ANN, *numbers(5)] if people is None else people)
    cli.job(**{"limits": {"batch_size": 2, "concurrency": 1}, **tables})
    sim.set_faults(faults)
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == code, ended.stderr
    sim.set_faults([])


def accepted(cli: Cli, sim: Simulator) -> None:
    start(cli, sim)


def busy(cli: Cli, sim: Simulator) -> None:
    start(cli, sim, {"on": _SEND, "nth": [1], "do": "status", "status": 503, "code": "SERVICE_001", "retry_after": 0})


def refused(cli: Cli, sim: Simulator) -> None:
    start(cli, sim, _refuses(0), code=3)


def beside_the_refused(cli: Cli, sim: Simulator) -> None:
    start(cli, sim, _refuses(1), code=3)


def retried(cli: Cli, sim: Simulator) -> None:
    refused(cli, sim)
    assert cli("retry-failed", RUN, "--yes").code == 0


def _refuses(position: int) -> Fault:
    details = {f"to.{position}": ["The number is not valid."]}
    error = {"code": "VALIDATION_002", "message": "Request validation failed", "details": details}
    body = json.dumps({"success": False, "data": None, "error": error})
    return {"on": _SEND, "nth": [1], "do": "status", "status": 400, "body": body}


def in_doubt(cli: Cli, sim: Simulator) -> None:
    # The last of three requests arrives, its answer does not, and the API forgets keys after a second.
    outage = {"on": _SEND, "nth": list(range(4, 400)), "do": "drop_before"}
    lost = {"on": _SEND, "nth": [3], "do": "drop_after_accept"}
    people = [*numbers(5), ANN]
    start(cli, sim, lost, outage, code=4, people=people, api={"idempotency_window": "1s"})


def found(cli: Cli, sim: Simulator) -> None:
    in_doubt(cli, sim)
    assert cli("reconcile", RUN, "--no-poll").code == 0


def skipped(cli: Cli, sim: Simulator) -> None:
    in_doubt(cli, sim)
    assert cli("resolve", RUN, "--skip", "--note", "the offer is over", "--yes").code == 0


def sent_again(cli: Cli, sim: Simulator) -> None:
    in_doubt(cli, sim)
    assert cli("resolve", RUN, "--resend", "--yes").code == 75
    assert cli("resume", RUN, "--yes").code == 0


def asked_after(cli: Cli, sim: Simulator) -> None:
    start(cli, sim)
    assert cli("reconcile", RUN).code == 0


def planned(cli: Cli, sim: Simulator) -> None:
    del sim
    cli.people([ANN])
    cli.job()
    assert cli("plan", "job.toml").code == 0


def twice_on_the_list(cli: Cli, sim: Simulator) -> None:
    start(cli, sim, people=[*numbers(2), ANN, "(415) 555-0100"], recipients={"default_region": "US"})


def suppressed(cli: Cli, sim: Simulator) -> None:
    cli.write("stop.csv", f"phone\n{ANN}\n")
    start(cli, sim, recipients={"suppress": ["stop.csv"]})


def extended(cli: Cli, sim: Simulator) -> None:
    start(cli, sim, people=numbers(3))
    cli.people([*numbers(3), ANN])
    assert cli("run", "job.toml", "--yes", "--extend").code == 0


STORIES: dict[str, tuple[Callable[[Cli, Simulator], None], list[str]]] = {
    "accepted": (accepted, [
        "+14155550100 in acceptance (live)", "list       row 0, line 2", "request 0  recipient 1 of 2, sms, key f1-",
        "claimed before it was sent, by process ", "accepted, HTTP 202, request id req_",
        "sms        accepted, message ", "no receipt yet: 'broadcaster reconcile' asks the API",
    ]),
    "the API was busy first": (busy, [
        "attempt 1: HTTP 503, SERVICE_001", "it did nothing", "accepted, HTTP 202", "after 2 attempts",
    ]),
    "refused by name": (refused, [
        "split, HTTP 400", "the API named this recipient, VALIDATION_002", "sms        rejected, VALIDATION_002",
    ]),
    "beside somebody who was refused": (beside_the_refused, [
        "split, HTTP 400, VALIDATION_002", "part -1 of request 0 (VALIDATION_002) recipient 1 of 1",
        "accepted, HTTP 202", "sms        accepted, message ",
    ]),
    "refused and retried": (retried, [
        "request 0  recipient 1 of 2", "the API named this recipient", "request 3  recipient 1 of 1",
        "accepted, HTTP 202", "sms        accepted, message ",
    ]),
    "in doubt": (in_doubt, [
        "request 2  recipient 2 of 2", "attempt 1: no answer", "it may have been executed", "sms        in doubt, ",
    ]),
    "in doubt, and found by a look-up": (found, [
        "it may have been executed", "found at the API (conversations): sms message ", "sms        accepted, message ",
    ]),
    "in doubt, and left": (skipped, [
        "it may have been executed", " decided: skip, the offer is over", "skipped",
        "sms        excluded, skipped_in_doubt",
    ]),
    "in doubt, and sent again": (sent_again, [
        " decided: resend", "of request 2 (sent again by decision) recipient 2 of 2", "accepted, HTTP 202",
        "sms        accepted, message ",
    ]),
    "asked after": (asked_after, [
        "sms        accepted, message ", "queued (lookup)", "sent (lookup)", "delivered (lookup), on sms",
        "now delivered on sms, price ",
    ]),
    "planned": (planned, ["list       row 0, line 2", "request 0  recipient 1 of 1", "sms        pending"]),
    "twice on the list": (twice_on_the_list, [
        "list       row 2, line 4", "sms        accepted, message ", "list       row 3, line 5",
        "excluded   duplicate: the same number as input row 2",
    ]),
    "suppressed": (suppressed, ["excluded   suppressed: the number is on a suppression list"]),
    "added later": (extended, ["list       row 3, line 5, extension 1", "request 2 ", "sms        accepted, message "]),
}  # fmt: skip


@pytest.mark.parametrize(("happens", "lines"), STORIES.values(), ids=STORIES)
def test_a_story_is_told_in_its_order_and_agrees_with_the_manifest(
    cli: Cli, happens: Callable[[Cli, Simulator], None], lines: list[str]
) -> None:
    with Simulator(key=KEY, lifecycle_speed=10_000.0) as sim:
        cli.use(sim)
        happens(cli, sim)
    told = cli("trace", RUN, "--to", "(415) 555-0100" if happens is twice_on_the_list else ANN)
    assert told.code == 0, told.stderr
    at = 0
    for line in lines:
        assert line in told.stdout[at:], told.stdout
        at = told.stdout.index(line, at)
    agrees(cli)


def agrees(cli: Cli) -> None:
    """Fail unless every row's own story ends as the manifest says."""
    for row in cli.manifest():
        found = trace(cli.home / RUN, Asked(row=row["input_row"]))
        (mine,) = (each for each in found.rows if each.row.head.part == row["part"])
        (told,) = (each for each in mine.deliveries if each.channel == row["channel"])
        became, state = told.became, told.state
        assert (became.status, became.reason, became.error, became.message_id) == tuple(
            row[name] for name in ("status", "reason", "error", "message_id")
        )
        known = (state.status.lower(), state.channel, state.reason) if state else (None, None, None)
        assert known == tuple(row[name] for name in ("delivery_status", "delivery_channel", "delivery_reason"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A finished run of somebody with Ann, a number that is none, and a number in another form on the list."""
    cli = Cli(tmp_path_factory.mktemp("plain"))
    with Simulator(key=KEY) as sim:
        cli.use(sim)
        start(cli, sim, people=[ANN, "0555-12", "212 555 0117"], recipients={"default_region": "US"})
    return cli


def test_a_recipient_is_known_by_row_and_by_message_id_too_and_then_masked(plain: Cli) -> None:
    by_number = plain("trace", RUN, "--to", ANN)
    for words in (["--row", "0"], ["--message-id", plain.manifest()[0]["message_id"]]):
        told = plain("trace", RUN, *words)
        assert told.code == 0
        assert told.stdout == by_number.stdout.replace(ANN, "+1••••••••00")


@pytest.mark.parametrize("typed", ["4155550100", " +1 415 555 0100", "(415) 555-0100", "011 1 415 555 0100"])
def test_the_number_is_read_as_the_list_is_read(plain: Cli, typed: str) -> None:
    told = plain("trace", RUN, "--to", typed)
    assert told.code == 0, told.stderr
    assert told.stdout == plain("trace", RUN, "--to", ANN).stdout


def test_a_cell_that_is_no_number_is_found_by_what_it_says(plain: Cli) -> None:
    told = plain("trace", RUN, "--to", "0555-12")
    assert told.code == 0
    assert "0555-12 in acceptance" in told.stdout
    assert "excluded   invalid_number: " in told.stdout
    assert "••••-12 in acceptance" in plain("trace", RUN, "--row", "1").stdout


UNKNOWN: dict[str, tuple[list[str], str]] = {
    "a number that is not on the list": (["--to", "+442079460123"], "the number is not on the list of runs/acceptance"),
    "no number": (["--to", "nobody"], "no valid number"),
    "a row that there is not": (["--row", "3"], "has no row 3; its 3 rows count from 0"),
    "another message": (["--message-id", "m-1"], "no receipt of it is known"),
    "nobody": ([], "exactly one of --to NUMBER, --row N, --message-id ID"),
    "two at once": (["--to", ANN, "--row", "1"], "exactly one of"),
}


@pytest.mark.parametrize(("words", "sentence"), UNKNOWN.values(), ids=UNKNOWN)
def test_who_is_not_there_is_said_so(plain: Cli, words: list[str], sentence: str) -> None:
    told = plain("trace", RUN, *words)
    assert (told.code, told.stdout) == (2, "")
    assert sentence in told.stderr


def test_receipts_of_a_message_that_nobody_sent_are_mentioned(plain: Cli) -> None:
    import asyncio

    from broadcaster.core.receipts import Receipt
    from broadcaster.store.receipts import ReceiptsWriter

    stranger = Receipt(
        message_id="m-2", status="DELIVERED", channel="sms", code=None, reason=None, updated_us=1, event_key="e",
        source="webhook",
    )  # fmt: skip

    async def hear() -> None:
        with ReceiptsWriter(plain.home / RUN / "receipts.sqlite") as writer:
            await writer.add([stranger])

    asyncio.run(hear())
    told = plain("trace", RUN, "--message-id", "m-2")
    assert told.code == 2
    assert "1 receipts of it are known, the last says delivered" in told.stderr


def test_a_story_can_be_told_while_the_run_sends(cli: Cli, sim: Simulator) -> None:
    cli.people([*numbers(1), ANN, *numbers(2, start=2)])
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "slow", "delay_s": 600}])  # Ann's answer does not come
    running = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: len(sends(sim)) >= 2, what="the second request")
    told = cli("trace", RUN, "--to", ANN)
    assert told.code == 0, told.stderr
    assert "claimed before it was sent" in told.stdout
    assert "in doubt, or on its way: the run is going on" in told.stdout
    assert cli("trace", RUN, "--row", "3", "--json").json["rows"][0]["deliveries"][0]["status"] == "pending"
    running.process.kill()
    running.process.communicate()
    assert "on its way" not in cli("trace", RUN, "--to", ANN).stdout
