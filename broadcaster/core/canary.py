"""What the first few messages tell of the rest: wait, go on, or stop.

Theory of operation. An accepted request is no delivered message. So a few people are messaged first, and what becomes
of their messages decides. A message does **well** when it was handed over to the operator or better (``SENT``,
``DELIVERED``, ``READ``): many operators never tell more. It does **badly** when the API refuses it, or it is
``BLOCKED``, ``FAILED``, ``FILTERED`` or ``CANCELLED``. A ``FAILED`` where the API picks the channel is **shaky** for
half a minute: another route may be tried under the same id. Everything else is **open**, also what waits for quiet
hours to end.

The canary fails

* when at least two do badly, and more than ``safety.halt_share`` of all (:func:`too_many`): a count fit for a few
  messages, so that one dead number among ten stops nobody;
* when everything that is known is bad, be it one;
* when, as the wait is over, fewer than half are known to do well: nobody goes on without knowing.

What fails for good is enough to stop before the wait is over; nothing else is judged before all is known or the wait
is over.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto

from broadcaster.core.receipts import ARRIVED, NOT_ARRIVED, DeliveryState
from broadcaster.core.remedy import cause_of, mend

WELL = ARRIVED | {"SENT"}
"""The statuses of a message that does well."""
_LEAST_BAD = 2
_ENOUGH = 0.5  # of all, known to do well
REROUTED_US = 30_000_000
"""How long another route may be tried after a ``FAILED`` before the canary counts it. Reroutes take seconds."""
REJECTED, IN_DOUBT, NO_WORD = "rejected", "in doubt", "without a word"
"""What a message is called of which no receipt can speak."""
_HANDED_OVER = "handed over"  # "25 sent, 25 sent" would be a riddle


class Verdict(StrEnum):
    """What to do now."""

    WAIT = auto()
    GO = auto()
    HALT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One message of the canary.

    ``settled_as`` says what is known without receipts: :data:`REJECTED`, :data:`IN_DOUBT`, or nothing when it was
    accepted; ``code`` is the refusal's. ``may_reroute``: the API picks the channel.
    """

    message_id: str | None = None
    settled_as: str = ""
    code: str | None = None
    may_reroute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the canary stands, in messages.

    Attributes:
        sent: all of it.
        well, bad, shaky, open: see the module; together they are *sent*.
        words: how many have which last word, in lower case, the most frequent first.
        codes: why, of those that do badly or are shaky, the most frequent first; the status where there is no code.
        advice: what is wrong and what to do about it, for the most frequent cause that anybody can mend.
    """

    sent: int
    well: int = 0
    bad: int = 0
    shaky: int = 0
    open: int = 0
    words: Mapping[str, int]
    codes: Mapping[str, int]
    advice: str | None = None

    @property
    def text(self) -> str:
        """Return the standing as people read it: ``25 sent, 18 delivered, 1 failed, 6 open``."""
        told = [f"{count:,} {word}" for word, count in self.words.items()]
        return ", ".join([f"{self.sent:,} sent", *told, *([f"{self.open:,} open"] if self.open else [])])


def standing(probes: Iterable[Probe], states: Mapping[str, DeliveryState], *, now_us: int) -> Standing:
    """Count the canary's messages by what their receipts say; *states* are by message id."""
    counts = dict.fromkeys(("well", "bad", "shaky", "open"), 0)
    words, codes, advice = Counter[str](), Counter[str](), Counter[str]()
    sent = 0
    for probe in probes:
        sent += 1
        state = states.get(probe.message_id) if probe.message_id is not None else None
        how = _how(probe, state, now_us=now_us)
        counts[how] += 1
        if how != "open":
            words[_word(probe, state)] += 1
        if how in {"bad", "shaky"}:
            code = probe.code if state is None else state.reason
            codes[code or _word(probe, state)] += 1
            cause = cause_of("FAILED" if state is None else state.status, code)
            if cause is not None and (text := mend(cause)) is not None:
                advice[text] += 1
    return Standing(
        sent=sent,
        words=dict(words.most_common()),
        codes=dict(codes.most_common()),
        advice=advice.most_common(1)[0][0] if advice else None,
        **counts,
    )


def _how(probe: Probe, state: DeliveryState | None, *, now_us: int) -> str:
    if probe.settled_as == REJECTED:
        return "bad"
    if state is None:
        return "open"
    if state.status in WELL:
        return "well"
    if state.status not in NOT_ARRIVED:
        return "open"
    young = now_us - state.updated_us < REROUTED_US
    return "shaky" if state.status == "FAILED" and probe.may_reroute and young else "bad"


def _word(probe: Probe, state: DeliveryState | None) -> str:
    if state is None:
        return probe.settled_as or NO_WORD
    return _HANDED_OVER if state.status == "SENT" else state.status.lower()


def too_many(bad: int, *, sent: int, share: float) -> bool:
    """Return whether so many bad ones among the canary are too many by count and share."""
    return bad >= _LEAST_BAD and bad > share * sent


def judge(found: Standing, *, share: float, over: bool) -> Verdict:
    """Return what to do with the rest.

    Args:
        found: the canary as it stands.
        share: ``safety.halt_share``.
        over: the wait is over, and the API was asked.
    """
    if too_many(found.bad, sent=found.sent, share=share):
        return Verdict.HALT
    if (found.open or found.shaky) and not over:
        return Verdict.WAIT
    bad = found.bad + found.shaky
    if too_many(bad, sent=found.sent, share=share) or (bad and not found.well):
        return Verdict.HALT
    return Verdict.HALT if found.open and found.well < _ENOUGH * found.sent else Verdict.GO


def why_halted(found: Standing, *, share: float, waited: str, where: str, asking: str | None) -> str:
    """Return the sentence for whoever reads why the rest was not sent.

    Args:
        found: the canary as it stood.
        share: ``safety.halt_share``.
        waited: how long the wait may be, in words.
        where: the run directory, as it is typed.
        asking: what went wrong with asking the API, if something did.
    """
    bad = found.bad + found.shaky
    reasons = ", ".join(f"{count:,} {code}" for code, count in found.codes.items())
    onward = f"'broadcaster resume {where}' judges them again, and with --skip-canary sends to the rest regardless"
    if too_many(bad, sent=found.sent, share=share) or (bad and not found.well):
        advice = f"; {found.advice}" if found.advice else ""
        return f"the canary says stop: {found.text} (why: {reasons}{advice}). Nobody else was messaged; {onward}"
    failed = f" (asking the API did not help: {asking})" if asking else ""
    return (
        f"too little is known of the canary after {waited}: {found.text}{failed}. Nobody else was messaged. Receipts "
        f"come by 'broadcaster serve' or 'broadcaster reconcile {where}'; {onward}"
    )
