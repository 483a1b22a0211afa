"""``metrics.prom``: a run's figures in Prometheus' text format, for node_exporter's textfile collector.

The file is replaced as a whole. It need not survive a power cut, and nothing depends on it: a disk that refuses it
harms nobody. Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from broadcaster.store.files import PRIVATE, TEMPORARY

_SAMPLE = re.compile(r'([a-z_]+)\{.*?(?:,status="([a-z_]*)")?\} (\S+)')
_LARGEST = 1 << 20  # bytes; ours has some two thousand


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure, or one for each set of labels. ``value`` of a sample is a whole number where it is one."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]


def exposition(metrics: Sequence[Metric], *, labels: Mapping[str, str]) -> str:
    """Return the text of a file with *metrics*; *labels* are those of every sample."""
    return "".join(line + "\n" for metric in metrics for line in _lines(metric, labels))


def _lines(metric: Metric, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for own, value in metric.samples:
        inside = ",".join(f'{name}="{_escape(text)}"' for name, text in {**labels, **own}.items())
        yield f"{metric.name}{{{inside}}} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_metrics(path: Path, text: str) -> bool:
    """Replace *path*; a reader sees the old file or the new one. Return whether the disk took it."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        temporary.touch(mode=PRIVATE)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        return False
    return True


def read_metrics(path: Path) -> dict[tuple[str, str], float]:
    """Return what :func:`exposition` wrote, by name and ``status`` (empty where there is none); none if unreadable."""
    try:
        with path.open(encoding="utf-8") as file:
            lines = file.read(_LARGEST).splitlines()
    except (OSError, ValueError):
        return {}
    found: dict[tuple[str, str], float] = {}
    for line in lines:
        if (sample := _SAMPLE.fullmatch(line)) is not None:
            with suppress(ValueError):
                found[sample[1], sample[2] or ""] = float(sample[3])
    return found
