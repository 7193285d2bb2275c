"""The door: every request passes it before a handler sees it.

- The Host header must name this server: a foreign page cannot reach it by rebinding a name (DNS rebinding).
- `?token=` of a one-time link becomes a session cookie and disappears from the address.
- Without a session or an API token only handlers marked `opt={"is_public": True}` answer.
- A change by cookie needs the session's CSRF token and, where the browser sends one, our own Origin.
- Every answer carries the security headers.
"""

import hmac
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Response
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from petla.api.problems import Problem, ProblemBody
from petla.api.sessions import SESSION_LIFE, csrf_token, find_api_token, find_session, redeem
from petla.storage.workspace import Workspace

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # NOTE: no-referrer would make browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM_TYPE = "application/x-www-form-urlencoded"


class Door:
    """Knows who may come in.

    Args:
        ws: whose links, sessions and tokens count.
        base_url: where the control plane is served.
    """

    def __init__(self, ws: Workspace, base_url: str) -> None:
        self._ws = ws
        self._base_url = base_url
        parts = urlsplit(base_url)
        names = {_bracketed(parts.hostname or ""), *(_LOOPBACK if _is_loopback(parts.hostname) else ())}
        suffixes = {f":{parts.port}"} if parts.port else {"", ":443" if parts.scheme == "https" else ":80"}
        self._hosts = {name + suffix for name in names for suffix in suffixes}
        self._origins = {f"{parts.scheme}://{host}" for host in self._hosts}
        self._is_secure = parts.scheme == "https"
        # Cookies do not know ports, so that two projects on one machine need two names.
        self._cookie = f"petla_session_{parts.port or parts.scheme}"

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the application behind the door; a Litestar middleware."""

        async def enter(scope: Scope, receive: Receive, send: Send) -> None:
            request: Request[str, str, object] = Request(scope, receive, send)  # type: ignore[type-var]
            answer = self._refuse_host(request) or self._redeem(request)
            if answer is not None:
                await answer.to_asgi_response(None, request)(scope, receive, send)
                return
            self._identify(request)
            await app(scope, receive, send)

        return enter

    def require_session(self, request: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
        """Let only known visitors pass, except to what is public; a Litestar guard.

        Raises:
            NotAuthorizedException: there is no session.
        """
        if not handler.opt.get("is_public") and not request.scope.get("user"):
            raise NotAuthorizedException(detail="nobody is signed in here, or the session has ended")

    async def require_own_form(self, request: ASGIConnection, _: BaseRouteHandler) -> None:  # type: ignore[type-arg]
        """Let a change pass only if it comes from our own page or with an API token; a Litestar guard.

        Raises:
            PermissionDeniedException: the CSRF token is missing or wrong, or the Origin is foreign.
        """
        is_change = isinstance(request, Request) and request.method not in _SAFE_METHODS
        expected = str(request.scope.get("auth") or "")
        if not is_change or not expected:
            return
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._origins:
            raise PermissionDeniedException(detail=f"the change came from {origin}, which is not this server")
        given = request.headers.get(CSRF_HEADER, "")
        if not given and request.headers.get("content-type", "").startswith(_FORM_TYPE):
            given = str((await request.form()).get(CSRF_FIELD, ""))  # type: ignore[attr-defined]
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise PermissionDeniedException(detail="the form's CSRF token is missing or belongs to another session")

    def _refuse_host(self, request: Request[str, str, object]) -> Response[ProblemBody] | None:  # type: ignore[type-var]
        host = request.headers.get("host", "")
        if host.lower() in self._hosts:
            return None
        hint = f"open {self._base_url}"
        problem = Problem("unknown_host", f"this server is not {host!r}", "Host", hint)
        return Response(ProblemBody(problem), status_code=HTTPStatus.MISDIRECTED_REQUEST)

    def _redeem(self, request: Request[str, str, object]) -> Response[str] | None:  # type: ignore[type-var]
        query = request.scope["query_string"]
        if request.method != "GET" or b"token=" not in query:
            return None
        pairs = parse_qsl(query.decode("latin-1"))
        secret = redeem(self._ws, dict(pairs).get("token", ""))
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        target = "/" + quote(request.scope["path"].lstrip("/")) + (f"?{rest}" if rest else "")
        is_foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        return _lead_on(target, self._make_cookie(secret) if secret else None, is_foreign=is_foreign)

    def _make_cookie(self, secret: str) -> Cookie:
        return Cookie(
            key=self._cookie,
            value=secret,
            max_age=int(SESSION_LIFE.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=self._is_secure,
        )

    def _identify(self, request: Request[str, str, object]) -> None:  # type: ignore[type-var]
        """Note in the scope who it is: `user` is the name, `auth` the CSRF token (none for an API token)."""
        scope = request.scope
        scope["user"], scope["auth"] = "", ""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and (known := find_api_token(self._ws, token.strip())):
            scope["user"] = known.actor
            return
        secret = request.cookies.get(self._cookie, "")
        if secret and (session := find_session(self._ws, secret)):
            scope["user"], scope["auth"] = session.actor, csrf_token(secret)


def secure(message: Message, _: Scope) -> None:
    """Add the security headers to whatever is answered."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", "no-store")


def _lead_on(target: str, cookie: Cookie | None, *, is_foreign: bool) -> Response[str]:
    cookies = [cookie] if cookie else []
    if not is_foreign:
        headers = {"Location": target}
        return Response("", status_code=HTTPStatus.SEE_OTHER, headers=headers, cookies=cookies)
    # A strict cookie does not travel with a redirect that a foreign page began, but with what our own page begins.
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Pętla</title>'
        f'<meta http-equiv="refresh" content="0;url={escape(target)}"><p><a href="{escape(target)}">Go on</a>'
    )
    return Response(page, media_type="text/html; charset=utf-8", cookies=cookies)


def _is_loopback(host: str | None) -> bool:
    return host is not None and (_bracketed(host) in _LOOPBACK or host.startswith("127."))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
