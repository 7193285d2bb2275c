"""Bodies that come compressed: `Content-Encoding: gzip` or `deflate`, bounded by what comes out."""

import zlib

from petla.core.errors import MalformedError, UnknownEncodingError

# one file of gzip behind the other is one body; more than this many have no use
_MOST_MEMBERS = 100
_GZIP = 16 + zlib.MAX_WBITS
_FIELD = "Content-Encoding"


def unpack(body: bytes, encoding: bytes, limit_bytes: int) -> bytes | None:
    r"""Return a body as it was before it was compressed, or None if it is too large.

    Args:
        body: as it was sent.
        encoding: what Content-Encoding says.
        limit_bytes: largest body; no more than this is ever made.

    Raises:
        UnknownEncodingError: it is neither gzip nor deflate, or several.
        MalformedError: it breaks off, or is not what it is said to be.

    Source: RFC 9110, section 8.4; RFC 1950 to 1952. `deflate` without zlib's frame is taken too, as some send it.

    Example:
        >>> import gzip
        >>> unpack(gzip.compress(b"{}"), b"gzip", 100)
        b'{}'
    """
    match encoding.strip().lower():
        case b"" | b"identity":
            return body
        case b"gzip" | b"x-gzip":
            return _unpack_members(body, limit_bytes)
        case b"deflate":
            return _unpack_stream(body, limit_bytes)
    shown = encoding[:40].decode("latin-1")
    raise UnknownEncodingError(
        f"the body's Content-Encoding is {shown!r}", hint="use gzip or deflate, or send it as it is", field=_FIELD
    )


def _unpack_stream(body: bytes, limit_bytes: int) -> bytes | None:
    # The first byte of zlib's frame is 8 in its lower half, and both are a multiple of 31; a bare stream is no such.
    is_framed = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2]) % 31 == 0
    found = _inflate(body, zlib.MAX_WBITS if is_framed else -zlib.MAX_WBITS, limit_bytes)
    if found is None:
        return None
    if found[1]:
        raise MalformedError("the body goes on behind its compressed content", field=_FIELD)
    return found[0]


def _unpack_members(body: bytes, limit_bytes: int) -> bytes | None:
    contents: list[bytes] = []
    left_bytes = limit_bytes
    while body or not contents:
        if len(contents) == _MOST_MEMBERS:
            raise MalformedError(f"the body consists of more than {_MOST_MEMBERS} files of gzip", field=_FIELD)
        found = _inflate(body, _GZIP, left_bytes)
        if found is None:
            return None
        content, body = found
        contents.append(content)
        left_bytes -= len(content)
    return b"".join(contents)


def _inflate(body: bytes, bits: int, limit_bytes: int) -> tuple[bytes, bytes] | None:
    """Return what comes out of one stream and what stands behind it, or None if that is too large."""
    stream = zlib.decompressobj(bits)
    try:
        # One byte more tells a body that is too large from one that just fits; a limit of 0 would be none at all.
        content = stream.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise MalformedError("the body is not what its Content-Encoding says", field=_FIELD) from error
    if len(content) > limit_bytes:
        return None
    if not stream.eof:
        raise MalformedError("the compressed body breaks off", field=_FIELD)
    return content, stream.unused_data
