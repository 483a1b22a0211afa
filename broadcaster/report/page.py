"""The report as one HTML page: no script, nothing from elsewhere, and a policy that lets the browser fetch nothing.

Every value is escaped by the template engine; only the pictures of :mod:`broadcaster.report.charts`, which escape by
themselves, are markup already. A name that the template does not know is an error, not an empty space.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, NamedTuple

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from broadcaster.report import charts, labels
from broadcaster.report.figures import Failure, Figures, Kind, Outcome, Result, State, Timeline
from broadcaster.report.outcomes import ACCEPTED, DELIVERED, NOT_DELIVERED, parts_of, total, used_parts

_PAGE, _STYLE = "report.html.j2", "report.css"
_MOST_LAUNCHES = 20
_STATES = {
    State.PLANNED: "Planned, nothing sent",
    State.SENDING: "Sending now",
    State.UNFINISHED: "Not finished",
    State.HALTED: "Halted",
    State.COMPLETE: "Complete",
}
_MODES = {"live": "Live", "sandbox": "Sandbox", "simulated": "Simulated"}
_KINDS = {
    Kind.STOPPED: "The run was stopped",
    Kind.IN_DOUBT: "In doubt",
    Kind.NOT_DELIVERED: "Accepted, and not delivered",
    Kind.REJECTED: "Rejected by the API",
    Kind.EXCLUDED: "Never sent",
}
_CAPTIONS = {
    Kind.STOPPED: "Why nothing more was sent",
    Kind.IN_DOUBT: "Nobody knows whether these were sent",
    Kind.NOT_DELIVERED: "What receipts say of messages that did not arrive",
    Kind.REJECTED: "The API created nothing for these",
    Kind.EXCLUDED: "Excluded for a reason of the list or the job",
}
_RESULTS = {Result.KEPT: "✓ kept", Result.BROKEN: "✗ broken", Result.NOT_CHECKED: f"{labels.NOTHING} not checked"}
_SENDING = {"accepted": "accepted", "rejected": "rejected"}
_TOLD = {"read": "read", "delivered": "delivered", "sent": "sent", "under way": "accepted", "not delivered": "lost"}


class Tile(NamedTuple):
    """One of the large numbers at the top."""

    name: str
    value: int | None
    hint: str


def render_page(figures: Figures) -> str:
    """Return the page. It holds what *figures* say and nothing else, whatever the words in them are."""
    style = _asset(_STYLE)
    return _template().render(
        f=figures,
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy(style),
        states=_STATES,
        modes=_MODES,
        kinds=_KINDS,
        captions=_CAPTIONS,
        results=_RESULTS,
        used_parts=[(part.key, part.name) for part in used_parts(figures.outcomes)],
        sending_parts=_series(figures.sending, _SENDING),
        told_parts=_series(figures.told, _TOLD),
        tiles=_tiles(figures),
        several_files=len(figures.lists) > 1,
        hidden_launches=max(0, len(figures.launches) - _MOST_LAUNCHES),
        charts={name: Markup(picture) for name, picture in _pictures(figures)},  # noqa: S704 - escaped by charts
    )


def _pictures(figures: Figures) -> Iterator[tuple[str, str]]:
    yield (
        "funnel",
        charts.funnel(
            figures.funnel,
            name="chart-funnel",
            title="From the list to the phone",
            description=_in_words(
                zip((step.name for step in figures.funnel), charts.step_shares(figures.funnel), strict=True)
            ),
        ),
    )
    for name, what, rows in (
        ("channels", "channel", figures.channels),
        ("countries", "country", figures.countries),
    ):
        if rows:
            yield (
                name,
                charts.groups(
                    rows,
                    told=figures.receipts.messages > 0,
                    name=f"chart-{name}",
                    title=f"Messages by {what} and state",
                    description=_in_words((row.name, f"{labels.number(row.total)} messages") for row in rows),
                ),
            )
    for name, title, times, keys in (
        ("sending", "Messages answered by the API over time", figures.sending, _SENDING),
        ("told", "Messages by the moment of their last receipt", figures.told, _TOLD),
    ):
        if times:
            yield (
                name,
                charts.columns(
                    times,
                    {series: keys[series] for series in times.series},
                    name=f"chart-{name}",
                    title=title,
                    description=_in_words(
                        (series, labels.number(sum(values))) for series, values in times.series.items()
                    ),
                ),
            )
    if figures.rate.over_time:
        yield (
            "rate",
            charts.line(
                figures.rate.over_time,
                limit=figures.rate.limit,
                name="chart-rate",
                title="Requests in the last 60 seconds, against the limit",
                description=f"At most {labels.number(figures.rate.busiest)} requests in 60 seconds; "
                + (
                    f"the limit is {labels.number(figures.rate.limit)}." if figures.rate.limit else "there is no limit."
                ),
            ),
        )


def _in_words(pairs: Iterable[tuple[str, str]]) -> str:
    """Return what a picture shows, for those who cannot see it."""
    return "; ".join(f"{name}: {value}" for name, value in pairs) + "."


def _tiles(figures: Figures) -> list[Tile]:
    outcomes, known = figures.outcomes, figures.receipts.known
    accepted = total(outcomes, ACCEPTED)
    asked = figures.messages - outcomes[Outcome.EXCLUDED]
    delivered = total(outcomes, DELIVERED) if known else None
    lost = total(outcomes, NOT_DELIVERED)
    open_ones = outcomes[Outcome.PENDING] + outcomes[Outcome.IN_DOUBT]
    return [
        Tile(
            "Accepted",
            accepted,
            f"{labels.share(accepted, asked)} of {asked:,} asked for" if asked else "nobody to message",
        ),
        Tile("Delivered", delivered, _beside(delivered, accepted)),
        Tile("Not delivered", lost if known else None, "by receipt" if known else "no receipts yet"),
        Tile("Rejected", outcomes[Outcome.REJECTED], "the API created nothing"),
        Tile("Open", open_ones, f"{outcomes[Outcome.IN_DOUBT]:,} in doubt, {outcomes[Outcome.PENDING]:,} pending"),
        Tile("Excluded", outcomes[Outcome.EXCLUDED], "never sent"),
    ]


def _beside(delivered: int | None, accepted: int) -> str:
    if delivered is None:
        return "no receipts yet"
    return f"{labels.share(delivered, accepted)} of accepted" if accepted else "nothing accepted"


def _series(times: Timeline | None, keys: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(keys[name], name) for name, values in times.series.items() if any(values)] if times else []


def _bars(times: Timeline) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each bar's beginning and its values, without those in which nothing happened."""
    start = datetime.fromisoformat(times.start)
    for at, values in enumerate(zip(*times.series.values(), strict=True)):
        if any(values):
            yield f"{start + timedelta(seconds=at * times.step_s):%Y-%m-%d %H:%M:%S}", values


def _by_kind(failures: Iterable[Failure]) -> list[tuple[Kind, list[Failure]]]:
    return [(kind, list(group)) for kind, group in groupby(failures, key=lambda each: each.kind)]


def _moment_or_words(value: str) -> str:
    try:
        return f"{labels.moment(value)} UTC" if "T" in value else value
    except ValueError:
        return value


def _policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def _template() -> Template:
    """Return the compiled page; compiling takes longer than writing it."""
    environment = Environment(
        loader=DictLoader({_PAGE: _asset(_PAGE)}), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    filters: dict[str, Any] = {
        "number": labels.number,
        "share": labels.share,
        "moment": labels.moment,
        "moment_or_words": _moment_or_words,
        "duration": labels.duration,
        "size": labels.size,
        "step_name": labels.step_name,
        "breakable": lambda code: Markup("_<wbr>").join(code.split("_")),
        "words": lambda code: code.replace("_", " "),
        "money": _money,
        "parts": parts_of,
        "bars": _bars,
        "groupby_kind": _by_kind,
        "swatch": lambda key: Markup(charts.swatch(key)),  # noqa: S704 - escaped by charts
    }
    environment.filters.update(filters)
    return environment.get_template(_PAGE)


def _money(amount: str) -> str:
    whole, _, places = amount.partition(".")
    return f"{int(whole):,}.{places}"


@cache
def _asset(name: str) -> str:
    return files("broadcaster.report").joinpath("templates", name).read_text(encoding="utf-8")
