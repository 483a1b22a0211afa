"""What refuses a plan before it is frozen or sent: nobody to message, too many, not the number that was expected."""

from collections.abc import Mapping

from broadcaster.core.words import Reason
from broadcaster.errors import BelongsToAnother, CountUnexpected, ListUnusable
from broadcaster.job.model import Limits
from broadcaster.planning.pipeline import Built
from broadcaster.store.journal import JournalReader
from broadcaster.store.rundir import RunDir


def check_anybody(built: Built) -> None:
    """Raise :class:`ListUnusable` when no row can be messaged; the sentence counts the reasons."""
    if not built.recipients:
        reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in built.excluded.items())
        if built.excluded.get(Reason.MALFORMED_ROW, 0) == built.rows:
            check = "they have not as many cells as the header: check the delimiter"
        elif built.excluded.get(Reason.FILTERED):
            check = "check the filter: capitals count, and text is compared as a whole"
        else:
            check = "check recipients.phone and recipients.default_region"
        raise ListUnusable(f"none of the {built.rows} rows can be messaged ({reasons}); {check}")


def check_journal(run_dir: RunDir, built: Built) -> None:
    """Refuse a journal that a lost plan left behind, unless that plan was this one: it counts batches by number."""
    if not run_dir.journal.exists():
        return
    with JournalReader(run_dir.journal) as journal:
        keys = journal.meta().get("keys", built.keys_sha256)
    if keys != built.keys_sha256:
        raise BelongsToAnother(
            f"{run_dir.journal} is the journal of another plan, which is gone from here; restore the directory from a "
            "copy and go on with 'broadcaster resume', or choose another campaign name"
        )


def check_counts(
    excluded: Mapping[str, int],
    *,
    recipients: int,
    messages: int,
    limits: Limits,
    strict: bool,
    expect_recipients: int | None,
) -> None:
    """Refuse a plan of the wrong size.

    Raises:
        ListUnusable: *strict*, and a number is invalid.
        CountUnexpected: other than expected, or more than the job allows.
    """
    invalid = excluded.get(Reason.INVALID_NUMBER, 0)
    if strict and invalid:
        raise ListUnusable(f"{invalid} rows have an invalid number, and --strict allows none; nothing was planned")
    malformed = excluded.get(Reason.MALFORMED_ROW, 0)
    if strict and malformed:
        raise ListUnusable(
            f"{malformed} rows have not as many cells as the header, and --strict allows none; nothing was planned"
        )
    if expect_recipients is not None and recipients != expect_recipients:
        raise CountUnexpected(
            f"the plan has {recipients} recipients, and --expect-recipients says {expect_recipients}; "
            "nothing was sent. Check that it is the right list"
        )
    if limits.max_messages and messages > limits.max_messages:
        raise CountUnexpected(
            f"the plan has {messages} messages, more than limits.max_messages ({limits.max_messages}); nothing was sent"
        )
    if limits.max_cost is not None and messages * (limits.price_per_message or 0) > limits.max_cost:
        cost = messages * (limits.price_per_message or 0)
        raise CountUnexpected(
            f"{messages} messages would cost {cost:.2f}, more than limits.max_cost ({limits.max_cost:.2f}); "
            "nothing was sent"
        )
