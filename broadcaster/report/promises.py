"""The promises of a run, each with its result and how that is known. Nothing is called kept that was not looked at."""

from broadcaster.core.values import Tally
from broadcaster.report.counting import Counted
from broadcaster.report.figures import Promise, Result
from broadcaster.store.audit import Audit

CHECKED_BY_VERIFY = (
    "the plan's files are the ones that were frozen",
    "every row is in exactly one batch or excluded, and nobody is in two",
    "every batch encodes to the bytes that its key was taken from",
    "the journal is whole and speaks of planned batches only",
    "the manifest says what plan and journal say, and no message id stands twice",
)
"""What ``verify`` proves, in its own words; a run with retries has one more."""


def promises(counted: Counted, tally: Tally, *, clashes: int, audit: Audit | None, verify: str) -> tuple[Promise, ...]:
    """Return the promises.

    Args:
        counted: the manifest.
        tally: the same deliveries, counted by plan and journal.
        clashes: message ids that stand for more than one delivery.
        audit: what ``verify`` found, if it was asked.
        verify: the command that asks it.
    """
    return (_adds_up(counted, tally), _once(clashes), *_audited(audit, verify))


def _adds_up(counted: Counted, tally: Tally) -> Promise:
    found = counted.by_status()
    expected = {name: getattr(tally, name) for name in found}
    different = [name for name in found if found[name] != expected[name]]
    how = f"{counted.rows:,} rows of the manifest, counted again from plan and journal"
    if different:
        name = different[0]
        how = f"the manifest has {found[name]:,} {name.replace('_', ' ')}, plan and journal {expected[name]:,}"
    return Promise(
        what="Every row of the list has exactly one state on each channel",
        result=Result.BROKEN if different else Result.KEPT,
        how=how,
    )


def _once(clashes: int) -> Promise:
    how = "all message ids of all answers were compared when the manifest was built"
    return Promise(
        what="No message id stands for two deliveries",
        result=Result.BROKEN if clashes else Result.KEPT,
        how=f"{clashes:,} of them do: {how}" if clashes else how,
    )


def _audited(audit: Audit | None, verify: str) -> tuple[Promise, ...]:
    if audit is None:
        how = f"run {verify}"
        return tuple(Promise(what=_sentence(each), result=Result.NOT_CHECKED, how=how) for each in CHECKED_BY_VERIFY)
    kept = [
        Promise(what=_sentence(each), result=Result.KEPT, how="derived again from the files for this report")
        for each in audit.checked
    ]
    if audit.difference is None:
        return tuple(kept)
    left = [each for each in CHECKED_BY_VERIFY if each not in audit.checked]
    first, *others = left or ["plan, journal and manifest agree"]
    broken = Promise(what=_sentence(first), result=Result.BROKEN, how=audit.difference)
    rest = [Promise(what=_sentence(each), result=Result.NOT_CHECKED, how="after a difference") for each in others]
    return (*kept, broken, *rest)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
