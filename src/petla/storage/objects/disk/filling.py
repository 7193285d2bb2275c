"""From verified chunks to a file of the disk."""

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from petla.storage.objects.disk.uncached import write_large
from petla.storage.objects.naming import MOST_BYTES
from petla.storage.objects.packs import Payload

_ZEROS = bytes(MOST_BYTES)
# what is written past the page cache
LARGE_BYTES = 64 << 20


class Wanted(NamedTuple):
    """An object that becomes a file."""

    digest: str
    target: str
    mode: int


def create(wanted: Wanted, chunks: Iterable[Payload], *, size: int = 0) -> int:
    """Write a file that must not be there yet; return its bytes.

    Raises:
        OSError: it is there, or cannot be written.
    """
    descriptor = os.open(wanted.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, wanted.mode)
    return fill(descriptor, chunks, wanted.mode, size=size)


def fill(descriptor: int, chunks: Iterable[Payload], mode: int, *, size: int = 0) -> int:
    """Write a file's content and close it; return the bytes.

    Args:
        descriptor: of an empty file.
        chunks: its content.
        mode: it has it afterwards, whatever the mask of the process says.
        size: of the content in bytes, where it may be large.
    """
    try:
        n_bytes = (write_large if size >= LARGE_BYTES else _write_sparse)(descriptor, chunks)
    except BaseException:
        os.close(descriptor)
        raise
    finish_file(descriptor, n_bytes, mode)
    return n_bytes


def finish_file(descriptor: int, n_bytes: int, mode: int) -> None:
    """Give a file its size and its mode, and close it."""
    try:
        # NOTE: each of the two changes takes the kernel as long as making the file
        status = os.fstat(descriptor)
        if status.st_size != n_bytes:
            os.ftruncate(descriptor, n_bytes)
        if stat.S_IMODE(status.st_mode) != mode:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _write_sparse(descriptor: int, chunks: Iterable[Payload]) -> int:
    """Write chunks; the largest possible run of zeros becomes a hole."""
    offset = 0
    for chunk in chunks:
        if len(chunk) != MOST_BYTES or chunk != _ZEROS:
            n_written = 0
            while n_written < len(chunk):
                n_written += os.pwrite(descriptor, chunk[n_written:] if n_written else chunk, offset + n_written)
        offset += len(chunk)
    return offset
