"""The pages' addresses: reading is GET; changing is POST, then a redirect to what was changed."""

import hashlib
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, URLEncodedBody
from litestar.types import ControllerRouterHandler

from petla.core.errors import InvalidError, NotFoundError
from petla.decisions.reviews.reviewing import (
    MOST,
    Outcome,
    Review,
    count_waiting,
    decide_each,
    decide_typed,
    find_review,
)
from petla.deployments.beside.rollouts import promote, stop
from petla.deployments.deploy import rollback
from petla.incidents.incidents import acknowledge, list_unresolved, resolve
from petla.loop.approvals import ApprovalState, grant, list_approvals, refuse
from petla.storage.workspace import Workspace
from petla.web import contexts
from petla.web.blocks import explain
from petla.web.forms import EndForm, ReasonForm, ThemeForm, VersionForm, WordForm, WordsForm
from petla.web.pages.approval import make_approval, make_approvals
from petla.web.pages.decision import make_decision
from petla.web.pages.decisions import address_of, make_decisions
from petla.web.pages.incident import make_incident, make_incidents
from petla.web.pages.model import make_model
from petla.web.pages.overview import make_overview
from petla.web.pages.review import make_review, make_reviews
from petla.web.pages.rollout import make_rollout
from petla.web.pages.trail import make_audit
from petla.web.rendering import find_asset, render

THEME_COOKIE = "petla_theme"
FRAGMENT_HEADER = "X-Petla-Fragment"
THEMES = ("light", "dark")

# the project that the application was made for
Here = NamedDependency[Workspace]
# `user` is the name of who acts, `auth` the CSRF token of the session
Visitor = Request[str, str, Any]
Page = Response[str]

# A path of our own: two slashes lead elsewhere; browsers read a backslash as one, and pass control characters over.
_OWN_PATH = re.compile(r"/(?![/\\])[^\x00-\x1f\x7f]*\Z")
_HTML = "text/html; charset=utf-8"
_YEAR_S = 365 * 24 * 3600


class Problem(Protocol):
    """What an error page says."""

    @property
    def message(self) -> str:
        """What happened."""

    @property
    def hint(self) -> str:
        """What to do next."""


def make_routes(ws: Workspace) -> list[ControllerRouterHandler]:
    """Return the handlers of all pages and their assets."""
    handlers: list[ControllerRouterHandler] = [
        show_overview,
        show_model,
        show_version,
        lead_to_decisions,
        show_decisions,
        show_decision,
        show_rollouts,
        show_rollout,
        promote_version,
        stop_rollout,
        roll_back,
        show_approvals,
        show_approval,
        grant_approval,
        refuse_approval,
        show_incidents,
        show_incident,
        acknowledge_incident,
        resolve_incident,
        show_reviews,
        show_review,
        decide_review,
        decide_reviews,
        show_audit,
        choose_theme,
        send_asset,
    ]
    provide = Provide(lambda: ws, sync_to_thread=False)
    return [Router("/", route_handlers=handlers, dependencies={"ws": provide}, include_in_schema=False)]


def make_error_page(ws: Workspace) -> Callable[[HTTPStatus, Problem, str], str]:
    """Return the function that draws an error for a person."""

    def draw(status: HTTPStatus, problem: Problem, theme: str) -> str:
        is_signed_out = status is HTTPStatus.UNAUTHORIZED
        page = contexts.ErrorPage(
            status=status,
            title="This page needs a link" if is_signed_out else status.phrase.capitalize(),
            message="Nobody is signed in here, or the session has ended." if is_signed_out else problem.message,
            hint="In the project's folder, type this and open the link that it prints:"
            if is_signed_out
            else problem.hint,
            command="petla link" if is_signed_out else "",
        )
        layout = contexts.Layout(
            project=ws.name, actor="", csrf_token="", theme=theme if theme in THEMES else "", path=""
        )
        return render("error.html", page, layout)

    return draw


@get("/", sync_to_thread=True)
def show_overview(ws: Here, request: Visitor) -> Page:
    """Show all models at this moment."""
    return _answer(ws, request, "overview.html", make_overview(ws))


@get("/models/{model:str}", sync_to_thread=True)
def show_model(ws: Here, request: Visitor, model: FromPath[str]) -> Page:
    """Show a model with the certificate of its live version."""
    return _answer(ws, request, "model.html", make_model(ws, model))


@get("/models/{model:str}/versions/{version:int}", sync_to_thread=True)
def show_version(ws: Here, request: Visitor, model: FromPath[str], version: FromPath[int]) -> Page:
    """Show a model with the certificate of one version."""
    return _answer(ws, request, "model.html", make_model(ws, model, version))


@get("/models/{model:str}/decisions", sync_to_thread=False)
def lead_to_decisions(model: FromPath[str]) -> Page:
    """Lead on to the decisions of a model."""
    return _go(address_of({"model": model}))


@get("/decisions", sync_to_thread=True)
def show_decisions(ws: Here, request: Visitor) -> Page:
    """Show the decisions that the query asks for."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    if len(asked) < len(request.query_params):
        # a form sends empty fields too; without them the address can be read and passed on
        return _go(address_of(asked))
    page = make_decisions(ws, asked)
    status = HTTPStatus.OK if page.is_clear else HTTPStatus.UNPROCESSABLE_ENTITY
    return _answer(ws, request, "decisions.html", page, status)


@get("/decisions/{decision:str}", sync_to_thread=True)
def show_decision(ws: Here, request: Visitor, decision: FromPath[str]) -> Page:
    """Show one decision with all that is known of it."""
    return _answer(ws, request, "decision.html", make_decision(ws, decision))


@get("/models/{model:str}/rollouts", sync_to_thread=True)
def show_rollouts(ws: Here, request: Visitor, model: FromPath[str]) -> Page:
    """Show what runs beside the champion, else what ran last."""
    return _answer(ws, request, "rollout.html", make_rollout(ws, model))


@get("/models/{model:str}/rollouts/{rollout:int}", sync_to_thread=True)
def show_rollout(ws: Here, request: Visitor, model: FromPath[str], rollout: FromPath[int]) -> Page:
    """Show one shadow, canary or experiment."""
    return _answer(ws, request, "rollout.html", make_rollout(ws, model, rollout))


@post("/models/{model:str}/promote", sync_to_thread=True)
def promote_version(ws: Here, request: Visitor, model: FromPath[str], data: URLEncodedBody[VersionForm]) -> Page:
    """Let a version that runs beside the champion take its place."""
    promote(ws, model, version=data.version, actor=request.user, reason=data.reason.strip())
    return _go(f"/models/{model}/rollouts")


@post("/models/{model:str}/stop", sync_to_thread=True)
def stop_rollout(ws: Here, request: Visitor, model: FromPath[str], data: URLEncodedBody[EndForm]) -> Page:
    """End the shadow, the canary or the experiment."""
    stop(ws, model, kind=data.kind, actor=request.user, reason=data.reason.strip())
    return _go(f"/models/{model}/rollouts")


@post("/models/{model:str}/rollback", sync_to_thread=True)
def roll_back(ws: Here, request: Visitor, model: FromPath[str], data: URLEncodedBody[ReasonForm]) -> Page:
    """Let the version that stands by serve again."""
    rollback(ws, model, actor=request.user, reason=data.reason.strip())
    return _go(f"/models/{model}")


@get("/approvals", sync_to_thread=True)
def show_approvals(ws: Here, request: Visitor) -> Page:
    """Show all requests for approval."""
    return _answer(ws, request, "approvals.html", make_approvals(ws))


@get("/approvals/{approval:int}", sync_to_thread=True)
def show_approval(ws: Here, request: Visitor, approval: FromPath[int]) -> Page:
    """Show a request with its evidence."""
    return _answer(ws, request, "approval.html", make_approval(ws, approval))


@post("/approvals/{approval:int}/grant", sync_to_thread=True)
def grant_approval(ws: Here, request: Visitor, approval: FromPath[int], data: URLEncodedBody[ReasonForm]) -> Page:
    """Take a yes."""
    grant(ws, approval, actor=request.user, reason=data.reason.strip())
    return _go(f"/approvals/{approval}")


@post("/approvals/{approval:int}/refuse", sync_to_thread=True)
def refuse_approval(ws: Here, request: Visitor, approval: FromPath[int], data: URLEncodedBody[ReasonForm]) -> Page:
    """Take a no, which needs a reason."""
    try:
        refuse(ws, approval, actor=request.user, reason=data.reason.strip())
    except InvalidError as error:
        page = make_approval(ws, approval, fault=explain(error), typed=data.reason)
        return _answer(ws, request, "approval.html", page, HTTPStatus.UNPROCESSABLE_ENTITY)
    return _go(f"/approvals/{approval}")


@get("/incidents", sync_to_thread=True)
def show_incidents(ws: Here, request: Visitor) -> Page:
    """Show all incidents."""
    return _answer(ws, request, "incidents.html", make_incidents(ws))


@get("/incidents/{incident:int}", sync_to_thread=True)
def show_incident(ws: Here, request: Visitor, incident: FromPath[int]) -> Page:
    """Show an incident with its playbook."""
    return _answer(ws, request, "incident.html", make_incident(ws, incident))


@post("/incidents/{incident:int}/acknowledge", sync_to_thread=True)
def acknowledge_incident(ws: Here, request: Visitor, incident: FromPath[int]) -> Page:
    """Note who is looking at it."""
    acknowledge(ws, incident, actor=request.user)
    return _go(f"/incidents/{incident}")


@post("/incidents/{incident:int}/resolve", sync_to_thread=True)
def resolve_incident(ws: Here, request: Visitor, incident: FromPath[int], data: URLEncodedBody[ReasonForm]) -> Page:
    """Close it with what came of it."""
    try:
        resolve(ws, incident, data.reason.strip(), actor=request.user)
    except InvalidError as error:
        page = make_incident(ws, incident, fault=explain(error), typed=data.reason)
        return _answer(ws, request, "incident.html", page, HTTPStatus.UNPROCESSABLE_ENTITY)
    return _go(f"/incidents/{incident}")


@get("/reviews", sync_to_thread=True)
def show_reviews(ws: Here, request: Visitor) -> Page:
    """Show the decisions that wait for a person, above them those that were just decided."""
    asked = request.query_params.getall("decided", [])
    decided = [Outcome(each.id, each) for each in (find_review(ws, name) for name in asked[:MOST]) if each]
    return _answer(ws, request, "reviews.html", make_reviews(ws, decided))


@post("/reviews/decide", sync_to_thread=True)
def decide_reviews(ws: Here, request: Visitor, data: URLEncodedBody[WordsForm]) -> Page:
    """Take a person's word for several; what could not be decided is said, and the others are."""
    try:
        settle = partial(decide_typed, ws, text=data.answer, actor=request.user, reason=data.reason)
        outcomes = decide_each(data.ticked, settle)
    except InvalidError as error:
        page = make_reviews(ws, given=data, fault=explain(error))
        return _answer(ws, request, "reviews.html", page, HTTPStatus.UNPROCESSABLE_ENTITY)
    if all(isinstance(each.result, Review) for each in outcomes):
        return _go(f"/reviews?{urlencode({'decided': data.ticked}, doseq=True)}")
    return _answer(ws, request, "reviews.html", make_reviews(ws, outcomes, given=data), HTTPStatus.CONFLICT)


@get("/reviews/{decision:str}", sync_to_thread=True)
def show_review(ws: Here, request: Visitor, decision: FromPath[str]) -> Page:
    """Show one of them with its inputs."""
    return _answer(ws, request, "review.html", make_review(ws, decision))


@post("/reviews/{decision:str}/decide", sync_to_thread=True)
def decide_review(ws: Here, request: Visitor, decision: FromPath[str], data: URLEncodedBody[WordForm]) -> Page:
    """Take a person's word, which needs a reason."""
    try:
        decide_typed(ws, decision, data.answer, actor=request.user, reason=data.reason)
    except InvalidError as error:
        page = make_review(ws, decision, fault=explain(error), typed=data.reason, chosen=data.answer)
        return _answer(ws, request, "review.html", page, HTTPStatus.UNPROCESSABLE_ENTITY)
    return _go(f"/reviews/{decision}")


@get("/audit", sync_to_thread=True)
def show_audit(ws: Here, request: Visitor) -> Page:
    """Show the newest entries of the audit trail."""
    return _answer(ws, request, "audit.html", make_audit(ws))


@post("/theme", sync_to_thread=False)
def choose_theme(data: URLEncodedBody[ThemeForm]) -> Page:
    """Remember light or dark in this browser."""
    theme = data.theme if data.theme in THEMES else ""
    cookie = Cookie(key=THEME_COOKIE, value=theme, max_age=_YEAR_S, httponly=True, samesite="strict")
    return _go(data.back if _OWN_PATH.match(data.back) else "/", cookie)


@get("/assets/{name:str}", opt={"is_public": True}, sync_to_thread=False)
def send_asset(name: FromPath[str]) -> Response[bytes]:
    """Send a stylesheet, the script or the mark; their addresses change with their content."""
    found = find_asset(name)
    if found is None:
        raise NotFoundError(f"there is no asset {name!r}", field="name")
    content, media_type = found
    headers = {"Cache-Control": f"public, max-age={_YEAR_S}, immutable"}
    return Response(content, media_type=media_type, headers=headers)


def _answer(
    ws: Workspace,
    request: Visitor,
    template: str,
    page: msgspec.Struct,
    status: HTTPStatus = HTTPStatus.OK,
) -> Page:
    html = render(template, page, _make_layout(ws, request))
    tag = f'W/"{hashlib.sha256(html.encode()).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Vary": f"Cookie, {FRAGMENT_HEADER}"}
    if request.headers.get("if-none-match") == tag:
        return Response("", status_code=HTTPStatus.NOT_MODIFIED, headers=headers, media_type=_HTML)
    return Response(html, status_code=status, headers=headers, media_type=_HTML)


def _make_layout(ws: Workspace, request: Visitor) -> contexts.Layout:
    theme = request.cookies.get(THEME_COOKIE, "")
    # the page that a form was sent from is the one without its last part
    path = request.url.path.removesuffix("/refuse").removesuffix("/resolve").removesuffix("/decide")
    return contexts.Layout(
        project=ws.name,
        actor=request.user,
        csrf_token=request.auth,
        theme=theme if theme in THEMES else "",
        path=path,
        query=request.url.query,
        waiting=len(list_approvals(ws, ApprovalState.WAITING)),
        unresolved=len(list_unresolved(ws)),
        reviews=count_waiting(ws),
        is_fragment=FRAGMENT_HEADER in request.headers,
    )


def _go(path: str, cookie: Cookie | None = None) -> Page:
    # what no header may contain is written with percents; what is written so already stays
    headers = {"Location": quote(path, safe="%/?#[]@:!$&'()*+,;=~", errors="replace")}
    cookies = [cookie] if cookie else []
    return Response("", status_code=HTTPStatus.SEE_OTHER, headers=headers, cookies=cookies, media_type=_HTML)
