"""One file from a URL: over HTTP, or out of a bucket; whole or not at all."""

import netrc
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from petla.core.errors import ForbiddenError, InvalidError, NotFoundError, UnavailableError
from petla.core.progress import Progress
from petla.core.project import RemoteTable
from petla.data.pointers import Origin
from petla.storage.files import reported
from petla.storage.remotes.addresses import SCHEMES, open_bucket

_TIMEOUT_S = 60.0
_BLOCK_BYTES = 1 << 20
_SAFE = "/%:@!$&'()*+,;=?-._~"
_LENGTH = re.compile(r"[0-9]{1,18}")
_VERSION = re.compile(r"[\x20-\x7e]{1,256}")
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
    parts = check_url(url)
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
    address, headers = _encode(check_url(url)), {"User-Agent": "petla", **_conditions(former)}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - http(s)
    _authorize(request)
    with _asking(url), _open(request) as answer:
        if answer is None:
            return None
        expected = _read_length(url, answer)
        version = _keep_plain(answer.headers.get("ETag")) or _keep_plain(answer.headers.get("Last-Modified"))
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
    except ValueError as error:
        raise UnavailableError(
            f"{request.full_url} redirects to an address that is not valid: {error}", hint="ask whoever runs the server"
        ) from error
    with answer:
        yield answer


def _download_object(url: str, target: Path, former: Origin | None, root: Path, progress: Progress) -> Origin | None:
    folder, _, name = url.rpartition("/")
    bucket = open_bucket("import", RemoteTable(url=folder), root)
    said, size = bucket.describe(name)
    version = _keep_plain(said) or f"size:{size}"
    if former is not None and (former.version, former.size_bytes) == (version, size):
        return None
    progress.begin(f"downloading {name}", size)
    bucket.get_to(name, target, progress)
    return Origin(url, version, size, "etag")


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        InvalidError: it is not valid.
    """
    # NOTE: neither the URL nor the reason is shown: both may hold a password
    refused = InvalidError(
        "the URL is not valid: its host or port cannot be read, or it holds a control character",
        hint="correct the URL",
        field="url",
    )
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError as error:
        raise refused from error
    if not url.isprintable() or (parts.scheme in ("http", "https") and not host):
        raise refused
    return parts


def _encode(parts: SplitResult) -> str:
    """Write a URL as it travels: in ASCII, without the fragment."""
    host = (parts.hostname or "").encode("idna").decode()
    host = f"[{host}]" if ":" in host else host
    place = host if parts.port is None else f"{host}:{parts.port}"
    path, query = (quote(part, safe=_SAFE) for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, place, path, query, ""))


def _read_length(url: str, answer: HTTPResponse) -> int:
    """Return the size of the body in bytes; -1: the server does not say it."""
    if answer.chunked:
        return -1
    said = {text.strip() for line in answer.headers.get_all("Content-Length", []) for text in line.split(",")}
    if not said:
        return -1
    if len(said) > 1 or not _LENGTH.fullmatch(text := said.pop()):
        raise UnavailableError(
            f"{url} does not say the size of the file: its Content-Length is not one number of bytes",
            hint="ask whoever runs the server",
        )
    return int(text)


def _keep_plain(version: str | None) -> str:
    """Return what a server calls a version, if it can stand in a pointer and in a request; else nothing."""
    return version if version and _VERSION.fullmatch(version) else ""


def _conditions(former: Origin | None) -> dict[str, str]:
    if former is None or not _keep_plain(former.version):
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
