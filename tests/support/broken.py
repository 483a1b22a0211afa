"""The command line with something broken in it: ``python -m support.broken SPEC … -- run job.toml --yes``.

Each SPEC changes one thing of this process, from outside, before the command begins:

- ``module:function?text:before|after:N`` kills the process there, ``stop:module:…`` pauses it there
  (:mod:`support.failpoints`);
- ``mutant:NAME`` breaks an invariant (:mod:`support.mutants`);
- ``clock:+86400`` sets the wall clock, ``sleep:+86400`` lets the machine sleep so long (both in seconds), ``boot:NAME``
  gives this start of the machine another name, ``boot:`` none.
"""

import signal
import sys
from typing import Any

from support.failpoints import Failpoint
from support.patching import Function, replace

_US = 1_000_000


def break_it(spec: str) -> None:
    """Apply one SPEC.

    Raises:
        ValueError, LookupError: there is nothing of that name.
    """
    kind, _, value = spec.partition(":")
    if kind == "mutant":
        from support.mutants import MUTANTS  # imports the program, which a failpoint alone need not

        MUTANTS[value].apply()
    elif kind in {"clock", "sleep"}:
        _set_clocks(float(value) * _US, boot_too=kind == "sleep")
    elif kind == "boot":
        replace("broadcaster.clock:boot_id", lambda _: lambda: value or None)
    elif kind == "stop":
        Failpoint.parse(value).arm(signal.SIGSTOP)
    else:
        Failpoint.parse(spec).arm()


def _set_clocks(by_us: float, *, boot_too: bool) -> None:
    def reading(original: Function) -> Function:
        def later(clock: Any) -> tuple[int, int | None, str | None]:
            wall_us, boot_us, boot = original(clock)
            return round(wall_us + by_us), boot_us and round(boot_us + by_us * boot_too), boot

        return later

    replace("broadcaster.clock:SystemClock.reading", reading)
    replace("broadcaster.clock:wall_us", lambda original: lambda: round(original() + by_us))


def main(arguments: list[str]) -> None:
    """Break what is to be broken, then run the command."""
    at = arguments.index("--")
    for spec in arguments[:at]:
        break_it(spec)
    from broadcaster.cli import main as command  # after the patches: what it imports by name is patched already

    command(arguments[at + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
