"""Names made from content: BLAKE3 of bytes, and of values written in one canonical way."""

from typing import Any

import blake3
import msgspec

DIGEST_LENGTH = 64

_canonical = msgspec.json.Encoder(order="sorted")


def digest_bytes(content: bytes) -> str:
    """Return the BLAKE3 of bytes as 64 lower-case hexadecimal digits."""
    return blake3.blake3(content).hexdigest()


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - whatever msgspec can encode
    """Write a value as JSON with sorted keys: the same value gives the same bytes."""
    return _canonical.encode(value)


def digest_value(value: Any) -> str:  # noqa: ANN401 - whatever msgspec can encode
    """Return the BLAKE3 of a value's canonical JSON.

    Example:
        >>> digest_value({"b": 1, "a": 2}) == digest_value({"a": 2, "b": 1})
        True
    """
    return digest_bytes(canonical_json(value))
