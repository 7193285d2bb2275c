"""Where the segments of a stream lie, and places in them."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SPOOL_FOLDER = "spool"
DECISIONS = "decisions"
FEEDBACK = "feedback"
SHADOWS = "shadows"
# in a worker's folder: segments in which something could not be read
DAMAGED_FOLDER = "damaged"

_NAME = re.compile(r"^([a-z]+)-(\d{6,})(?:-([0-9a-f]{32}))?\.log$")


class Segment(NamedTuple):
    """One file of a stream. In the order of their numbers they were begun, as long as no clock was set back."""

    number: int
    # what its writer drew when it started; empty: it was written before there were origins
    origin: str = ""


class Position(NamedTuple):
    """A place in what one writer wrote: everything of that origin before it was read."""

    segment: int
    offset: int
    origin: str = ""

    @property
    def file(self) -> Segment:
        """The segment that the place lies in."""
        return Segment(self.segment, self.origin)


# how far each origin was read; one that is missing was not
Places = Mapping[str, Position]


def list_segments(folder: Path, stream: str) -> list[Segment]:
    """Return a stream's segments, those with the lowest numbers first."""
    if not folder.is_dir():
        return []
    matches = (_NAME.match(entry.name) for entry in os.scandir(folder))
    return sorted(Segment(int(match[2]), match[3] or "") for match in matches if match and match[1] == stream)


def segment_path(folder: Path, stream: str, segment: Segment) -> Path:
    """Return where a segment lies."""
    origin = f"-{segment.origin}" if segment.origin else ""
    return folder / f"{stream}-{segment.number:06d}{origin}.log"


def end_of(folder: Path, stream: str) -> Position:
    """Return the present end of a stream: all that was written until now lies before it."""
    segments = list_segments(folder, stream)
    if not segments:
        return Position(0, 0)
    newest = segments[-1]
    return Position(newest.number, segment_path(folder, stream, newest).stat().st_size, newest.origin)


def unread_from(segment: Segment, places: Places) -> int | None:
    """Return the first byte of a segment that was not read; None: the whole segment was left behind."""
    place = places.get(segment.origin, Position(0, 0))
    if segment.number < place.segment:
        return None
    return place.offset if segment.number == place.segment else 0


def note_writer(folder: Path, stream: str, origin: str) -> None:
    """Say beside a stream who writes it, before its first segment is there; the writer does, under its lock."""
    _writer_path(folder, stream).write_text(origin)


def list_left_behind(folder: Path, stream: str, places: Places) -> list[Segment]:
    """Return the segments that were read to their end and that nobody will write or count on any more."""
    # NOTE: in this order: whose segment is seen has said before that it writes.
    segments = list_segments(folder, stream)
    writer = read_writer(folder, stream)
    # the newest of all stays: its number tells the next writer where to go on
    kept = {writer, segments[-1].origin} if segments else set()
    return [
        segment
        for segment in segments
        if (offset := unread_from(segment, places)) is None
        or (writer and segment.origin not in kept and offset >= segment_path(folder, stream, segment).stat().st_size)
    ]


def read_writer(folder: Path, stream: str) -> str:
    """Return the origin of who wrote last; empty: it is not known, so anyone may be writing."""
    with contextlib.suppress(OSError):
        said = _writer_path(folder, stream).read_text()
        if re.fullmatch(r"[0-9a-f]{32}", said):
            return said
    return ""


def _writer_path(folder: Path, stream: str) -> Path:
    return folder / f"{stream}.writer"
