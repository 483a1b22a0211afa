"""Why messages did not go on, counted by code, the gravest first. Pure."""

import re
from collections import Counter

from broadcaster.report.advice import advise
from broadcaster.report.counting import Counted
from broadcaster.report.figures import Failure, Kind, Outcome
from broadcaster.report.masking import masked_text
from broadcaster.report.outcomes import NOT_DELIVERED

_CODE = re.compile(r"[A-Za-z][A-Za-z_]{0,45}[0-9]{0,3}")  # what a purged manifest keeps too
_MOST = 20  # codes of one kind that are told apart
_LONGEST = 120  # characters of a sentence
_OTHERS = "others"


def reasons(counted: Counted, *, stopped_by: str | None, sentences: bool = True) -> tuple[Failure, ...]:
    """Return every reason with its count and advice; what stopped the run comes first.

    Without *sentences* whatever is no code is counted as one.
    """
    found = [_failure(Kind.STOPPED, stopped_by, None)] if stopped_by else []
    counts: dict[Kind, Counter[str]] = {kind: Counter() for kind in Kind}
    for cell, count in counted.cells.items():
        outcome = cell.outcome
        if outcome in NOT_DELIVERED:
            counts[Kind.NOT_DELIVERED][_word(cell.delivery_reason, otherwise=str(outcome), sentences=sentences)] += (
                count
            )
        elif outcome is Outcome.REJECTED:
            counts[Kind.REJECTED][_word(cell.reason, otherwise="rejected", sentences=sentences)] += count
        elif outcome is Outcome.IN_DOUBT:
            counts[Kind.IN_DOUBT][_word(cell.reason, otherwise="no_answer", sentences=sentences)] += count
        elif outcome is Outcome.EXCLUDED:
            counts[Kind.EXCLUDED][_word(cell.reason, otherwise="excluded", sentences=sentences)] += count
    for kind in Kind:
        by_count = sorted(counts[kind].items(), key=lambda each: (-each[1], each[0]))
        found += [_failure(kind, code, count) for code, count in by_count[:_MOST]]
        if rest := by_count[_MOST:]:
            found.append(_failure(kind, _OTHERS, sum(count for _, count in rest)))
    return tuple(found)


def _word(reason: str | None, *, otherwise: str, sentences: bool) -> str:
    """Return a reason as it may be shown: a code as it is, a sentence without numbers."""
    if not reason:
        return otherwise
    if _CODE.fullmatch(reason):
        return reason
    return masked_text(" ".join(reason.split()))[:_LONGEST] if sentences else _OTHERS


def _failure(kind: Kind, code: str, count: int | None) -> Failure:
    advice = advise(kind, code)
    return Failure(kind=kind, code=code, count=count, meaning=advice.meaning, advice=advice.advice)
