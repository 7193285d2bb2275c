"""Where the segments of a stream lie, and places in them."""

import os
import re
from pathlib import Path
from typing import NamedTuple

SPOOL_FOLDER = "spool"
DECISIONS = "decisions"
FEEDBACK = "feedback"
SHADOWS = "shadows"
# in a worker's folder: segments in which something could not be read
DAMAGED_FOLDER = "damaged"

_NAME = re.compile(r"^([a-z]+)-(\d{6,})\.log$")


class Position(NamedTuple):
    """A place in a stream: everything before it was read."""

    segment: int
    offset: int


def list_segments(folder: Path, stream: str) -> list[int]:
    """Return the numbers of a stream's segments, oldest first."""
    if not folder.is_dir():
        return []
    matches = (_NAME.match(entry.name) for entry in os.scandir(folder))
    return sorted(int(match[2]) for match in matches if match and match[1] == stream)


def segment_path(folder: Path, stream: str, segment: int) -> Path:
    """Return where a segment lies."""
    return folder / f"{stream}-{segment:06d}.log"


def end_of(folder: Path, stream: str) -> Position:
    """Return the present end of a stream: all that was written until now lies before it."""
    segments = list_segments(folder, stream)
    if not segments:
        return Position(0, 0)
    return Position(segments[-1], segment_path(folder, stream, segments[-1]).stat().st_size)
