"""Counting the md5 of large files beside all else that is done with them.

It takes longer than everything else together, so it has a process of its own, which reads for itself and waits for
nobody. It keeps near whoever reads the same file, so that what one reads the other finds in the page cache.
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
from petla.storage.objects.beside import counter
from petla.storage.objects.sources import Source

# less than this is counted where it is read: a process takes some milliseconds
_LEAST_BYTES = 32 << 20
# files that it is asked for before they are taken: their names and its answers must fit into the pipes
_AHEAD = 3
_ANYWHERE = 2**62


@contextmanager
def counting(sources: Sequence[Source]) -> Iterator["Md5s | None"]:
    """Start the process where it is worth it, and end it behind; None: whoever reads counts as well.

    Args:
        sources: the files that are read, in this order.
    """
    md5s: Md5s | None = None
    if sum(source.numbers[0] for source in sources) >= _LEAST_BYTES:
        # NOTE: where no process may be started, it is done without one.
        with contextlib.suppress(OSError):
            md5s = Md5s(sources)
    try:
        yield md5s
    finally:
        if md5s is not None:
            md5s.close()


class Md5s:
    """A process that counts files, some of them ahead.

    Args:
        sources: the files, in the order in which they are taken.

    Raises:
        OSError: no process could be started.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        command = [sys.executable, "-I", "-S", counter.__file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        self.pid = self._process.pid
        self._orders, self._replies = self._process.stdin, self._process.stdout
        self._waiting = deque(sources)
        self._asked: deque[Source] = deque()
        # of the file that is taken next
        self._number = 1
        # how far it has read the file that is read at the moment, and its answer once it is there
        self._read_bytes = 0
        self._counted: bytes | None = None
        self._ask_ahead()

    def keep_pace(self, offset: int) -> None:
        """Say how far the file was read that is taken next; waits where the process is far behind.

        Raises:
            UnavailableError: the process has ended.
        """
        self._allow(offset + counter.MOST_APART_BYTES)
        while self._counted is None and offset - self._read_bytes > counter.MOST_APART_BYTES:
            self._receive()

    def take(self) -> str:
        """Return the md5 of the next file.

        Raises:
            FileNotFoundError: it is gone.
            ConflictError: it was changed since it was looked at.
            UnavailableError: it cannot be read, or the process has ended.
        """
        self._allow(_ANYWHERE)
        while self._counted is None:
            self._receive()
        number, digest, *numbers = counter.FOUND.unpack(self._counted)
        self._number, self._read_bytes, self._counted = self._number + 1, 0, None
        source = self._asked.popleft()
        self._ask_ahead()
        if number:
            with reported(Path(source.path), "read"):
                raise OSError(number, os.strerror(number), source.path)
        source.require_numbers(tuple(numbers))
        return str(digest.hex())

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _ask_ahead(self) -> None:
        while self._waiting and len(self._asked) < _AHEAD:
            source = self._waiting.popleft()
            name = os.fsencode(source.path)
            self._send(counter.ORDER.pack(counter.ASK, self._number + len(self._asked), len(name)) + name)
            self._asked.append(source)

    def _allow(self, offset: int) -> None:
        self._send(counter.ORDER.pack(counter.ALLOW, self._number, offset))

    def _send(self, message: bytes) -> None:
        try:
            self._orders.write(message)
            self._orders.flush()
        except OSError as error:
            raise _ended() from error

    def _receive(self) -> None:
        """Take in one message."""
        header = self._replies.read(counter.REPLY.size)
        if len(header) < counter.REPLY.size:
            raise _ended()
        kind, value = counter.REPLY.unpack(header)
        if kind == counter.PROGRESS:
            self._read_bytes = value
            return
        content = self._replies.read(value)
        if len(content) < value:
            raise _ended()
        self._counted = content


def _ended() -> UnavailableError:
    return UnavailableError(
        "the process that counts md5 has ended", hint="try again; the system may have ended it for want of memory"
    )
