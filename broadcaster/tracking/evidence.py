"""The ladder of evidence as a pure decision: which message that the API shows explains which delivery in doubt.

A message proves a delivery when nothing else explains it: it went out to this number on this channel with this
template, inside the time in which the doubtful request may have been executed, and no journal of ours knows its id. The
other way round nothing is proved: that no message is seen does not mean that there is none.

Asks nobody and knows no clock.
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from broadcaster.api.history import Sighting
from broadcaster.core.values import Evidence
from broadcaster.core.words import Channel

EARLY_US = 120_000_000  # a message may seem older than its request: two clocks tell their times
SOURCE = "conversations"
_OUT = "OUTBOUND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A delivery of which nobody knows whether it was made.

    Its request may have been executed from ``since_us``, the start of the first attempt that may have been, to
    ``until_us``. ``to`` is E.164. Without any template it is a text message.
    """

    batch: int
    position: int
    channel: Channel
    to: str
    since_us: int
    until_us: int
    template_id: str | None = None
    template_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was seen: ``evidence`` by (batch, position, channel).

    ``surplus`` names messages, oldest first, that would explain a doubt that is explained already: that person may have
    been messaged twice. ``not_found`` are the doubts that nothing explains, which proves nothing; ``too_early`` those
    of which not even that can be said, since a message so new may not be shown yet.
    """

    evidence: tuple[Evidence, ...] = ()
    surplus: tuple[str, ...] = ()
    not_found: tuple[Doubt, ...] = ()
    too_early: tuple[Doubt, ...] = ()


def horizon(doubts: Collection[Doubt]) -> tuple[int, int]:
    """Return the newest and the oldest time at which a message may have been created that explains one of *doubts*.

    Raises:
        ValueError: there are none.
    """
    return max(each.until_us for each in doubts), min(each.since_us for each in doubts) - EARLY_US


def explains(sighting: Sighting, doubt: Doubt) -> bool:
    """Return whether *sighting* may be the message of *doubt*, as far as it tells; see :class:`Sighting` on ``whole``.

    Number, direction and time must be told. A channel or template that is not told is not held against it, unless it is
    known that there is none.
    """
    return (
        sighting.direction == _OUT
        and sighting.phone == doubt.to
        and sighting.created_us is not None
        and doubt.since_us - EARLY_US <= sighting.created_us <= doubt.until_us
        and _same_channel(sighting, doubt.channel)
        and _same_template(sighting, doubt)
    )


def suffices(sighting: Sighting, doubt: Doubt) -> bool:
    """Return whether *sighting* tells all that is to be compared with *doubt*."""
    channel = doubt.channel is Channel.AUTO or sighting.channel is not None
    if doubt.template_id is None and doubt.template_name is None:
        return channel and sighting.whole
    by_id = doubt.template_id is not None and sighting.template_id is not None
    by_name = doubt.template_name is not None and sighting.template_name is not None
    return channel and (by_id or by_name)


def match(doubts: Iterable[Doubt], sightings: Iterable[Sighting], *, known_ids: Container[str]) -> Found:
    """Give every doubt at most one message and every message to at most one doubt; the order of both does not matter.

    As many doubts as possible are explained, by the earliest messages; several doubts about the same number in the
    order of their time.

    Args:
        doubts: no two of the same (batch, position, channel).
        sightings: the same message may occur more than once.
        known_ids: every message id that a journal of ours knows: those messages explain nothing.
    """
    of_number: dict[str, list[Doubt]] = defaultdict(list)
    for doubt in sorted(doubts, key=_by_time):
        of_number[doubt.to].append(doubt)
    seen: dict[str, Sighting] = {}
    for sighting in sorted(sightings, key=lambda each: (each.created_us or 0, each.message_id, repr(each))):
        near = of_number.get(sighting.phone or "", ())
        if any(explains(sighting, doubt) for doubt in near) and sighting.message_id not in known_ids:
            seen.setdefault(sighting.message_id, sighting)
    holders: dict[Doubt, Sighting] = {}
    surplus = [each.message_id for each in seen.values() if not _place(each, of_number, holders, tried=set())]
    return Found(
        evidence=tuple(_evidence(doubt, holders[doubt]) for doubt in sorted(holders, key=_by_place)),
        surplus=tuple(surplus),
        not_found=tuple(
            sorted((each for near in of_number.values() for each in near if each not in holders), key=_by_place)
        ),
    )


def _place(
    sighting: Sighting, of_number: Mapping[str, Sequence[Doubt]], holders: dict[Doubt, Sighting], *, tried: set[Doubt]
) -> bool:
    """Give *sighting* to a doubt, the oldest first; if all are taken, see whether one of their messages can move."""
    fitting = [each for each in of_number[sighting.phone or ""] if explains(sighting, each)]
    for doubt in sorted(fitting, key=holders.__contains__):  # the free ones first: nothing moves without need
        if doubt in tried:
            continue
        tried.add(doubt)
        if doubt not in holders or _place(holders[doubt], of_number, holders, tried=tried):
            holders[doubt] = sighting
            return True
    return False


def _same_channel(sighting: Sighting, asked: Channel) -> bool:
    if asked is Channel.AUTO:
        return True
    return not sighting.whole if sighting.channel is None else sighting.channel == asked


def _same_template(sighting: Sighting, doubt: Doubt) -> bool:
    """Compare ids, else names; where one side has only an id and the other only a name, nothing is to be compared."""
    told = sighting.template_id is not None or sighting.template_name is not None
    if doubt.template_id is None and doubt.template_name is None:
        return not told
    if sighting.template_id is not None and doubt.template_id is not None:
        return sighting.template_id.lower() == doubt.template_id.lower()
    if sighting.template_name is not None and doubt.template_name is not None:
        return sighting.template_name == doubt.template_name
    return told or not sighting.whole


def _evidence(doubt: Doubt, sighting: Sighting) -> Evidence:
    return Evidence(
        batch=doubt.batch,
        position=doubt.position,
        channel=doubt.channel,
        message_id=sighting.message_id,
        source=SOURCE,
    )


def _by_time(doubt: Doubt) -> tuple[int, int, int, int, str]:
    return doubt.since_us, doubt.until_us, *_by_place(doubt)


def _by_place(doubt: Doubt) -> tuple[int, int, str]:
    return doubt.batch, doubt.position, doubt.channel
