"""``python -m broadcaster.simulator``: flags in, a serving process out.

Exit codes: 0 told to go, 2 it could not start (one sentence on stderr).
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence

from broadcaster.simulator.ledger import LedgerError
from broadcaster.simulator.options import OptionError, read_settings
from broadcaster.simulator.server import ListenError, serve

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the simulator and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("aiohttp.server").disabled = True  # it quotes malformed headers, and a key may stand in one
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments, environ=os.environ)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings))
    except (OptionError, LedgerError, ListenError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the sentence is for the person at the terminal
        return _USAGE
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
