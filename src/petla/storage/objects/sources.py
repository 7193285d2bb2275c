"""Files that are to be read, as they were when somebody looked at them."""

import os
from pathlib import Path
from typing import NamedTuple

from petla.core.errors import ConflictError


class Source(NamedTuple):
    """A file to be read."""

    path: str
    # size, mtime in ns, inode and mode, as they were when somebody looked; it must not have changed since
    numbers: tuple[int, ...]

    def require_same(self, descriptor: int) -> None:
        """See that the file is the one that was looked at.

        Raises:
            ConflictError: it was changed.
        """
        self.require_numbers(numbers_of(os.fstat(descriptor)))

    def require_numbers(self, numbers: tuple[int, ...]) -> None:
        """Do the same, by the numbers that it has now.

        Raises:
            ConflictError: it was changed.
        """
        if numbers != self.numbers:
            raise ConflictError(f"{self.path} was changed while it was read", hint="try again when it is complete")


def find_source(path: Path) -> Source:
    """Return a file as it is now.

    Raises:
        FileNotFoundError: there is none.
    """
    return Source(str(path), numbers_of(path.stat()))


def numbers_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes when a file does: size, mtime in ns, inode, mode."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode
