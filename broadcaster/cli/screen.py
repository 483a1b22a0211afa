"""What people see before a run sends: the plan, and that something takes a while. All of it goes to stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from broadcaster.planning.preview import Preview
    from broadcaster.planning.when import When

# Where a limit comes from that nobody wrote down.
_SOURCES = {"default": " (the default)", "learned": " (learned from the API)"}
_UNPROTECTED = (
    "[bold]Nothing protects these messages from being sent twice[/bold]: version v1 of the API knows no idempotency "
    "keys and names no messages. A request without a clear answer is therefore in doubt at once, is never repeated by "
    "itself, and cannot be looked up: 'broadcaster resolve' writes down what somebody decides."
)
_REASONS = {"filtered": "outside the filter"}  # others say by their name what they mean
_SHOWN = 6  # countries, kinds of line: the rest is in --json


def console() -> Console:
    """Return the console for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Say how long something takes."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:  # noqa: PLR2004 - beyond a minute and a half people count in minutes
        return f"{seconds:.0f} s"
    if seconds < 600:  # noqa: PLR2004 - up to ten minutes, seconds still tell something
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds < 5400:  # noqa: PLR2004 - beyond an hour and a half in hours
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def words_for_receipts(counts: "dict[str, int]") -> str:
    """Say what became of accepted deliveries, by the counts of a summary's ``receipts``."""
    words = [f"{count:,} {status}" for status, count in counts.items() if status != "none"]
    return " · ".join([*words, f"{counts['none']:,} without a word yet"] if counts.get("none") else words)


def show_plan(preview: "Preview", *, chosen: str = "", already_planned: int = 0) -> None:
    """Print a plan."""
    screen = console()
    for name, text in _plan_lines(preview, chosen, already_planned):
        screen.print(f"{name:<14}", text, markup=False)
    if preview.unprotected:
        screen.print(_UNPROTECTED)
    if len(preview.channels) > 1:
        count = len(preview.channels)
        screen.print(f"[bold]Every recipient gets {count} messages[/bold], one on each channel, and each is billed.")


def _plan_lines(preview: "Preview", chosen: str, already_planned: int) -> Iterator[tuple[str, str]]:
    yield "campaign", f"{preview.campaign} ({preview.mode})"
    yield "run directory", preview.run_dir
    if preview.creates:
        yield "creates", "contacts; nobody is messaged"
    else:
        yield "message", preview.message
        yield "channels", "the API picks (auto)" if preview.channels == ("auto",) else ", ".join(preview.channels)
    if chosen:
        yield "columns", chosen
    yield from _row_lines(preview, already_planned)
    yield from _count_lines(preview)
    source = _SOURCES.get(preview.limit_source, "")
    limits = [f"{preview.requests_per_minute:,} requests a minute{source}"] if preview.requests_per_minute else []
    limits += [f"{preview.messages_per_minute:,} messages a minute"] if preview.messages_per_minute else []
    yield "time", f"{duration(preview.duration_s)} at {' and '.join(limits) or 'no limit'}"
    if preview.schedule is not None:
        yield from _when_lines(preview.schedule)
    if len(preview.by_channels) > 1:
        yield "by channel", _counted(preview.by_channels)
    yield "countries", _counted(preview.countries)
    of = f" of {preview.line_types_of:,} looked at" if preview.line_types_of < preview.recipients else ""
    yield "lines", f"{_counted(preview.line_types)}{of}"
    if not preview.creates and {"sms", "auto"} & {
        word for written in preview.by_channels for word in written.split("+")
    }:
        at_most = "" if preview.encoding else "at most "
        yield (
            "SMS segments",
            f"{at_most}{preview.segments_each:,} each" + (f" ({preview.encoding})" if preview.encoding else ""),
        )
    for row in preview.first_excluded:
        where = f"{row.file} line {row.line:,}" if row.file else f"line {row.line:,}"
        yield "  excluded", row.error if row.error.startswith("line ") else f"{where}: {row.error}"
    for number, parameters in preview.examples:
        yield "  example", number if parameters == "{}" else f"{number}  {parameters}"


def _row_lines(preview: "Preview", already_planned: int) -> Iterator[tuple[str, str]]:
    """Yield how many rows there are, and how many of them are left out for which reason."""
    if preview.filter:
        yield "filter", preview.filter
    yield "rows", f"{preview.rows:,}"
    yield from retry_lines(preview.again, preview.left_out)
    if already_planned:
        yield "", f"{already_planned:,} more are in the plan already"
    for reason, count in preview.excluded.items():
        yield "  excluded", f"{count:,} {_REASONS.get(reason, reason.replace('_', ' '))}"


def retry_lines(again: "dict[str, int]", left_out: "dict[str, int]") -> Iterator[tuple[str, str]]:
    """Say of a retry why deliveries are sent again, and why others are not."""
    yield from (("  again", f"{count:,} {why}") for why, count in again.items())
    yield from (("  left out", f"{count:,} {why}") for why, count in left_out.items())


def _count_lines(preview: "Preview") -> Iterator[tuple[str, str]]:
    """Yield how many there are to be reached, and with how many requests."""
    if preview.creates:
        yield "contacts", f"{preview.recipients:,}"
        if preview.groups:
            yield "grouped by", f"{preview.group_by}: {_counted(preview.groups)}, in this order"
        if preview.opt_outs:
            yield "  opted out", f"{preview.opt_outs:,} of them; they are created too, and set to have opted out"
        yield "requests", f"{preview.requests:,}, and one more for each contact that is there already"
        return
    yield "recipients", f"{preview.recipients:,}"
    each = "one recipient" if preview.largest_batch == 1 else f"up to {preview.largest_batch:,} recipients"
    why = f", so that {preview.messages_per_minute:,} messages a minute are used well" if preview.fills_minutes else ""
    yield "requests", f"{preview.requests:,} ({each} each{why})"
    yield "messages", f"{preview.messages:,}"
    if preview.groups:
        yield "grouped by", f"{preview.group_by}: {_counted(preview.groups)}, in this order"
    if preview.canary:
        requests = f"{preview.canary_requests:,} request{'' if preview.canary_requests == 1 else 's'}"
        decides = f"what becomes of them within {duration(preview.canary_wait_s)} decides about the others"
        yield "canary", f"{preview.canary:,} recipients first, in {requests}; {decides}"


def _when_lines(when: "When") -> Iterator[tuple[str, str]]:
    if when.first is not None:
        yield "send time", when.first_shown if when.first == when.last else f"first {when.first_shown}"
        if when.first != when.last:
            yield "", f"last  {when.last_shown}"
    if when.window:
        whose = "the run waits while it is shut" if when.hold == "run" else "in each recipient's own time"
        yield "window", f"{when.window}, {whose}"
    if when.not_after:
        yield "not after", when.not_after
    if when.staged_minutes:
        yield "staged", f"everything is handed over {when.staged_minutes} minutes or more before the first release"
    if when.by_zone:
        yield "time zones", _counted(when.by_zone)
    if when.waiting:
        wait = "1 row waits" if when.waiting == 1 else f"{when.waiting:,} rows wait"
        yield "", f"{wait} for a zone: name it in a column, or set schedule.unknown_zone"
    if when.passed:
        then = "at once where the window is open, else when it opens" if when.window else "at once"
        of = "1 recipient" if when.passed == 1 else f"{when.passed:,} recipients"
        yield "late", f"the time of {of} has passed already: they are sent {then}"


def _counted(counts: "dict[str, int]") -> str:
    """Say the most frequent of some counts, and how many more there are."""
    shown = [f"{name} {count:,}" for name, count in islice(counts.items(), _SHOWN)]
    left = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal that something takes a while."""
    screen = console()
    if screen.is_terminal:
        with screen.status(what):
            yield
    else:
        yield
