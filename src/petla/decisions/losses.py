"""Decisions that were answered and not recorded, where `serving.spool_full = "serve"` prefers the answer to its record.

Each worker counts them in a file beside its spool. The file gets its full size when the worker starts and is written
over in place: a full disk does not hinder that, and neither a kill nor a restart forgets what was lost.
"""

import contextlib
import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from petla.core.clock import to_text
from petla.decisions.spool import SPOOL_FOLDER

LOSSES_FILE = "lost"
# decisions, and when the last of them was made in nanoseconds since 1970
_FORM = struct.Struct("<QQ")


class Losses(msgspec.Struct, frozen=True):
    """What all workers together have lost since the project began."""

    decisions: int
    # when the last one was lost; empty: none was
    last_at: str


def describe_losses(losses: Losses) -> str:
    """Say what was lost; empty: nothing was."""
    if not losses.decisions:
        return ""
    last = f"{losses.last_at[:19].replace('T', ' ')} UTC"
    were = "decision was" if losses.decisions == 1 else "decisions were"
    return f"{losses.decisions:,} {were} answered and not recorded, the last at {last}"


class LossCount:
    """The count of one worker, kept from one start to the next.

    Args:
        folder: the worker's spool.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / LOSSES_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._total, at_ns = _read(os.pread(self._descriptor, _FORM.size, 0))
        self._write(at_ns)

    def add(self, decisions: int) -> None:
        """Count decisions that were just lost."""
        self._total += decisions
        self._write(time.time_ns())

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _write(self, at_ns: int) -> None:
        # the next loss writes the whole count again
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, _FORM.pack(self._total, at_ns), 0)


def count_losses(state: Path) -> Losses:
    """Return what the workers of a state folder have lost."""
    found = [_read(path.read_bytes()) for path in (state / SPOOL_FOLDER).glob(f"*/{LOSSES_FILE}")]
    last_ns = max((at_ns for _, at_ns in found), default=0)
    last_at = to_text(datetime.fromtimestamp(last_ns / 1e9, UTC)) if last_ns else ""
    return Losses(sum(n for n, _ in found), last_at)


def _read(data: bytes) -> tuple[int, int]:
    return _FORM.unpack(data) if len(data) == _FORM.size else (0, 0)
