"""The same figures for machines: JSON and CSV, and the table of all formats. Pure.

JSON: one object, the names of :class:`~broadcaster.report.figures.Figures` and what hangs below them. ``format`` names
this shape and changes with it, while new names may be added. ``null`` is "not known". Moments are ISO 8601 in UTC,
amounts are decimals as text.

CSV: ``section,name,measure,value``, one fact in each row, so that every section fits and rows can be filtered: the same
facts under the same names, without those that are not known.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from broadcaster.report.figures import Figures
from broadcaster.report.markdown import render_markdown
from broadcaster.report.page import render_page

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # what a spreadsheet takes a cell by
_NAMED_BY = {"failures": ("kind", "code")}  # others by their first value


def render_json(figures: Figures) -> str:
    """Return the report as JSON."""
    return json.dumps(asdict(figures), ensure_ascii=False, indent=2) + "\n"


def render_csv(figures: Figures) -> str:
    """Return the report as CSV; no cell of it is run by a spreadsheet."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("section", "name", "measure", "value"))
    for section, value in asdict(figures).items():
        if not isinstance(value, (dict, tuple)):
            section, value = "run", {section: value}  # noqa: PLW2901 - what stands alone is about the run
        for name, measure, fact in _facts(section, value):
            if fact is not None:
                writer.writerow(map(_cell, (section, name, measure, fact)))
    return file.getvalue()


def _facts(section: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield name, measure and value of every fact of a section."""
    if isinstance(value, dict):
        yield from (("", measure, fact) for measure, fact in _flat(value))
        return
    for each in value:
        if not isinstance(each, dict):  # a pair
            yield each[0], "value", each[1]
            continue
        named = _NAMED_BY.get(section, (next(iter(each)),))
        name = " ".join(str(each[key]) for key in named)
        rest = {key: inner for key, inner in each.items() if key not in named}
        yield from ((name, measure, fact) for measure, fact in _flat(rest))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is nested with its dotted path."""
    if not isinstance(value, (dict, tuple)):
        yield path, value
        return
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inside:
        yield from _flat(each, f"{path}.{key}" if path else str(key))


def _cell(value: Any) -> str:
    text = "".join(each if each.isprintable() else " " for each in str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


FORMATS: Mapping[str, Callable[[Figures], str]] = MappingProxyType(
    {"html": render_page, "json": render_json, "csv": render_csv, "md": render_markdown}
)
"""How to write a report, by the word on the command line."""
