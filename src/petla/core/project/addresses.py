"""Addresses of the web, in the form in which they are called."""

import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

_HOST = re.compile(r"[A-Za-z0-9._:-]+")
# what stands in an address as it is; what is encoded already stays so
_KEPT = "/%:@!$&'()*+,;=~?"


class Address(NamedTuple):
    """Where to call."""

    is_secure: bool
    # of ASCII, as the name system takes it
    host: str
    port: int | None
    # path and query, of ASCII
    target: str


def split_address(text: str) -> Address:
    """Take an http or https address apart.

    Raises:
        ValueError: it is none, or nobody can be called there.
    """
    parts = urlsplit(text)
    # a name that IDNA does not know, such as `a..b`, is a ValueError
    host = (parts.hostname or "").encode("idna").decode()
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.port == 0:
        raise ValueError(f"{text!r} is no address")
    target = quote(parts.path or "/", safe=_KEPT.replace("?", ""))
    if parts.query:
        target += f"?{quote(parts.query, safe=_KEPT)}"
    return Address(parts.scheme == "https", host, parts.port, target)
