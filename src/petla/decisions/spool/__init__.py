"""The spool: append-only files in which a worker puts down what it decided before the answer leaves. No database.

A stream is a row of numbered segments, such as
`decisions-1767268800000-ORIGIN.log`, in a worker's own folder. A segment is a
row of frames: payload length and CRC-32 of the payload (both 32 bits, little endian), then the payload, a msgpack list
of records.

- One frame is one batch; its records were answered only if the whole frame was written.
- A writer never goes on in a segment it did not begin: it repairs the newest one and begins the next.
- A torn tail (the last frame is cut short) is cut off; it was never answered. The reader steps over other damage to
  the next whole frame, and says so.
- A writer draws an origin, 128 random bits, when it starts; its segments bear it, and how far they were shipped is
  remembered for each origin. So a folder that is lost, put back from a copy, or one of two on two machines never takes
  another one's place for its own, whatever its clock says. Of one origin, any copy of a file is the beginning of it.
- A segment's number is the milliseconds since 1970 at its beginning, and more than the one's before in the folder: it
  gives the order. For that the newest segment is never removed.
- What waits to be shipped is bounded by size and by age; a writer that has reached a bound refuses. It knows what
  waits from a note of the shipper's beside the segments.
"""

from petla.decisions.spool.frames import encode_frame
from petla.decisions.spool.reader import Frame, SpoolReader
from petla.decisions.spool.segments import (
    DAMAGED_FOLDER,
    DECISIONS,
    FEEDBACK,
    SHADOWS,
    SPOOL_FOLDER,
    Places,
    Position,
    Segment,
    end_of,
    list_left_behind,
    list_segments,
    segment_path,
    unread_from,
)
from petla.decisions.spool.waiting import Waiting, age_of, measure, note_shipped, read_shipped
from petla.decisions.spool.writer import Bounds, SpoolWriter

__all__ = [
    "DAMAGED_FOLDER",
    "DECISIONS",
    "FEEDBACK",
    "SHADOWS",
    "SPOOL_FOLDER",
    "Bounds",
    "Frame",
    "Places",
    "Position",
    "Segment",
    "SpoolReader",
    "SpoolWriter",
    "Waiting",
    "age_of",
    "encode_frame",
    "end_of",
    "list_left_behind",
    "list_segments",
    "measure",
    "note_shipped",
    "read_shipped",
    "segment_path",
    "unread_from",
]
