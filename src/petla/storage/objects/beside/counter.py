"""The process that counts md5: run by its path with the bare interpreter, so that it starts in some milliseconds.

It reads messages from its input and answers in their order. It ends when its input is closed, so it never outlives its
parent; an interrupt from the keyboard is its parent's to handle.
"""

import contextlib
import hashlib
import os
import signal
import struct
import sys
from collections import deque
from typing import BinaryIO

# to the child: kind, number of what was asked, and a number: the bytes that follow, or how far it may read
ORDER = struct.Struct("<BQQ")
ASK, ALLOW = 1, 2
# from the child: kind and a number: how far it has read, or the bytes that follow
REPLY = struct.Struct("<BQ")
PROGRESS, COUNTED = 1, 2
# of a file: errno, md5, size, mtime in ns, inode, mode
FOUND = struct.Struct("<i16s4q")

# how far it may be before or behind whoever reads the same file
MOST_APART_BYTES = 256 << 20

_BLOCK_BYTES = 4 << 20


class Counter:
    """Counts what it is asked for.

    Args:
        orders: where it is asked.
        replies: where it answers.
    """

    def __init__(self, orders: BinaryIO, replies: BinaryIO) -> None:
        self._orders = orders
        self._replies = replies
        self._asked: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._allowed_bytes = 0
        self._block = memoryview(bytearray(_BLOCK_BYTES))

    def run(self) -> None:
        """Answer until nobody asks any more.

        Raises:
            EOFError: its input was closed.
        """
        while True:
            while not self._asked:
                self._read()
            self._number, path = self._asked.popleft()
            self._allowed_bytes = MOST_APART_BYTES
            self._reply(COUNTED, self._count(path))

    def _read(self) -> None:
        kind, number, value = ORDER.unpack(_read_all(self._orders, ORDER.size))
        if kind == ASK:
            self._asked.append((number, _read_all(self._orders, value)))
        elif number == self._number:
            self._allowed_bytes = value

    def _count(self, path: bytes) -> bytes:
        md5 = hashlib.md5(usedforsecurity=False)
        n_read = 0
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                while n := os.readv(descriptor, [self._block]):
                    md5.update(self._block[:n])
                    n_read += n
                    if n == _BLOCK_BYTES:
                        self._keep_pace(n_read)
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return FOUND.pack(error.errno or -1, b"", 0, 0, 0, 0)
        return FOUND.pack(0, md5.digest(), status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode)

    def _keep_pace(self, n_read: int) -> None:
        self._replies.write(REPLY.pack(PROGRESS, n_read))
        self._replies.flush()
        while n_read >= self._allowed_bytes:
            self._read()

    def _reply(self, kind: int, content: bytes) -> None:
        self._replies.write(REPLY.pack(kind, len(content)) + content)
        self._replies.flush()


def _read_all(source: BinaryIO, n_bytes: int) -> bytes:
    content = source.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError
    return content


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError):
        Counter(sys.stdin.buffer, sys.stdout.buffer).run()
    # what could not be written is nobody's any more
    os._exit(0)
