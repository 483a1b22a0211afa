"""Send one templated message to a list of people through the Sent API, and prove afterwards what happened to every row.

Everything the command ``broadcaster`` does can be done from Python with the names below. They are imported when they
are first used, so that ``import broadcaster`` costs nothing.
"""

from importlib import import_module

_HOMES = {
    "load_job": "broadcaster.job.load",
    "plan": "broadcaster.library",
    "read_manifest": "broadcaster.store.manifest",
    "run": "broadcaster.library",
}
__all__ = ["load_job", "plan", "read_manifest", "run"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
