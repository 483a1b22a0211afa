"""Which cluster a run is planned and sent on, and how long it is waited for.

One that is there, by its scheduler's address, or worker processes of our own. It must not import Dask: what is asked
for is looked at before it is known to be installed.
"""

import importlib.util
import logging
from dataclasses import dataclass

from broadcaster.errors import ConfigError, StoppedEarly

CONNECT_S = 10.0
WORKERS_S = 60.0  # for the first worker to appear

_KINDS = ("tcp://", "tls://")
_LOCAL = "local:"
_MOST = 256  # worker processes on one machine; more is a slip of the finger


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A scheduler's ``address``; without one, so many ``workers`` are started here."""

    address: str | None = None
    workers: int = 0

    @classmethod
    def parse(cls, text: str) -> "Where":
        """Read ``tcp://host:8786``, ``tls://host:8786`` or ``local:4``.

        Raises:
            ConfigError: it is none of these.
        """
        if text.startswith(_KINDS) and text.rpartition(":")[2].isdigit():
            return cls(address=text)
        count = text.removeprefix(_LOCAL)
        if count != text and count.isascii() and count.isdigit() and 1 <= int(count) <= _MOST:
            return cls(workers=int(count))
        raise ConfigError(
            f"--cluster {text!r} is none: give the address of a Dask scheduler, such as tcp://scheduler:8786, or "
            f"local:4 for four worker processes on this machine ({_MOST} at the most)"
        )

    def __str__(self) -> str:
        return self.address or f"{_LOCAL}{self.workers}"


def require_dask() -> None:
    """Raise :class:`ConfigError` where Dask is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("dask", "distributed")):
        raise ConfigError("--cluster needs another package (dask); install it with pip install 'broadcaster[cluster]'")


def silence_dask() -> None:
    """Let Dask log nothing: what goes wrong we say ourselves, in a sentence."""
    for name in [each for each in logging.root.manager.loggerDict if each.split(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def without_workers() -> StoppedEarly:
    """Return why nothing goes on where no worker has appeared."""
    return StoppedEarly("the cluster has no workers; nothing was sent. Start some with 'dask worker'")
