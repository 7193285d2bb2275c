"""One-time links, sessions and API tokens: how a person or a program becomes known to the control plane.

Only hashes of the secrets are stored, one small file each in `.petla/control/`, readable by the owner only:

- A link works once: whoever removes its file first has redeemed it, also between two processes.
- A link and a session end by themselves; an API token lasts until it is revoked.
- Who made the link or token is who acts with it: that name goes into the audit trail.
"""

import hashlib
import hmac
import secrets
import socket
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec

from petla.core.clock import from_text, to_text
from petla.core.errors import NotFoundError, UnavailableError
from petla.storage.files import reported, write_atomic
from petla.storage.workspace import Workspace

CONTROL_FOLDER = "control"
LINK_LIFE = timedelta(hours=24)
SESSION_LIFE = timedelta(days=7)

_SECRET_BYTES = 32
_ANSWER_S = 2.0
_API_PREFIX = "petla_"


class Pass(msgspec.Struct, frozen=True):
    """What is stored about a secret; its hash is the file's name."""

    actor: str
    created_at: str
    # empty: until it is revoked
    ends_at: str
    # what a token was made for, in its maker's words
    purpose: str = ""


def announce_address(ws: Workspace, base_url: str) -> None:
    """Write down where the control plane is served."""
    write_atomic(_address_path(ws), msgspec.json.encode({"address": base_url}), mode=0o600)


def is_announced(ws: Workspace) -> bool:
    """Whether the control plane has said where it is served."""
    return _address_path(ws).exists()


def forget_address(ws: Workspace) -> None:
    """Forget where an earlier control plane was served."""
    _address_path(ws).unlink(missing_ok=True)


def running_address(ws: Workspace) -> str:
    """Return where the control plane of this project is served.

    Raises:
        UnavailableError: none is running.
    """
    try:
        address = msgspec.json.decode(_address_path(ws).read_bytes(), type=dict[str, str])["address"]
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname, parts.port), timeout=_ANSWER_S):
            return address
    except OSError as error:
        raise UnavailableError(
            "no control plane of this project is running", hint="start it with 'petla up'"
        ) from error


def make_link(ws: Workspace, base_url: str, *, path: str = "/") -> str:
    """Make a link that opens a page once and starts a session for whoever follows it.

    Works from any process of the project's machine, whether the server runs or not.

    Args:
        base_url: where the pages are served, such as `http://127.0.0.1:8000`.
        path: the page that it opens.

    Raises:
        UnavailableError: the state folder cannot be written.
    """
    _remove_ended(ws)
    token = _issue(ws, "links", life=LINK_LIFE, actor=ws.actor)
    return f"{base_url.rstrip('/')}{path}?{urlencode({'token': token})}"


def redeem(ws: Workspace, token: str) -> str | None:
    """Turn the token of a link into the secret of a session; None: unknown, used or ended."""
    link = _find(ws, "links", token)
    if link is None:
        return None
    try:
        _path(ws, "links", token).unlink()
    except FileNotFoundError:  # another request was faster
        return None
    return _issue(ws, "sessions", life=SESSION_LIFE, actor=link.actor)


def find_session(ws: Workspace, secret: str) -> Pass | None:
    """Return the session of a cookie's secret, or None if there is none or it has ended."""
    return _find(ws, "sessions", secret)


def end_session(ws: Workspace, secret: str) -> None:
    """Forget a session; its cookie opens nothing from now on."""
    _path(ws, "sessions", secret).unlink(missing_ok=True)


def make_api_token(ws: Workspace, purpose: str) -> str:
    """Make a token for `Authorization: Bearer`; it is shown once and stored as a hash."""
    return _issue(ws, "tokens", actor=ws.actor, purpose=purpose)


def find_api_token(ws: Workspace, token: str) -> Pass | None:
    """Return what is known of an API token, or None."""
    return _find(ws, "tokens", token)


def list_api_tokens(ws: Workspace) -> list[Pass]:
    """Return all API tokens, oldest first; their secrets are known to nobody."""
    found = [_read(path) for path in _folder(ws, "tokens").glob("*.json")]
    return sorted((known for known in found if known is not None), key=lambda known: known.created_at)


def revoke_api_token(ws: Workspace, purpose: str) -> None:
    """Remove every API token made for a purpose.

    Raises:
        NotFoundError: there is none.
    """
    folder = _folder(ws, "tokens")
    paths = [path for path in folder.glob("*.json") if (found := _read(path)) and found.purpose == purpose]
    if not paths:
        raise NotFoundError(f"no API token was made for {purpose!r}", field="purpose")
    for path in paths:
        path.unlink(missing_ok=True)


def csrf_token(secret: str) -> str:
    """Return what a session's own forms carry, and nobody else can know."""
    return hmac.new(secret.encode(), b"petla csrf", hashlib.sha256).hexdigest()


def _issue(ws: Workspace, kind: str, *, actor: str, life: timedelta | None = None, purpose: str = "") -> str:
    now = ws.clock()
    prefix = _API_PREFIX if kind == "tokens" else ""
    secret = prefix + secrets.token_urlsafe(_SECRET_BYTES)
    ends_at = to_text(now + life) if life else ""
    path = _path(ws, kind, secret)
    with reported(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = msgspec.json.encode(Pass(actor, to_text(now), ends_at, purpose))
    write_atomic(path, content, mode=0o600)
    return secret


def _find(ws: Workspace, kind: str, secret: str) -> Pass | None:
    found = _read(_path(ws, kind, secret))
    return None if found is None or _has_ended(found, ws.clock()) else found


def _read(path: Path) -> Pass | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pass)
    except FileNotFoundError:
        return None


def _has_ended(found: Pass, now: datetime) -> bool:
    return bool(found.ends_at) and from_text(found.ends_at) <= now


def _remove_ended(ws: Workspace) -> None:
    now = ws.clock()
    for kind in ("links", "sessions"):
        for path in _folder(ws, kind).glob("*.json"):
            found = _read(path)
            if found is not None and _has_ended(found, now):
                path.unlink(missing_ok=True)


def _path(ws: Workspace, kind: str, secret: str) -> Path:
    # Hashed with SHA-256: the secrets are 32 random bytes, so nothing slower is needed. NOTE: the lookup by
    # name compares hashes, so its timing says nothing about a secret.
    return _folder(ws, kind) / f"{hashlib.sha256(secret.encode()).hexdigest()}.json"


def _folder(ws: Workspace, kind: str) -> Path:
    return ws.state / CONTROL_FOLDER / kind


def _address_path(ws: Workspace) -> Path:
    return ws.state / CONTROL_FOLDER / "address.json"
