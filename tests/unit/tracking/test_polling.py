"""Look-ups tell what became of messages: by the list while it saves requests, then one by one, and none twice."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from broadcaster.api.history import Sighting, Step
from broadcaster.core.receipts import Receipt
from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent
from broadcaster.errors import AccountRefused, ContractBroken, StoreError, Unreachable
from broadcaster.tracking.polling import FEW, Polled, pays, poll, receipts_of

SECOND = 1_000_000
NOON = 1_796_126_400_000_000
MANY = FEW + 1


def entry(name: str, status: str | None = "DELIVERED", *, at_s: float = 0, **more: object) -> dict[str, object]:
    """Return a message that was sent *at_s* seconds after noon."""
    whole: dict[str, object] = {
        "id": name, "channel": "sms", "direction": "OUTBOUND", "created_at": NOON // SECOND + at_s, "price": 0.02,
        "status": status, "events": [{"status": status, "timestamp": NOON // SECOND + at_s + 5}], **more,
    }  # fmt: skip
    return {key: value for key, value in whole.items() if value is not ...}


@dataclass
class Account:
    """An API with these messages, newest first; ``listed`` are shown in the list, ``instead`` answers before all."""

    listed: Sequence[Mapping[str, object]] = ()
    single: dict[str, Mapping[str, object]] = field(default_factory=dict)
    instead: Callable[[str], Reply | Lost | None] = lambda _path: None
    asked: list[str] = field(default_factory=list)
    kept: list[Receipt] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    heard: list[Polled] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    full: bool = False

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        address = urlsplit(request.path)
        path = address.path.removeprefix("/v3/")
        self.asked.append(path)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        instead = self.instead(path)
        if instead is not None:
            return instead
        if address.path != "/v3/conversations":
            found = self.single.get(address.path.removeprefix("/v3/messages/"))
            return reply(found, status=404 if found is None else 200)
        query = parse_qs(address.query)
        page, size = int(query["page"][0]), int(query["page_size"][0])
        pages = -(-len(self.listed) // size)
        shown = list(self.listed[(page - 1) * size : page * size])
        return reply({"messages": shown, "pagination": {"total_pages": pages, "has_more": page < pages}})

    async def keep(self, receipts: Sequence[Receipt], asked: Sequence[str]) -> int:
        if self.full:
            raise StoreError("the disk is full")
        self.kept += receipts
        self.noted += asked
        return len(receipts)

    async def poll(self, *names: str, limit: int | None = None, concurrency: int = 4, oldest_s: float = 0) -> Polled:
        return await poll(
            names,
            ask=self,
            keep=self.keep,
            now_us=lambda: NOON + 60 * SECOND,
            newest_us=NOON + 60 * SECOND,
            oldest_us=NOON + round(oldest_s * SECOND),
            limit=limit,
            concurrency=concurrency,
            observe=self.heard.append,
        )

    def states(self) -> dict[str, str]:
        return {each.message_id: each.status for each in self.kept}

    @property
    def pages(self) -> int:
        return self.asked.count("conversations")


def reply(data: object, *, status: int = 200) -> Reply:
    now = Instant(wall_us=NOON + 60 * SECOND)
    body = json.dumps({"success": status == 200, "data": data}).encode()
    return Reply(status=status, headers={}, body=body, started=now, ended=now)


def names(count: int) -> list[str]:
    return [f"m-{n:03}" for n in range(count)]


# ---- what one look-up says -----------------------------------------------------------------------------------------


def said(**told: Any) -> list[tuple[Any, ...]]:
    sighting = Sighting(message_id="m", **told)
    receipts = receipts_of(sighting, asked_us=NOON + 60 * SECOND)
    assert all(each.source == "lookup" for each in receipts)
    assert len({each.event_key for each in receipts}) == len(receipts)
    return [(each.status, (each.updated_us - NOON) / SECOND, each.channel, each.code, each.price) for each in receipts]


def step(status: str, at_s: float | None, code: str | None = None) -> Step:
    return Step(status=status, at_us=None if at_s is None else NOON + round(at_s * SECOND), code=code)


LOOK_UPS: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
    "nothing": ({}, []),
    "a status without its past is of the moment of asking": (
        {"status": "SENT", "channel": "sms"},
        [("SENT", 60, "sms", None, None)],
    ),
    "every step of the past, the last with channel and price": (
        {"status": "SENT", "channel": "sms", "price": "0.02", "steps": (step("QUEUED", 1), step("SENT", 2.5))},
        [("QUEUED", 1, None, None, None), ("SENT", 2.5, "sms", None, "0.02")],
    ),
    "the past may be told newest first": (
        {"status": "SENT", "channel": "rcs", "steps": (step("SENT", 2), step("QUEUED", 1))},
        [("SENT", 2, "rcs", None, None), ("QUEUED", 1, None, None, None)],
    ),
    "the same status twice: the later one is the present": (
        {"status": "QUEUED", "channel": "sms", "steps": (step("QUEUED", 1), step("FAILED", 2, "X"), step("QUEUED", 3))},
        [("QUEUED", 1, None, None, None), ("FAILED", 2, None, "X", None), ("QUEUED", 3, "sms", None, None)],
    ),
    "a past that lags behind": (
        {"status": "DELIVERED", "channel": "sms", "steps": (step("SENT", 2),)},
        [("SENT", 2, None, None, None), ("DELIVERED", 60, "sms", None, None)],
    ),
    "the reason stands beside the status": (
        {"status": "BLOCKED", "code": "BUSINESS_003", "steps": (step("BLOCKED", 2),)},
        [("BLOCKED", 2, None, "BUSINESS_003", None)],
    ),
    "a channel that the API has not picked is none": (
        {"status": "QUEUED", "channel": "auto", "steps": (step("QUEUED", None),)},
        [("QUEUED", 60, None, None, None)],
    ),
}


@pytest.mark.parametrize(("told", "expected"), LOOK_UPS.values(), ids=LOOK_UPS)
def test_a_look_up_is_told_as_receipts(told: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert said(**told) == expected


def test_the_same_look_up_twice_says_nothing_new_and_a_price_does() -> None:
    sighting = Sighting(message_id="m", status="SENT", steps=(step("SENT", 1),))
    keys = [
        receipts_of(each, asked_us=at_us)[0].event_key
        for each, at_us in (
            (sighting, NOON),
            (sighting, NOON + SECOND),
            (Sighting(message_id="m", status="SENT", steps=(step("SENT", 1),), price="0.1"), NOON),
        )
    ]
    assert keys[0] == keys[1] != keys[2]


def test_what_the_api_writes_about_people_is_not_kept() -> None:
    (receipt,) = receipts_of(
        Sighting(message_id="m", status="FAILED", reason="+14155550111 is not\n reachable"), asked_us=NOON
    )
    assert receipt.reason is not None
    assert "555" not in receipt.reason


# ---- one by one ----------------------------------------------------------------------------------------------------


async def test_a_few_are_asked_for_by_their_id_and_the_list_is_not_looked_at() -> None:
    account = Account(single={name: entry(name) for name in names(FEW)})
    ended = await account.poll(*names(FEW))
    assert ended == Polled(asked=FEW, told=FEW, learned=FEW)
    assert sorted(account.asked) == [f"messages/{name}" for name in names(FEW)]
    assert account.states() == dict.fromkeys(names(FEW), "DELIVERED")
    assert {(each.channel, each.price) for each in account.kept} == {("sms", "0.02")}
    assert [each.asked for each in account.heard] == sorted(each.asked for each in account.heard)


async def test_nothing_open_asks_nothing() -> None:
    account = Account()
    assert await account.poll() == Polled()
    assert account.asked == []


async def test_they_are_asked_for_in_the_order_given_and_no_more_at_a_time_than_allowed() -> None:
    account = Account(single={name: entry(name) for name in names(FEW)})
    await account.poll(*reversed(names(FEW)), concurrency=3)
    assert account.asked == [f"messages/{name}" for name in reversed(names(FEW))]
    assert account.most_under_way == 3


async def test_a_limit_leaves_the_rest_for_the_next_round() -> None:
    account = Account(single={name: entry(name) for name in names(5)})
    ended = await account.poll(*names(5), limit=3)
    assert ended == Polled(asked=3, told=3, learned=3, left=2)
    assert account.noted == names(3)


async def test_what_the_api_does_not_know_yet_is_no_error_and_was_asked_for() -> None:
    account = Account(single={"m-000": entry("m-000")})
    assert await account.poll(*names(2)) == Polled(asked=2, told=1, learned=1, unknown=1)
    assert account.noted == names(2)


async def test_an_answer_that_cannot_be_read_leaves_its_message_as_it_was() -> None:
    account = Account(
        single={name: entry(name) for name in names(3)},
        instead=lambda path: reply([]) if path.endswith("001") else None,
    )
    assert await account.poll(*names(3)) == Polled(asked=3, told=2, learned=2, unreadable=1)
    assert account.noted == names(3)  # else it would be asked for first for ever


async def test_answers_that_cannot_be_read_one_after_the_other_end_it() -> None:
    account = Account(instead=lambda _path: reply([]))
    ended = await account.poll(*names(FEW), concurrency=1)
    assert isinstance(ended.because, ContractBroken)
    assert (ended.asked, ended.left) == (5, FEW - 5)


ENDINGS: dict[str, tuple[Callable[[str], Reply | Lost | None], type[Exception]]] = {
    "a refused key": (lambda path: reply(None, status=401) if path.endswith("002") else None, AccountRefused),
    "an outage": (lambda path: reply(None, status=503) if path.endswith("002") else None, Unreachable),
    "no answer": (
        lambda path: (
            Lost(reason="x", started=Instant(wall_us=0), ended=Instant(wall_us=0)) if path.endswith("002") else None
        ),
        Unreachable,
    ),
}


@pytest.mark.parametrize(("instead", "kind"), ENDINGS.values(), ids=ENDINGS)
async def test_what_was_learned_before_the_end_is_kept(
    instead: Callable[[str], Reply | Lost | None], kind: type[Exception]
) -> None:
    account = Account(single={name: entry(name) for name in names(5)}, instead=instead)
    ended = await account.poll(*names(5), concurrency=1)
    assert isinstance(ended.because, kind)
    assert (ended.told, ended.left) == (2, 3)  # the one without an answer is open still
    assert account.noted == names(2)


async def test_a_full_disk_ends_it() -> None:
    account = Account(single={name: entry(name) for name in names(5)}, full=True)
    ended = await account.poll(*names(5), concurrency=1)
    assert isinstance(ended.because, StoreError)
    assert ended.asked == 1


# ---- the list ------------------------------------------------------------------------------------------------------


async def test_a_page_of_the_list_tells_of_a_hundred_at_once() -> None:
    account = Account(listed=[entry(name, at_s=20) for name in names(250)])
    ended = await account.poll(*names(250))
    assert ended == Polled(asked=3, told=250, learned=250)
    assert account.states() == dict.fromkeys(names(250), "DELIVERED")
    assert account.noted == names(250)


async def test_what_the_list_does_not_show_is_asked_for_by_id() -> None:
    account = Account(
        listed=[entry(name, at_s=20) for name in names(50)], single={name: entry(name, "SENT") for name in names(60)}
    )
    ended = await account.poll(*names(60))
    assert (ended.asked, ended.told) == (1 + 10, 60)
    assert account.states() == {name: "DELIVERED" if name < "m-050" else "SENT" for name in names(60)}


async def test_a_list_of_other_peoples_messages_is_left_after_some_pages() -> None:
    account = Account(
        listed=[entry(f"other-{n}", at_s=20) for n in range(2000)],
        single={name: entry(name) for name in names(MANY)},
    )
    ended = await account.poll(*names(MANY))
    assert (account.pages, ended.asked, ended.told) == (3, 3 + MANY, MANY)


async def test_a_list_is_not_read_beyond_the_run() -> None:
    mine = [entry(name, at_s=20) for name in names(150)]
    account = Account(listed=[*mine, *(entry(f"old-{n}", at_s=-9) for n in range(900))], single={"lost": entry("lost")})
    ended = await account.poll(*names(150), "lost", "gone")
    assert account.pages == 3  # the third has nothing but what is older
    assert (ended.told, ended.unknown) == (151, 1)


async def test_messages_after_the_run_are_leapt_over() -> None:
    later = [entry(f"new-{n}", at_s=100) for n in range(10_000)]
    account = Account(listed=[*later, *(entry(name, at_s=20) for name in names(300))])
    ended = await account.poll(*names(300))
    assert ended.told == 300
    assert account.pages < 25


LISTED: dict[str, tuple[dict[str, Any], bool]] = {
    "with its past": ({}, True),
    "a status alone": ({"events": ...}, True),
    "no status": ({"status": None, "events": ...}, False),
    "stopped without saying why": ({"status": "FAILED", "events": ...}, False),
    "stopped, and why": ({"status": "FAILED", "events": ..., "reason_code": "DELIVERY_003"}, True),
}


@pytest.mark.parametrize(("changes", "enough"), LISTED.values(), ids=LISTED)
async def test_an_entry_that_does_not_say_enough_is_asked_for_itself(*, changes: dict[str, Any], enough: bool) -> None:
    account = Account(
        listed=[*(entry(name, at_s=20) for name in names(MANY)[1:]), entry("m-000", **{"at_s": 20, **changes})],
        single={"m-000": entry("m-000", "READ")},
    )
    await account.poll(*names(MANY))
    assert ("messages/m-000" in account.asked) is not enough
    assert (account.states()["m-000"] == "READ") is not enough


async def test_a_list_that_this_api_does_not_have_costs_one_request() -> None:
    account = Account(
        single={name: entry(name) for name in names(MANY)},
        instead=lambda path: reply(None, status=404) if path == "conversations" else None,
    )
    ended = await account.poll(*names(MANY))
    assert (account.pages, ended.told, ended.because) == (1, MANY, None)


async def test_the_limit_counts_pages_too() -> None:
    account = Account(listed=[entry(name, at_s=20) for name in names(250)])
    ended = await account.poll(*names(250), limit=2)
    assert ended == Polled(asked=2, told=200, learned=200, left=50)


@pytest.mark.parametrize(
    ("hits", "left", "expected"),
    [
        pytest.param([], 50, True, id="the first page"),
        pytest.param([0, 0], 50, True, id="not yet"),
        pytest.param([0, 0, 0], 50, False, id="three in vain"),
        pytest.param([1, 1, 1], 50, False, id="no more than single look-ups would tell"),
        pytest.param([0, 0, 4], 50, True, id="one page made up for the others"),
        pytest.param([90, 90, 0, 0, 0], 50, False, id="it has dried up"),
        pytest.param([90], 1, False, id="the last one is a single look-up"),
    ],
)
def test_another_page_is_read_while_it_saves_requests(*, hits: list[int], left: int, expected: bool) -> None:
    assert pays(hits, left=left) is expected
