"""Names made from content: BLAKE3 of bytes, and of values written in one canonical way."""

import re
from typing import Annotated, Any

import blake3
import msgspec
from msgspec import Meta

DIGEST_LENGTH = 64

# A name that comes from elsewhere is decoded as one of these, so that nothing else becomes a part of a path or a key.
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
# DVC's name for the bytes of a file
Md5 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")

_canonical = msgspec.json.Encoder(order="sorted")


def check_digest(text: str) -> str:
    """Return a digest.

    Raises:
        ValueError: it is not 64 lower-case hexadecimal digits.
    """
    if _DIGEST.fullmatch(text) is None:
        raise ValueError(f"a digest has 64 lower-case hexadecimal digits, got {text[:100]!r}")
    return text


def check_md5(text: str) -> str:
    """Return an md5.

    Raises:
        ValueError: it is not 32 lower-case hexadecimal digits.
    """
    if _MD5.fullmatch(text) is None:
        raise ValueError(f"an md5 has 32 lower-case hexadecimal digits, got {text[:100]!r}")
    return text


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
