"""The program on a machine whose table of mounts names another file system: ``python -m support.mounted KIND …``.

A real network file system would need a network.
"""

import sys

from support.patching import replace

if __name__ == "__main__":
    replace("broadcaster.store.rundir:filesystem", lambda _: lambda *_, **__: sys.argv[1])
    from broadcaster.cli import main

    main(sys.argv[2:])
