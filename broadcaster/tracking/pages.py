"""The pages as text: views in, HTML out. Everything that a file says is escaped; nothing here reads or waits.

A page has *regions*, parts that change while somebody looks: they are made one by one, so that only what has changed
is sent to a page that is open already.
"""

import json
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from broadcaster.core.values import Tally
from broadcaster.phones import mask_in
from broadcaster.store.events import read_at
from broadcaster.tracking.live import RunView
from broadcaster.tracking.ratechart import clock, draw, minutes
from broadcaster.tracking.standing import Standing
from broadcaster.tracking.words import DECIDE, LABELS, NEXT, ago, duration, moment, percent, sentence

_SHOWN_EVENTS = 20
_CHARTS = (("wide", 1040), ("narrow", 340))  # one of the two is shown
_SEGMENTS = ("accepted", "rejected", "in_doubt")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("broadcaster.tracking"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": lambda number: f"{number:,}", "clock": clock, "duration": duration}
    environment.globals |= {"labels": LABELS, "sentence": sentence, "Standing": Standing}
    return environment


def list_page(runs: Mapping[str, RunView], *, now_s: float, places: str) -> str:
    """Return the page with all runs; *places* says where they were looked for."""
    return _page("runs.html", regions=list_regions(runs, now_s=now_s, places=places), runs=runs)


def list_regions(runs: Mapping[str, RunView], *, now_s: float, places: str) -> dict[str, str]:
    """Return the parts of that page that change."""
    shown = [_row(run, now_s) for run in runs.values()]
    return {"runs": _part("part_runs.html", runs=shown, places=places)}


def run_page(run: RunView, *, now_s: float, form: str) -> str:
    """Return the page of one run; *form* is the word that its forms carry."""
    return _page("run.html", run=run, regions=run_regions(run, now_s=now_s), form=form)


def run_regions(run: RunView, *, now_s: float) -> dict[str, str]:
    """Return the parts of that page that change."""
    end_s = now_s if run.standing.works else (run.changed_s or now_s)
    events = [(moment(read_at(each), now_s=now_s), mask_in(sentence(each))) for each in run.events[:_SHOWN_EVENTS]]
    rate = {
        "charts": [
            Markup(draw(run.stretches, end_s=end_s, width=width, name=name))  # noqa: S704 - numbers only
            for name, width in _CHARTS
            if run.stretches
        ],
        "minutes": minutes(run.stretches, end_s=end_s),
        "limited": any(each.limit for each in run.stretches),
        "ended": not run.standing.works,
    }
    row = _row(run, now_s)
    where = shlex.quote(str(run.path))
    steps = NEXT.get(run.standing, ())
    if run.counts and run.counts.in_doubt and steps and DECIDE not in steps:
        steps = (*steps, DECIDE)
    next_steps = [(words, command.format(where)) for words, command in steps]
    return {
        "state": _part("part_state.html", **row),
        "figures": _part("part_figures.html", **row, next_steps=next_steps),
        "controls": _part("part_controls.html", run=run),
        "rate": _part("part_rate.html", run=run, **rate),
        "events": _part("part_events.html", events=events),
    }


def gone_regions(name: str) -> dict[str, str]:
    """Return what an open page shows when its run is not there any more."""
    return {"state": _part("part_gone.html", run_name=name), "controls": ""}


def said(run: RunView) -> str:
    """Return the figures as one sentence, for who listens to the page."""
    counts = run.counts or Tally()
    words = (
        f"{LABELS[run.standing].word}. {_settled(counts):,} of {_total(counts):,} settled, {counts.rejected:,} rejected"
    )
    return f"{words}, {counts.in_doubt:,} in doubt." if run.counts else f"{LABELS[run.standing].word}."


def said_of_all(runs: Mapping[str, RunView]) -> str:
    """Return the list as one sentence."""
    working = sum(1 for run in runs.values() if run.standing.works)
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}, {working} at work."


def confirm_page(run: RunView, what: str, *, form: str) -> str:
    """Return the page that asks before it pauses a run or lets it go on."""
    return _page("confirm.html", run=run, what=what, form=form)


def message_page(title: str, text: str, *, form: str | None = None) -> str:
    """Return a page that says one thing; with *form* it asks for the token too."""
    return _page("message.html", title=title, text=text, form=form)


def update(regions: Mapping[str, str], words: str) -> bytes:
    """Return a server-sent event with the regions that have changed."""
    return b"data: " + json.dumps({"regions": regions, "said": words}, ensure_ascii=False).encode() + b"\n\n"


def _page(name: str, **values: Any) -> str:
    values["regions"] = {key: Markup(text) for key, text in values.get("regions", {}).items()}  # noqa: S704 - escaped when it was made
    return _templates().get_template(name).render(**values)


def _part(name: str, **values: Any) -> str:
    return _templates().get_template(name).render(**values)


def _row(run: RunView, now_s: float) -> dict[str, Any]:
    """What a template is told of a run."""
    counts = run.counts
    total = _total(counts) if counts else 0
    return {
        "run": run,
        "label": LABELS[run.standing],
        "total": total,
        "settled": _settled(counts) if counts else 0,
        "percent": percent(_settled(counts), total) if counts else "",
        "segments": _segments(counts, total) if counts else (),
        "ago": ago(now_s - told_s) if (told_s := run.changed_s or run.planned_s) else "",
    }


def _total(counts: Tally) -> int:
    return counts.total - counts.excluded


def _settled(counts: Tally) -> int:
    return counts.accepted + counts.rejected


def _segments(counts: Tally, total: int) -> list[tuple[str, str, str]]:
    """The parts of the bar: class, where it begins and how wide it is, in percent."""
    found, at = [], 0
    for name in _SEGMENTS:
        count = getattr(counts, name)
        if count:
            found.append((name, f"{at / total:.3%}", f"{count / total:.3%}"))
            at += count
    return found
