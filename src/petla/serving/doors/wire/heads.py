"""Heads of requests: fields that need a look before an application sees them."""

import re
from collections.abc import Mapping

import httptools

Fields = list[tuple[bytes, bytes]]

# in a field that names what a connection should become
_WISH = re.compile(rb"(?i)\b(upgrade|http2-settings)\b")


def is_plain(url: bytes, headers: Fields, fields: Mapping[bytes, bytes]) -> bool:
    """Whether a head needs no `check_head`: a path, no field twice, and a body of a known length or none.

    Args:
        url: the target, as it was sent.
        headers: all fields, names in lower case.
        fields: the same by name.
    """
    return url[:1] == b"/" and len(fields) == len(headers) and b"transfer-encoding" not in fields


def check_head(url: bytes, headers: Fields) -> None:
    """Refuse what two readers would understand differently, and let a target that names a host set the Host.

    Args:
        url: the target, as it was sent.
        headers: all fields, names in lower case; Host is replaced in place.

    Raises:
        ValueError: Host stands there twice, the transfer coding is not `chunked` alone, or the target is no URL. The
            message may be shown.

    Source: RFC 9112, sections 3.2, 3.2.2 and 6.1.
    """
    if sum(name == b"host" for name, _ in headers) > 1:
        raise ValueError("the request has two Host fields")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise ValueError("the body's transfer coding is not 'chunked' alone")
    if url[:1] in (b"/", b"*"):
        return
    target = httptools.parse_url(url)
    if not target.host:
        raise ValueError("the request's target names no host")
    host = b"[%b]" % target.host if b":" in target.host else target.host
    headers[:] = [field for field in headers if field[0] != b"host"]
    headers.append((b"host", b"%b:%d" % (host, target.port) if target.port else host))


def write_without_wish(method: bytes, url: bytes, version: str, headers: Fields) -> bytes:
    r"""Return a head that asks for another protocol as if it had not asked.

    Example:
        >>> write_without_wish(b"GET", b"/", "1.0", [(b"upgrade", b"h2c"), (b"connection", b"upgrade")])
        b'GET / HTTP/1.0\r\nconnection: \r\n\r\n'
    """
    lines = [
        b"%b: %b\r\n" % (name, _WISH.sub(b"", value) if name == b"connection" else value)
        for name, value in headers
        if name != b"upgrade"
    ]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, url, version.encode(), b"".join(lines))
