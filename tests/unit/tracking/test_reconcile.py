"""The list is read back to the oldest doubt, however long it is and however it moves meanwhile."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fiction import numbers
from support.simulator import Simulator

from broadcaster.api.client import Client
from broadcaster.clock import SystemClock, wall_us
from broadcaster.core.values import Evidence, Instant, Lost, Reply, Request, Unsent
from broadcaster.core.words import Channel
from broadcaster.errors import ContractBroken, Unreachable
from broadcaster.tracking.evidence import Doubt, Found
from broadcaster.tracking.reconcile import Looked, look_up

SECOND = 1_000_000
MINUTE = 60 * SECOND
NOON = 1_796_126_400_000_000
ANN, BOB = "+14155550100", "+14155550101"
DOUBT = Doubt(
    batch=0, position=0, channel=Channel.SMS, to=ANN, since_us=NOON, until_us=NOON + MINUTE, template_id="t-1"
)
NOBODY: frozenset[str] = frozenset()


def nobody(told: object) -> None:
    """Hear of it and do nothing."""
    del told


def entry(name: str, at_s: float, *, to: str = BOB, **more: object) -> dict[str, object]:
    """Return a message, *at_s* seconds after noon."""
    whole: dict[str, object] = {
        "id": name, "phone": to, "channel": "sms", "direction": "OUTBOUND", "status": "SENT", "template_id": "t-1",
        "template_name": None, "created_at": NOON // SECOND + at_s, **more,
    }  # fmt: skip
    return {key: value for key, value in whole.items() if value is not ...}


def traffic(count: int, *, newest_s: float, every_s: float = 1.0) -> list[dict[str, object]]:
    """Return so many messages to others, newest first."""
    return [entry(f"n{newest_s - n * every_s}", newest_s - n * every_s) for n in range(count)]


@dataclass
class Account:
    """An API with these messages, newest first. ``before`` is called with the page about to be shown."""

    messages: list[dict[str, object]]
    asked: list[str] = field(default_factory=list)
    single: dict[str, dict[str, object]] = field(default_factory=dict)
    counts: bool = True
    now_us: int = NOON + 60 * MINUTE
    before: Callable[[int], None] = nobody
    heard: list[Looked] = field(default_factory=list)

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        address = urlsplit(request.path)
        self.asked.append(address.path.removeprefix("/v3/"))
        if address.path != "/v3/conversations":
            found = self.single.get(address.path.removeprefix("/v3/messages/"))
            return self._reply(found, status=404 if found is None else 200)
        query = parse_qs(address.query)
        page, size = int(query["page"][0]), int(query["page_size"][0])
        self.asked[-1] += f" {page}"
        self.before(page)
        pages = -(-len(self.messages) // size)
        assert page <= max(pages, 1), "a page that does not exist was asked for"
        data: dict[str, object] = {"messages": self.messages[(page - 1) * size : page * size]}
        if self.counts:
            data["pagination"] = {"total_pages": pages, "has_more": page < pages}
        else:
            data["pagination"] = {"has_more": page < pages}
        return self._reply(data, status=200)

    async def look_up(self, *doubts: Doubt, known: frozenset[str] = NOBODY, page_size: int = 3) -> Found:
        return await look_up(doubts, ask=self, known_ids=known, page_size=page_size, observe=self.heard.append)

    def _reply(self, data: object, *, status: int) -> Reply:
        now = Instant(wall_us=self.now_us)
        return Reply(
            status=status,
            headers={},
            body=json.dumps({"success": status == 200, "data": data}).encode(),
            started=now,
            ended=replace(now, wall_us=now.wall_us + MINUTE),
        )


def ids(found: Found) -> list[str]:
    return [each.message_id for each in found.evidence]


async def test_nothing_in_doubt_asks_nothing() -> None:
    account = Account([])

    assert await account.look_up() == Found()
    assert account.asked == []


async def test_a_message_on_a_later_page_is_evidence_and_older_pages_are_not_read() -> None:
    messages = [*traffic(3, newest_s=40), entry("m", 10, to=ANN), *traffic(60, newest_s=9, every_s=10)]
    account = Account(messages)

    found = await account.look_up(DOUBT)

    assert found == Found(
        evidence=(Evidence(batch=0, position=0, channel=Channel.SMS, message_id="m", source="conversations"),)
    )
    # The fifth page goes back to -101 s, and an own clock may differ by two minutes: the seventh is wholly too old.
    assert account.asked == [f"conversations {page}" for page in range(1, 8)]


async def test_a_list_that_ends_is_read_to_its_end() -> None:
    account = Account(traffic(5, newest_s=20))

    assert await account.look_up(DOUBT) == Found(not_found=(DOUBT,))
    assert account.asked == ["conversations 1", "conversations 2"]


async def test_an_empty_list_shows_nothing() -> None:
    assert await Account([]).look_up(DOUBT) == Found(not_found=(DOUBT,))


async def test_whoever_watches_hears_of_every_page() -> None:
    account = Account(traffic(5, newest_s=20))

    await account.look_up(DOUBT)

    assert account.heard == [
        Looked(pages=1, reached_us=NOON + 18 * SECOND),
        Looked(pages=2, reached_us=NOON + 16 * SECOND),
    ]


async def test_messages_that_come_in_meanwhile_hide_nothing_and_double_nothing() -> None:
    account = Account([*traffic(4, newest_s=50), *(entry(f"m{n}", 40 - n, to=ANN) for n in range(4))])
    account.before = lambda page: account.messages.__setitem__(slice(0, 0), traffic(2, newest_s=60 + page))

    found = await account.look_up(DOUBT)

    assert ids(found) == ["m3"]
    assert found.surplus == ("m2", "m1", "m0")


async def test_a_known_message_is_no_evidence_and_is_not_looked_up() -> None:
    account = Account([entry("m", 10, to=ANN, channel=...)])

    assert await account.look_up(DOUBT, known=frozenset({"m"})) == Found(not_found=(DOUBT,))
    assert account.asked == ["conversations 1"]


# ---- what the list leaves out ---------------------------------------------------------------------------------------

TEXT = replace(DOUBT, template_id=None)
NAMED = replace(DOUBT, template_id=None, template_name="spring")
AUTO = replace(DOUBT, channel=Channel.AUTO)


@pytest.mark.parametrize(
    ("doubt", "listed", "single", "looked_up", "proved"),
    [
        pytest.param(DOUBT, {}, None, False, True, id="all is told"),
        pytest.param(DOUBT, {"template_name": ...}, None, False, True, id="the id is enough"),
        pytest.param(AUTO, {"channel": None}, None, False, True, id="the api picks and has not picked yet"),
        pytest.param(DOUBT, {"channel": ...}, {}, True, True, id="the list tells no channel"),
        pytest.param(DOUBT, {"channel": None}, {}, True, True, id="the list has null for a channel"),
        pytest.param(DOUBT, {"channel": ...}, {"channel": "rcs"}, True, False, id="the channel is another"),
        pytest.param(DOUBT, {"channel": None}, {"channel": None}, True, False, id="no channel was picked yet"),
        pytest.param(DOUBT, {"template_id": ...}, {}, True, True, id="the list tells no template"),
        pytest.param(DOUBT, {"template_id": None}, {}, True, True, id="the list has null for a template"),
        pytest.param(DOUBT, {"template_id": ...}, {"template_id": "t-2"}, True, False, id="the template is another"),
        pytest.param(DOUBT, {"template_id": ...}, {"template_id": None}, True, False, id="it is a text"),
        pytest.param(DOUBT, {"template_id": ...}, None, True, False, id="the api does not know its id"),
        pytest.param(DOUBT, {"template_id": "t-2"}, None, False, False, id="the list tells another template"),
        pytest.param(DOUBT, {"to": BOB, "channel": ...}, {}, False, False, id="somebody else's"),
        pytest.param(TEXT, {"template_id": None}, None, False, True, id="a text"),
        pytest.param(TEXT, {"template_id": ...}, {"template_id": None}, True, True, id="a text, or nothing is told"),
        pytest.param(TEXT, {"template_id": ...}, {}, True, False, id="not a text after all"),
        pytest.param(NAMED, {}, {"template_name": "spring"}, True, True, id="the name is only told by itself"),
        pytest.param(NAMED, {}, {"template_name": "autumn"}, True, False, id="the name is another"),
        pytest.param(DOUBT, {"channel": ...}, {"phone": None, "direction": None, "created_at": None}, True, True,
                     id="what only the list tells counts too"),
    ],
)  # fmt: skip
async def test_what_the_list_leaves_out_is_asked_of_the_message_itself(
    doubt: Doubt,
    listed: dict[str, object],
    single: dict[str, object] | None,
    looked_up: bool,  # noqa: FBT001 - a table's column
    proved: bool,  # noqa: FBT001 - a table's column
) -> None:
    account = Account([entry("m", 10, **{"to": ANN, **listed})])  # type: ignore[arg-type]  # a table of fields
    if single is not None:
        account.single["m"] = {**entry("m", 10, to=ANN), **single}

    found = await account.look_up(doubt)

    assert ids(found) == (["m"] if proved else [])
    assert found.not_found == (() if proved else (doubt,))
    assert account.asked == ["conversations 1", *(["messages/m"] if looked_up else [])]


# ---- settling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "early"),
    [
        pytest.param(59.9, True, id="not a minute old"),
        pytest.param(60.0, False, id="a minute old"),
        pytest.param(-5.0, True, id="from the future: the clock was set back"),
    ],
)
async def test_of_a_doubt_that_is_too_new_not_even_absence_is_said(age_s: float, early: bool) -> None:  # noqa: FBT001 - a table's column
    account = Account([], now_us=NOON + round(age_s * SECOND))

    found = await account.look_up(DOUBT)

    assert (found.too_early, found.not_found) == (((DOUBT,), ()) if early else ((), (DOUBT,)))


async def test_presence_proves_however_new_the_doubt_is() -> None:
    account = Account([entry("m", 1, to=ANN)], now_us=NOON + 2 * SECOND)

    found = await account.look_up(DOUBT)

    assert (ids(found), found.too_early, found.not_found) == (["m"], (), ())


# ---- long lists -----------------------------------------------------------------------------------------------------


async def test_messages_that_are_much_newer_are_leapt_over() -> None:
    account = Account([*traffic(3000, newest_s=4000), entry("m", 10, to=ANN), *traffic(30, newest_s=-200)])

    assert ids(await account.look_up(DOUBT)) == ["m"]
    assert len(account.asked) < 60
    assert len(account.heard) == len(account.asked)


@pytest.mark.parametrize("page_size", [1, 2, 3])
async def test_a_leap_never_goes_too_far(page_size: int) -> None:
    for newer in range(40):
        account = Account([*traffic(newer, newest_s=1000), entry("m", 10, to=ANN), *traffic(9, newest_s=-200)])

        assert ids(await account.look_up(DOUBT, page_size=page_size)) == ["m"], newer


async def test_without_a_count_of_pages_every_page_is_read() -> None:
    account = Account([*traffic(30, newest_s=400), entry("m", 10, to=ANN), *traffic(3, newest_s=-200)], counts=False)

    assert ids(await account.look_up(DOUBT)) == ["m"]
    assert account.asked == [f"conversations {page}" for page in range(1, 13)]


async def test_a_list_that_is_newer_as_a_whole_shows_nothing() -> None:
    for count in (1, 3, 4, 30):
        assert await Account(traffic(count, newest_s=4000)).look_up(DOUBT) == Found(not_found=(DOUBT,))


@given(
    newer=st.integers(0, 60),
    older=st.integers(0, 20),
    size=st.integers(1, 7),
    pushed=st.integers(0, 6),
    at_s=st.lists(st.integers(-200, 100), max_size=12),
)
async def test_leaping_finds_what_reading_everything_finds(
    newer: int, older: int, size: int, pushed: int, at_s: list[int]
) -> None:
    near = [entry(f"m{n}", second, to=ANN) for n, second in enumerate(sorted(at_s, reverse=True))]
    messages = [*traffic(newer, newest_s=1000), *near, *traffic(older, newest_s=-201)]
    read = Account(list(messages), counts=False)
    leapt = Account(list(messages))
    # A page more than is pushed must fit, or nobody could ever read the list.
    leapt.before = lambda page: leapt.messages.__setitem__(
        slice(0, 0), traffic(min(pushed, size - 1), newest_s=2000 + page)
    )

    assert await leapt.look_up(DOUBT, page_size=size) == await read.look_up(DOUBT, page_size=size)


async def test_a_list_that_repeats_itself_is_left() -> None:
    account = Account(traffic(300, newest_s=50, every_s=0.1))
    page_one = account.messages[:3]
    account.before = lambda page: account.messages.__setitem__(slice((page - 1) * 3, page * 3), page_one)

    with pytest.raises(ContractBroken, match="does not go on: 20 pages"):
        await account.look_up(DOUBT)
    assert len(account.asked) == 21


async def test_a_list_that_is_pushed_on_faster_than_it_is_read_is_left() -> None:
    account = Account(traffic(300, newest_s=50, every_s=0.1))
    account.before = lambda page: account.messages.__setitem__(
        slice(0, 0), [entry(f"p{page}-{n}", 50 + page, to=BOB) for n in range(4)]
    )

    with pytest.raises(ContractBroken, match="does not go on"):
        await account.look_up(DOUBT)


async def test_messages_without_a_time_do_not_end_a_search() -> None:
    timeless = [entry(f"x{n}", 0, created_at=None) for n in range(9)]

    assert ids(await Account([*timeless, entry("m", 10, to=ANN)]).look_up(DOUBT)) == ["m"]


async def test_a_single_time_that_is_far_off_does_not_end_a_search() -> None:
    odd = entry("odd", 0, created_at="0001-01-01T00:00:00")
    messages = [*traffic(2, newest_s=50), odd, *traffic(90, newest_s=48, every_s=0.1), entry("m", 10, to=ANN)]

    assert ids(await Account(messages).look_up(DOUBT)) == ["m"]


async def test_an_api_that_falls_silent_ends_the_search() -> None:
    async def ask(request: Request) -> Lost:
        del request
        return Lost(reason="timeout", started=Instant(wall_us=0), ended=Instant(wall_us=0))

    with pytest.raises(Unreachable):
        await look_up([DOUBT], ask=ask, known_ids=NOBODY, observe=nobody)


# ---- the real thing -------------------------------------------------------------------------------------------------

ORDER = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"
PEOPLE = numbers(250)


def post(to: Sequence[str], channels: Sequence[str], **content: object) -> Request:
    template = {"id": ORDER, "parameters": {"name": "Ann", "order_id": "7"}}
    body = {"to": list(to), **({"channel": list(channels)} if channels else {}), **(content or {"template": template})}
    return Request(method="POST", path="/v3/messages", body=json.dumps(body).encode(), messages=len(to))


def doubts_of(batch: int, to: Sequence[str], channels: Sequence[Channel], since_us: int) -> list[Doubt]:
    return [
        Doubt(batch=batch, position=position, channel=channel, to=number, since_us=since_us,
              until_us=since_us + MINUTE, template_id=ORDER)
        for position, number in enumerate(to)
        for channel in channels
    ]  # fmt: skip


def open_client(sim: Simulator) -> Client:
    return Client(
        base_url=sim.url, credentials={"x-api-key": sim.key}, timeout_s=30, connections=1, clock=SystemClock()
    )


async def test_messages_whose_answer_was_lost_are_found_at_the_api() -> None:
    """Three sends of 200 go out; the answers to two of them are lost, of which one was never executed."""
    faults = [
        {"on": "POST /v3/messages", "nth": 2, "do": "drop_after_accept"},
        {"on": "POST /v3/messages", "nth": 3, "do": "drop_before"},
    ]
    channels = (Channel.SMS, Channel.WHATSAPP)
    with Simulator(faults=faults) as sim:
        async with open_client(sim) as client:
            since_us = wall_us()
            results = [
                await client(post(PEOPLE[:100], channels)),  # the same people, told before
                await client(post(PEOPLE[:100], channels)),
                await client(post(PEOPLE[100:200], channels)),
                await client(post(PEOPLE[200:], ["sms"])),
            ]
            doubts = [
                *doubts_of(1, PEOPLE[:100], channels, since_us),
                *doubts_of(2, PEOPLE[100:200], channels, since_us),
            ]
            made = sim.messages()
            known = {each["message_id"] for each in (*made[:200], *made[400:])}
            heard: list[Looked] = []

            found = await look_up(doubts, ask=client, known_ids=known, observe=heard.append)

        assert [type(each) for each in results] == [Reply, Lost, Lost, Reply]
        lost = made[200:400]
        assert [(each.batch, PEOPLE[each.position], str(each.channel), each.message_id) for each in found.evidence] == [
            (1, each["recipient"], each["channel"], each["message_id"]) for each in lost
        ]
        assert found.surplus == ()
        assert found.not_found == ()
        assert set(found.too_early) == {each for each in doubts if each.batch == 2}
        assert [each.pages for each in heard] == [1, 2, 3, 4, 5]  # 450 messages, 100 at a time, none looked up alone


async def test_a_person_who_was_messaged_twice_is_told_of() -> None:
    faults = [{"on": "POST /v3/messages", "do": "drop_after_accept", "times": 2}]
    with Simulator(faults=faults) as sim:
        async with open_client(sim) as client:
            since_us = wall_us()
            for _ in range(2):  # without a key: what a sender must never do
                assert isinstance(await client(post([ANN], ["sms"])), Lost)
            found = await look_up(
                doubts_of(0, [ANN], [Channel.SMS], since_us), ask=client, known_ids=NOBODY, observe=nobody
            )
        first, second = (each["message_id"] for each in sim.messages())
        assert (ids(found), found.surplus) == ([first], (second,))


@pytest.mark.parametrize("auto_channel", ["null", "sent"])
async def test_a_message_whose_channel_the_api_picks_is_found(auto_channel: str) -> None:
    with Simulator(faults=[{"do": "drop_after_accept", "times": 1}], auto_channel=auto_channel) as sim:
        async with open_client(sim) as client:
            since_us = wall_us()
            assert isinstance(await client(post([ANN], [])), Lost)
            doubts = doubts_of(0, [ANN], [Channel.AUTO], since_us)
            found = await look_up(doubts, ask=client, known_ids=NOBODY, observe=nobody)
        assert ids(found) == [each["message_id"] for each in sim.messages()]


async def test_a_text_is_found_and_is_not_taken_for_a_template() -> None:
    with Simulator(faults=[{"do": "drop_after_accept", "times": 1}], text_gate="off") as sim:
        async with open_client(sim) as client:
            since_us = wall_us()
            assert isinstance(await client(post([ANN], ["sms"], text="Hello")), Lost)
            (doubt,) = doubts_of(0, [ANN], [Channel.SMS], since_us)
            told = [
                await look_up([each], ask=client, known_ids=NOBODY, observe=nobody)
                for each in (replace(doubt, template_id=None), doubt)
            ]
        assert [len(each.evidence) for each in told] == [1, 0]
        assert len(sim.messages()) == 1
