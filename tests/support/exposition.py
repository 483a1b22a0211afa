"""A strict reader of Prometheus' text format, to judge what we write: every line, in the order that is asked for."""

import math
import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(slots=True)
class Family:
    """A metric with its samples by labels."""

    kind: str
    help: str
    samples: dict[frozenset[tuple[str, str]], float] = field(default_factory=dict)


def read(text: str) -> dict[str, Family]:
    """Return every metric by name; fail on whatever a scraper could stumble over."""
    assert text.endswith("\n"), "the last line has no end"
    families: dict[str, Family] = {}
    helps: dict[str, str] = {}
    current = ""
    for line in text.removesuffix("\n").split("\n"):
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            assert words[2] not in helps, f"{words[2]} is explained twice"
            helps[words[2]] = words[3]
        elif words[:2] == ["#", "TYPE"]:
            current = words[2]
            assert current not in families, f"{current} is not in one piece"
            assert words[3] in {"counter", "gauge"}, line
            assert words[3] != "counter" or current.endswith("_total"), f"{current} is a counter by another name"
            families[current] = Family(words[3], helps[current])
        else:
            found = _SAMPLE.fullmatch(line)
            assert found is not None, line
            assert found[1] == current, f"{found[1]} stands among the samples of {current}"
            labels = _labels(found[2] or "")
            assert labels not in families[current].samples, f"twice: {line}"
            value = float(found[3])
            assert math.isfinite(value), line
            families[current].samples[labels] = value
    assert all(each.samples for each in families.values())
    return families


def _labels(text: str) -> frozenset[tuple[str, str]]:
    found, at = {}, 0
    while at < len(text):
        label = _LABEL.match(text, at)
        assert label is not None, text
        assert label[1] not in found, f"{label[1]} is there twice"
        found[label[1]] = re.sub(r"\\.", lambda each: _UNESCAPED[each[0]], label[2])
        at = label.end()
        if at < len(text):
            assert text[at] == ",", text
            at += 1
    return frozenset(found.items())
