"""One file from a URL: over HTTP, or out of a bucket; whole or not at all."""

import netrc
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from petla.core.errors import ForbiddenError, InvalidError, NotFoundError, UnavailableError
from petla.core.progress import Progress
from petla.core.project import RemoteTable
from petla.data.pointers import Origin
from petla.storage.files import reported
from petla.storage.remotes.addresses import SCHEMES, open_bucket

_TIMEOUT_S = 60.0
_BLOCK_BYTES = 1 << 20
_NOT_MODIFIED, _REFUSED, _ABSENT = 304, (401, 403, 407), (404, 410)


def download(url: str, target: Path, former: Origin | None, root: Path, progress: Progress) -> Origin | None:
    """Write what lies at a URL to a file; None: it is what it was the last time, and nothing was written.

    Args:
        url: HTTP, HTTPS, or an object in a cloud.
        target: the file.
        former: what was said of the content the last time.
        root: relative folders start here.
        progress: is told of the bytes.

    Raises:
        InvalidError: it is no such address, or holds a password.
        NotFoundError: there is nothing.
        ForbiddenError: the server does not let us in.
        UnavailableError: it cannot be reached, or broke off; the file may be half written.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise InvalidError(
            "the URL carries a user or a password",
            hint="take it out, and put it into ~/.netrc",
            field="url",
        )
    if parts.scheme in ("http", "https"):
        return _download_http(url, target, former, progress)
    if parts.scheme in SCHEMES and parts.scheme:
        return _download_object(url, target, former, root, progress)
    raise InvalidError(f"{url!r} is no URL of a file", hint="use https://…, s3://…, az://… or gs://…", field="url")


def _download_http(url: str, target: Path, former: Origin | None, progress: Progress) -> Origin | None:
    request = urllib.request.Request(url, headers={"User-Agent": "petla", **_conditions(former)})  # noqa: S310 - http(s)
    _authorize(request)
    with _asking(url), _open(request) as answer:
        if answer is None:
            return None
        expected = int(answer.headers.get("Content-Length") or -1)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if former is not None and version and version == former.version and expected in (-1, former.size_bytes):
            return None
        progress.begin(f"downloading {urlsplit(url).path.rpartition('/')[2]}", max(expected, 0))
        n_bytes = _copy(answer, target, progress)
    if expected not in (-1, n_bytes):
        raise UnavailableError(
            f"{url} broke off after {n_bytes:,} of {expected:,} bytes", hint="try again; nothing was kept"
        )
    return Origin(url, version or f"size:{n_bytes}", n_bytes)


@contextmanager
def _open(request: urllib.request.Request) -> Iterator[HTTPResponse | None]:
    """Yield the answer; None: it has not changed."""
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - http(s)
    except urllib.error.HTTPError as error:
        if error.code != _NOT_MODIFIED:
            raise
        error.close()
        yield None
        return
    with answer:
        yield answer


def _download_object(url: str, target: Path, former: Origin | None, root: Path, progress: Progress) -> Origin | None:
    folder, _, name = url.rpartition("/")
    bucket = open_bucket("import", RemoteTable(url=folder), root)
    version, size = bucket.describe(name)
    if former is not None and (former.version, former.size_bytes) == (version, size):
        return None
    progress.begin(f"downloading {name}", size)
    bucket.get_to(name, target, progress)
    return Origin(url, version, size, "etag")


def _conditions(former: Origin | None) -> dict[str, str]:
    if former is None:
        return {}
    if former.version.startswith(('"', "W/")):
        return {"If-None-Match": former.version}
    return {"If-Modified-Since": former.version} if former.version.endswith("GMT") else {}


def _authorize(request: urllib.request.Request) -> None:
    """Add what ~/.netrc says of the host; a redirection elsewhere does not carry it along."""
    import base64

    try:
        found = netrc.netrc().authenticators(urlsplit(request.full_url).hostname or "")
    except (FileNotFoundError, netrc.NetrcParseError):
        found = None
    if found:
        token = base64.b64encode(f"{found[0]}:{found[2]}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")


def _copy(answer: HTTPResponse, target: Path, progress: Progress) -> int:
    n_bytes = 0
    with reported(target), target.open("wb") as file:
        while block := answer.read(_BLOCK_BYTES):
            file.write(block)
            n_bytes += len(block)
            progress.advance(len(block))
    return n_bytes


@contextmanager
def _asking(url: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _ABSENT:
            raise NotFoundError(f"there is no {url} ({error.code})", hint="correct the URL") from None
        if error.code in _REFUSED:
            raise ForbiddenError(
                f"{url} does not let us in ({error.code})", hint="put user and password into ~/.netrc"
            ) from None
        raise UnavailableError(f"{url} answered {error.code} {error.reason}", hint="try again later") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", "") or error
        raise UnavailableError(f"{url} cannot be had: {reason}", hint="see whether it can be reached") from None
