"""The report for pasting into an issue. Pure: figures in, Markdown out, and no word of theirs is markup."""

from collections.abc import Iterable

from broadcaster.report import labels
from broadcaster.report.charts import step_shares
from broadcaster.report.figures import Figures
from broadcaster.report.outcomes import parts_of, used_parts

_PLAIN = {ord(each): f"&#{ord(each)};" for each in "<>&@#"} | {ord(each): f"\\{each}" for each in "\\`*_[]|!~"}


def render_markdown(figures: Figures) -> str:
    """Return the report for pasting into an issue."""
    f = figures
    lines = [
        f"# {_words(f.campaign)}",
        "",
        f"**{f.state}**, {f.mode}, exit code {f.exit_code}. {_words(f.headline)}",
        "",
    ]
    if not f.is_real:
        lines += [f"> {f.mode.capitalize()}: nobody was messaged.", ""]
    if f.why:
        lines += [f"Stopped: {_words(f.why)}", ""]
    if f.commands:
        lines += ["## What to do next", "", *(f"- {_code(command)} {_words(why)}" for command, why in f.commands), ""]
    lines += _table(
        "From the list to the phone",
        ("Step", "Count"),
        zip((s.name for s in f.funnel), step_shares(f.funnel), strict=True),
    )
    parts = used_parts(f.outcomes)
    names = ["all", *(part.name for part in parts)]
    for title, groups in (("By channel", f.channels), ("By country", f.countries)):
        rows = (
            (g.name, labels.number(g.total), *(labels.number(parts_of(g.outcomes)[part.key]) for part in parts))
            for g in groups
        )
        lines += _table(title, ("", *names), rows)
    failures = (
        (
            str(each.kind).replace("_", " "),
            each.code,
            labels.number(each.count) if each.count is not None else labels.NOTHING,
            each.advice,
        )
        for each in f.failures
    )
    lines += _table("What did not go on", ("", "Reason", "Messages", "What to do"), failures)
    doubts = (
        (d.code, labels.number(d.messages), labels.moment(d.since), labels.moment(d.protected_until)) for d in f.doubts
    )
    lines += _table("In doubt", ("Reason", "Messages", "Since (UTC)", "Safe to repeat until (UTC)"), doubts)
    rate = [
        ("requests", labels.number(f.rate.requests)),
        ("in the busiest 60 seconds", labels.number(f.rate.busiest)),
        ("limit", labels.number(f.rate.limit) if f.rate.limit else "none"),
        ("asked to be slower", labels.number(f.rate.refused)),
    ]
    lines += _table("The rate against the limit", ("", "Requests"), rate)
    if f.cost:
        prices = [("all", f.cost.messages, f.cost.total), *((p.name, p.messages, p.cost) for p in f.cost.channels)]
        lines += _table("Cost, in the account's currency", ("", "Messages", "Cost"), prices)
    lines += _table(
        "Promises", ("", "Result", "How"), ((p.what, str(p.result).replace("_", " "), p.how) for p in f.promises)
    )
    lines += _table("The run", ("", ""), f.facts)
    return "\n".join(lines)


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return a headed table, or nothing when it has no row."""
    written = [f"| {' | '.join(_words(str(cell)) for cell in row)} |" for row in rows]
    if not written:
        return []
    names = list(head)
    return [f"## {title}", "", f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}", *written, ""]


def _words(text: str) -> str:
    """Return text in which nothing is markup: no cell, link, mention or tag begins in it."""
    return "".join(each if each.isprintable() else " " for each in text).translate(_PLAIN)


def _code(command: str) -> str:
    plain = "".join(each if each.isprintable() else " " for each in command)
    fence = "`" * (1 + plain.count("`"))  # longer than any run of them inside
    return f"{fence} {plain} {fence}" if "`" in plain else f"`{plain}`"
