"""Counting md5 beside all else that is done with files.

It takes longer than everything else together, so it has a process of its own, which reads for itself and waits for
nobody. It keeps near whoever reads the same large file, so that what one reads the other finds in the page cache.
"""

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from petla.core.errors import UnavailableError
from petla.storage.files import reported
from petla.storage.objects.md5 import child
from petla.storage.objects.sources import Source

# less than this is counted where it is read: a process takes some milliseconds
_LEAST_BYTES = 32 << 20
_ANYWHERE = 2**62


@contextmanager
def counting(sources: Sequence[Source]) -> Iterator["Md5s | None"]:
    """Start the process where it is worth it, and end it behind; None: whoever reads counts as well."""
    md5s: Md5s | None = None
    if sum(source.numbers[0] for source in sources) >= _LEAST_BYTES:
        # NOTE: where no process may be started, it is done without one.
        with contextlib.suppress(OSError):
            md5s = Md5s()
    try:
        yield md5s
    finally:
        if md5s is not None:
            md5s.close()


class Md5s:
    """A process that counts files in the order in which it is asked for them.

    NOTE: ask for some groups ahead and no more: their names and its answers must fit into the pipes.

    Raises:
        OSError: no process could be started.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", child.__file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        self.pid = self._process.pid
        self._orders, self._replies = self._process.stdin, self._process.stdout
        self._asked: deque[Sequence[Source]] = deque()
        # of the group that is taken next
        self._number = 1
        # how far it has read the file that is read at the moment, and its answer once it is there
        self._read_bytes = 0
        self._counted: bytes | None = None

    def ask(self, sources: Sequence[Source]) -> None:
        """Ask for a group of files.

        Raises:
            UnavailableError: the process has ended.
        """
        names = b"\0".join(os.fsencode(source.path) for source in sources)
        self._send(child.ORDER.pack(child.ASK, self._number + len(self._asked), len(names)) + names)
        self._asked.append(sources)

    def keep_pace(self, offset: int) -> None:
        """Say how far the file was read that is taken next; waits where the process is far behind.

        Raises:
            UnavailableError: the process has ended.
        """
        self._allow(offset + child.MOST_APART_BYTES)
        while self._counted is None and offset - self._read_bytes > child.MOST_APART_BYTES:
            self._receive()

    def take(self) -> list[str]:
        """Return the md5 of each file of the oldest group that was asked for.

        Raises:
            FileNotFoundError: a file is gone.
            ConflictError: one was changed since it was looked at.
            UnavailableError: one cannot be read, or the process has ended.
        """
        sources = self._asked.popleft()
        if len(sources) == 1:
            self._allow(_ANYWHERE)
        while self._counted is None:
            self._receive()
        found = child.FOUND.iter_unpack(self._counted)
        self._number, self._read_bytes, self._counted = self._number + 1, 0, None
        return [_read_found(source, *fields) for source, fields in zip(sources, found, strict=True)]

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _allow(self, offset: int) -> None:
        self._send(child.ORDER.pack(child.ALLOW, self._number, offset))

    def _send(self, message: bytes) -> None:
        try:
            self._orders.write(message)
            self._orders.flush()
        except OSError as error:
            raise _ended() from error

    def _receive(self) -> None:
        """Take in one message."""
        header = self._replies.read(child.REPLY.size)
        if len(header) < child.REPLY.size:
            raise _ended()
        kind, value = child.REPLY.unpack(header)
        if kind == child.PROGRESS:
            self._read_bytes = value
            return
        content = self._replies.read(value)
        if len(content) < value:
            raise _ended()
        self._counted = content


def _read_found(source: Source, number: int, digest: bytes, *numbers: int) -> str:
    if number:
        with reported(Path(source.path), "read"):
            raise OSError(number, os.strerror(number), source.path)
    source.require_numbers(numbers)
    return digest.hex()


def _ended() -> UnavailableError:
    return UnavailableError(
        "the process that counts md5 has ended", hint="try again; the system may have ended it for want of memory"
    )
