"""What travelled."""

import msgspec


class Traffic(msgspec.Struct, frozen=True):
    """What a push or a pull moved."""

    # bytes that went over the wire
    bytes: int
    # chunks and lists
    entries: int
    # requests for them
    packs: int
