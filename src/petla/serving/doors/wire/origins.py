"""Which pages may ask a data plane from a browser: foreign ones may not, unless `serving.cors` names them.

A browser sends requests for any page that its user opens, to this machine too. Where no API key is asked for, that page
would write labels and read predictions. Two things tell its requests apart: `Origin` (and `Sec-Fetch-Site`), and a
`Host` that is not ours where the page had its own name point here (DNS rebinding).

Source: Fetch Standard, sections 3.1 (Origin) and 3.2 (CORS protocol); W3C Fetch Metadata, section 2.4.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from petla.core.errors import ForbiddenError, MalformedError, UnknownHostError
from petla.core.project import ServingTable, is_loopback
from petla.serving.doors.responses import Headers

_FOREIGN = (b"cross-site", b"same-site")
_READ = ("GET", "HEAD")
_NAMES = re.compile(rb"[A-Za-z0-9_, -]{1,2000}")
_EXPOSED = b"x-request-id, traceparent, x-petla-served-by, retry-after, inference-header-content-length"
# headers with a Host that was found to be ours: as many are remembered
_REMEMBERED = 64


class Origins:
    """Knows which pages may ask.

    Args:
        table: of the project file: where it listens, who may ask, and which pages.
    """

    def __init__(self, table: ServingTable) -> None:
        self._allowed = frozenset(origin.encode() for origin in table.cors)
        # with keys a foreign page can do nothing: the browser has none to send along
        self._is_open = table.access == "anyone"
        self._names = {name.lower() for name in (*table.hosts, table.host, "localhost")}
        # On an address that others can reach, the names that lead here are known only where they are written down.
        self._asks_host = self._is_open and (bool(table.hosts) or is_loopback(table.host))
        self._known: set[bytes] = set()

    def check(self, method: str, given: Mapping[bytes, bytes]) -> None:
        """Let a request pass if no foreign page can have sent it.

        Args:
            method: in capitals.
            given: the request's headers.

        Raises:
            UnknownHostError: its Host is not ours.
            ForbiddenError: a foreign page sent it.
            MalformedError: its Host cannot be read.
        """
        if not self._is_open:
            return
        host = given.get(b"host")
        if self._asks_host and host is not None and host not in self._known:
            self._check_host(host)
        if b"origin" in given or b"sec-fetch-site" in given:
            self._check_origin(method, given, host or b"")

    def find_headers(self, given: Mapping[bytes, bytes]) -> Headers:
        """Return the headers that let the page which asked read the answer; none for pages that may not."""
        origin = given.get(b"origin")
        if origin is None or origin not in self._allowed:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    def find_preflight(self, method: str, given: Mapping[bytes, bytes], methods: Sequence[str]) -> Headers | None:
        """Return the headers that answer a browser's question whether a page may ask; None if it is no such question.

        Args:
            method: in capitals.
            given: the request's headers.
            methods: what may be asked at the path.
        """
        if method != "OPTIONS" or b"access-control-request-method" not in given or not self.find_headers(given):
            return None
        wanted = given.get(b"access-control-request-headers", b"")
        return [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", wanted if _NAMES.fullmatch(wanted) else b"content-type"),
            (b"access-control-max-age", b"600"),
            (b"content-length", b"0"),
        ]

    def _check_host(self, host: bytes) -> None:
        try:
            parts = urlsplit(f"//{host.decode('ascii')}")
            name = (parts.hostname or "").lower()
        except ValueError as error:
            raise MalformedError("the Host header cannot be read", field="Host") from error
        # An address is nothing that a foreign page could have pointed here.
        if name not in self._names and not _is_address(name):
            raise UnknownHostError(
                f"this server is not {name!r}", hint="add the name to serving.hosts of petla.toml", field="Host"
            )
        if len(self._known) < _REMEMBERED:
            self._known.add(host)

    def _check_origin(self, method: str, given: Mapping[bytes, bytes], host: bytes) -> None:
        origin = given.get(b"origin")
        if origin is not None:
            is_own = bool(host) and origin.partition(b"://")[2].lower() == host.lower()
            is_foreign = not is_own and origin not in self._allowed
        else:
            # somebody who follows a link reads the answer; the page with the link does not
            is_link = method in _READ and given.get(b"sec-fetch-mode") == b"navigate"
            is_foreign = given.get(b"sec-fetch-site") in _FOREIGN and not is_link
        if is_foreign:
            shown = "another page" if origin is None else origin[:200].decode("latin-1")
            raise ForbiddenError(
                f"the request came from {shown}, which may not ask here",
                hint="add its origin to serving.cors of petla.toml",
                field="Origin",
            )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
