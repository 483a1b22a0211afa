"""A disk of a few kilobytes: a memory file system in a mount namespace of its own, which goes with the test.

Needs root, or a kernel that lets everybody have a user namespace.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self


@cache
def why_no_disk() -> str | None:
    """Return why no such disk can be had here, or ``None``."""
    if shutil.which("nsenter") is None:
        return "there are no mount namespaces here: nsenter is not installed"
    tried = subprocess.run(
        [*_unshare(), "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"], capture_output=True, text=True, check=False
    )
    return f"a small disk cannot be mounted here: {tried.stderr.strip()}" if tried.returncode else None


class SmallDisk:
    """A disk of *size* bytes at *at*, for commands that begin with ``entering`` only."""

    def __init__(self, at: Path, *, size: int) -> None:
        self._at = at
        self._size = size

    def __enter__(self) -> Self:
        self._at.mkdir(parents=True, exist_ok=True)
        mount = f'mount -t tmpfs -o size={self._size} none "$0" && echo mounted && cat'
        self._holder = subprocess.Popen(
            [*_unshare(), "sh", "-c", mount, self._at],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.communicate()

    @property
    def entering(self) -> list[str]:
        """The words before a command that is to see the disk."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        # nsenter leaves the working directory outside: it must be entered again, through the new mounts.
        again = ["sh", "-c", 'cd "$0" && exec "$@"', str(self._at.parent)]
        return ["nsenter", f"--target={self._holder.pid}", "--mount", *user, "--", *again]

    def inside(self, path: Path) -> Path:
        """Return where a process outside finds *path* of the inside."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def resize(self, size: int) -> None:
        """Make room, or take it."""
        self._remount(f"size={size}")

    def forbid_writing(self) -> None:
        """Let the disk be read only, even by root."""
        self._remount("ro")

    def allow_writing(self) -> None:
        """Take that back."""
        self._remount("rw")

    def _remount(self, option: str) -> None:
        # With the source named as well, mount does not repeat the old options, of which a user namespace forbids some.
        subprocess.run([*self.entering, "mount", "-o", f"remount,{option}", "none", str(self._at)], check=True)


def _unshare() -> list[str]:
    return ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
