"""Which message explains which doubt, and that nothing else does."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.api.history import Sighting
from broadcaster.core.values import Evidence
from broadcaster.core.words import Channel
from broadcaster.tracking.evidence import EARLY_US, Doubt, Found, explains, horizon, match, suffices

SECOND = 1_000_000
NOON = 1_796_126_400_000_000
HOUR = 3600 * SECOND
ANN, BOB = "+14155550100", "+14155550101"
DOUBT = Doubt(
    batch=3, position=7, channel=Channel.SMS, to=ANN, since_us=NOON, until_us=NOON + HOUR, template_id="t-1",
    template_name="spring",
)  # fmt: skip
SEEN = Sighting(
    message_id="m-1", phone=ANN, channel="sms", direction="OUTBOUND", status="SENT", template_id="t-1",
    template_name="spring", created_us=NOON + SECOND, whole=True,
)  # fmt: skip
NOBODY: frozenset[str] = frozenset()


def found(doubts: Sequence[Doubt], *sightings: Sighting, known: frozenset[str] = NOBODY) -> Found:
    return match(doubts, sightings, known_ids=known)


def pairs(result: Found) -> list[tuple[int, str]]:
    return [(each.batch, each.message_id) for each in result.evidence]


def test_a_message_that_fits_is_evidence() -> None:
    assert found([DOUBT], SEEN) == Found(
        evidence=(Evidence(batch=3, position=7, channel=Channel.SMS, message_id="m-1", source="conversations"),)
    )


def test_a_doubt_without_any_message_is_not_found_and_nothing_more() -> None:
    assert found([DOUBT]) == Found(not_found=(DOUBT,))


def test_a_message_that_a_journal_knows_explains_nothing() -> None:
    assert found([DOUBT], SEEN, known=frozenset({"m-1"})) == Found(not_found=(DOUBT,))


AUTO = {"channel": Channel.AUTO}
TEXT = {"template_id": None, "template_name": None}
BY_ID, BY_NAME = {"template_name": None}, {"template_id": None}
VAGUE = {"whole": False}


@pytest.mark.parametrize(
    ("doubt", "sighting", "expected"),
    [
        pytest.param({}, {}, True, id="all is the same"),
        pytest.param({}, {"phone": BOB}, False, id="somebody else"),
        pytest.param({}, {"phone": None}, False, id="nobody knows who"),
        pytest.param({}, {"direction": "INBOUND"}, False, id="an answer of theirs"),
        pytest.param({}, {"direction": None, **VAGUE}, False, id="nobody knows which way"),
        pytest.param({}, {"created_us": NOON - EARLY_US}, True, id="two minutes before, by another clock"),
        pytest.param({}, {"created_us": NOON - EARLY_US - 1}, False, id="earlier than two minutes before"),
        pytest.param({}, {"created_us": NOON + HOUR}, True, id="at the last moment"),
        pytest.param({}, {"created_us": NOON + HOUR + 1}, False, id="too late"),
        pytest.param({}, {"created_us": None, **VAGUE}, False, id="nobody knows when"),
        pytest.param({}, {"channel": "whatsapp"}, False, id="another channel"),
        pytest.param({}, {"channel": "auto"}, False, id="a channel that the api picks was not asked for"),
        pytest.param({}, {"channel": None, **VAGUE}, True, id="no channel told"),
        pytest.param({}, {"channel": None}, False, id="known to have no channel yet: the api picks"),
        pytest.param(AUTO, {"channel": "rcs"}, True, id="any channel when the api picks"),
        pytest.param(AUTO, {"channel": None}, True, id="no channel yet when the api picks"),
        pytest.param({}, {"template_id": "T-1"}, True, id="the same id in another case"),
        pytest.param({}, {"template_id": "t-2"}, False, id="another template of that name: the id decides"),
        pytest.param(BY_ID, {"template_id": "t-2"}, False, id="another template, by id"),
        pytest.param(BY_NAME, {}, True, id="asked for by name"),
        pytest.param(BY_NAME, {"template_name": "autumn"}, False, id="another template, by name"),
        pytest.param({}, {"template_id": None}, True, id="only the name told"),
        pytest.param({}, {"template_id": None, "template_name": "autumn"}, False, id="only another name told"),
        pytest.param(BY_ID, {"template_id": None}, True, id="an id and a name do not compare"),
        pytest.param({}, {**TEXT, **VAGUE}, True, id="no template told"),
        pytest.param({}, TEXT, False, id="known to be a text"),
        pytest.param(TEXT, TEXT, True, id="a text"),
        pytest.param(TEXT, {**TEXT, **VAGUE}, True, id="a text, as far as is told"),
        pytest.param(TEXT, {}, False, id="a template instead of a text"),
        pytest.param(TEXT, {"template_id": None}, False, id="a named template instead of a text"),
    ],
)
def test_what_a_message_explains(doubt: dict[str, object], sighting: dict[str, object], expected: bool) -> None:  # noqa: FBT001 - a table's column
    ours, theirs = replace(DOUBT, **doubt), replace(SEEN, **sighting)  # type: ignore[arg-type]  # a table of fields

    assert explains(theirs, ours) is expected
    assert pairs(found([ours], theirs)) == ([(3, "m-1")] if expected else [])
    assert found([ours], theirs).surplus == ()


@pytest.mark.parametrize(
    ("doubt", "sighting", "expected"),
    [
        pytest.param({}, {}, True, id="all is told"),
        pytest.param({}, VAGUE, True, id="all that is compared is told"),
        pytest.param({}, {"channel": None}, False, id="no channel"),
        pytest.param(AUTO, {"channel": None}, True, id="no channel is needed"),
        pytest.param({}, TEXT, False, id="no template"),
        pytest.param({}, {"template_id": None}, True, id="the name is enough"),
        pytest.param(BY_ID, {"template_id": None}, False, id="the id is needed"),
        pytest.param(BY_NAME, {"template_name": None}, False, id="the name is needed"),
        pytest.param(TEXT, TEXT, True, id="a text, and it is said that there is no template"),
        pytest.param(TEXT, {**TEXT, **VAGUE}, False, id="a text, or a template that is not told"),
    ],
)
def test_what_has_to_be_told(doubt: dict[str, object], sighting: dict[str, object], expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert suffices(replace(SEEN, **sighting), replace(DOUBT, **doubt)) is expected  # type: ignore[arg-type]  # a table of fields


def test_the_earliest_of_several_messages_is_the_evidence_and_the_others_are_told_loudly() -> None:
    late, later = (replace(SEEN, message_id=name, created_us=NOON + n * SECOND) for n, name in ((5, "b"), (9, "a")))

    result = found([DOUBT], later, SEEN, late)

    assert pairs(result) == [(3, "m-1")]
    assert result.surplus == ("b", "a")


def test_a_known_message_is_no_surplus() -> None:
    result = found([DOUBT], SEEN, replace(SEEN, message_id="m-2"), known=frozenset({"m-2"}))

    assert (pairs(result), result.surplus) == ([(3, "m-1")], ())


def test_a_message_that_is_seen_twice_is_one_message() -> None:
    result = found([DOUBT], SEEN, replace(SEEN, status="DELIVERED"))

    assert (pairs(result), result.surplus) == ([(3, "m-1")], ())


def test_a_message_that_is_seen_in_two_forms_is_judged_the_same_in_any_order() -> None:
    rcs = replace(SEEN, channel="rcs")
    doubts = [DOUBT, replace(DOUBT, channel=Channel.RCS)]

    assert found(doubts, SEEN, rcs) == found(doubts, rcs, SEEN)


def test_batches_that_doubt_the_same_number_get_its_messages_in_the_order_of_time() -> None:
    resent = replace(DOUBT, batch=1, since_us=NOON + 60 * SECOND)
    second = replace(SEEN, message_id="m-0", created_us=NOON + 70 * SECOND)

    assert pairs(found([resent, DOUBT], second, SEEN)) == [(1, "m-0"), (3, "m-1")]


def test_a_single_message_belongs_to_the_earlier_of_two_batches() -> None:
    resent = replace(DOUBT, batch=1, since_us=NOON + 60 * SECOND)
    between = replace(SEEN, created_us=NOON + 70 * SECOND)

    assert found([resent, DOUBT], between).not_found == (resent,)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_as_many_doubts_as_possible_are_explained(order: tuple[int, int]) -> None:
    """The earlier message fits both doubts, the later one only the older doubt, whose window is longer."""
    short = replace(DOUBT, batch=4, since_us=NOON + 1, until_us=NOON + 2 * SECOND)
    late = replace(SEEN, message_id="m-2", created_us=NOON + 60 * SECOND)
    doubts = [(DOUBT, short)[at] for at in order]

    assert pairs(found(doubts, SEEN, late)) == [(3, "m-2"), (4, "m-1")]


def test_channels_of_one_person_are_told_apart() -> None:
    whatsapp = replace(DOUBT, channel=Channel.WHATSAPP)

    result = found([whatsapp, DOUBT], SEEN, replace(SEEN, message_id="m-2", channel="whatsapp"))

    assert [(each.channel, each.message_id) for each in result.evidence] == [("sms", "m-1"), ("whatsapp", "m-2")]


def test_a_search_goes_from_the_latest_end_to_two_minutes_before_the_earliest_start() -> None:
    other = replace(DOUBT, since_us=NOON - HOUR, until_us=NOON)

    assert horizon([DOUBT, other]) == (NOON + HOUR, NOON - HOUR - 120 * SECOND)


def test_nothing_in_doubt_has_no_horizon() -> None:
    with pytest.raises(ValueError, match="empty"):
        horizon([])


# ---- whatever is seen -----------------------------------------------------------------------------------------------

MOMENTS = st.integers(0, 12).map(lambda n: NOON + n * 60 * SECOND)
TEMPLATES = st.sampled_from(["t-1", "t-2", None])
DOUBTS = st.lists(
    st.builds(
        lambda since, lasts, **more: Doubt(since_us=since, until_us=since + lasts * 60 * SECOND, **more),
        MOMENTS,
        st.integers(0, 5),
        batch=st.integers(-1, 3),
        position=st.integers(0, 1),
        channel=st.sampled_from([Channel.SMS, Channel.RCS, Channel.AUTO]),
        to=st.sampled_from([ANN, BOB]),
        template_id=TEMPLATES,
        template_name=st.none(),
    ),
    max_size=6,
    unique_by=lambda each: (each.batch, each.position, each.channel),
)
ENTRIES = st.builds(
    Sighting,
    message_id=st.sampled_from("abcdefgh"),
    phone=st.sampled_from([ANN, BOB, None]),
    channel=st.sampled_from(["sms", "rcs", None]),
    direction=st.sampled_from(["OUTBOUND", "OUTBOUND", "INBOUND", None]),
    template_id=TEMPLATES,
    created_us=st.one_of(MOMENTS, st.none()),
    whole=st.booleans(),
)
SIGHTINGS = st.lists(ENTRIES, max_size=8)
KNOWN = st.frozensets(st.sampled_from("abcdefgh"), max_size=3)


@given(doubts=DOUBTS, sightings=SIGHTINGS, known=KNOWN)
def test_what_is_evidence_explains_its_doubt_and_nothing_else(
    doubts: list[Doubt], sightings: list[Sighting], known: frozenset[str]
) -> None:
    result = match(doubts, sightings, known_ids=known)
    by_place = {(each.batch, each.position, each.channel): each for each in doubts}
    used = [each.message_id for each in result.evidence]
    explained = [by_place[each.batch, each.position, each.channel] for each in result.evidence]

    for doubt, message_id in zip(explained, used, strict=True):
        fitting = [each for each in sightings if each.message_id == message_id and explains(each, doubt)]
        assert fitting, "evidence that nobody saw"
        assert all(
            doubt.since_us - EARLY_US <= each.created_us <= doubt.until_us for each in fitting if each.created_us
        )
    assert len(set(used)) == len(used), "a message used twice"
    assert len(set(explained)) == len(explained), "a doubt explained twice"
    assert not {*used, *result.surplus} & known
    assert not set(used) & set(result.surplus)
    assert len(set(result.surplus)) == len(result.surplus)
    assert sorted([*explained, *result.not_found], key=repr) == sorted(doubts, key=repr), "a doubt lost"


@given(doubts=DOUBTS, sightings=SIGHTINGS, known=KNOWN, data=st.data())
def test_the_order_in_which_things_are_seen_does_not_matter(
    doubts: list[Doubt], sightings: list[Sighting], known: frozenset[str], data: st.DataObject
) -> None:
    shuffled = match(
        data.draw(st.permutations(doubts)), [*data.draw(st.permutations(sightings)), *sightings], known_ids=known
    )

    assert shuffled == match(doubts, sightings, known_ids=known)


@given(doubts=DOUBTS, sightings=st.lists(ENTRIES, max_size=5, unique_by=lambda each: each.message_id))
def test_no_assignment_explains_more_doubts(doubts: list[Doubt], sightings: list[Sighting]) -> None:
    result = match(doubts, sightings, known_ids=NOBODY)

    assert len(result.evidence) == most(doubts, sightings)
    matching = [each for each in sightings if any(explains(each, doubt) for doubt in doubts)]
    assert len(result.evidence) + len(result.surplus) == len(matching)


def most(doubts: Sequence[Doubt], sightings: Sequence[Sighting]) -> int:
    """Return how many doubts can be explained at once, by trying everything."""
    if not sightings:
        return 0
    first, *others = sightings
    with_it = (
        1 + most([*doubts[:at], *doubts[at + 1 :]], others) for at, doubt in enumerate(doubts) if explains(first, doubt)
    )
    return max([most(doubts, others), *with_it])
