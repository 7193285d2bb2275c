"""The JSON API: thin handlers over the use cases that the pages and the command line use too."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from petla.api.deployments import HANDLERS as DEPLOYMENTS
from petla.api.problems import Problem, describe
from petla.api.status import (
    ModelStatus,
    Status,
    VersionDetail,
    describe_model,
    describe_status,
    describe_version,
)
from petla.decisions.log import get_decision, list_decisions
from petla.decisions.record import LoggedDecision, Truth
from petla.decisions.reviews.reviewing import (
    Outcome,
    Review,
    ReviewState,
    decide,
    decide_each,
    get_review,
    list_reviews,
)
from petla.decisions.spans.wanted import decode_wanted
from petla.incidents.incident import Incident, IncidentState
from petla.incidents.incidents import acknowledge, get_incident, list_incidents, resolve
from petla.loop.approvals import (
    Approval,
    ApprovalState,
    get_approval,
    grant,
    list_approvals,
    refuse,
)
from petla.models.registry import get_version, list_versions
from petla.pipeline.result import Run
from petla.pipeline.runs import get_run, list_runs
from petla.storage.ledger import Entry
from petla.storage.workspace import Workspace

Limit = Annotated[int, QueryParameter(ge=1, le=1_000, description="rows at most, newest first")]
# the project that the application was made for
Here = NamedDependency[Workspace]
# `user` is the name of who acts, `auth` the CSRF token of the session
Visitor = Request[str, str, Any]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's word on an approval."""

    reason: str = ""


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's decision in the place of a model's."""

    answer: Truth
    reason: str = ""


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's decision in the place of a model's, for several."""

    ids: tuple[str, ...]
    answer: Truth
    reason: str = ""


class Decided(msgspec.Struct, frozen=True):
    """What came of one of several decisions: the decided review, or why it was not decided."""

    id: str
    review: Review | None
    error: Problem | None


class Reviewed(msgspec.Struct, frozen=True):
    """A review with the decision that it is about."""

    review: Review
    decision: LoggedDecision


class Resolution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of an incident."""

    outcome: str


def make_routes(ws: Workspace) -> list[ControllerRouterHandler]:
    """Return the handlers under `/api`."""
    handlers: list[ControllerRouterHandler] = [
        read_status,
        read_model,
        read_versions,
        read_version,
        read_approvals,
        read_approval,
        grant_approval,
        refuse_approval,
        read_reviews,
        read_review,
        decide_review,
        decide_reviews,
        read_incidents,
        read_incident,
        acknowledge_incident,
        resolve_incident,
        read_runs,
        read_run,
        read_decisions,
        read_decision,
        read_audit,
        *DEPLOYMENTS,
    ]
    provide = Provide(lambda: ws, sync_to_thread=False)
    return [Router(path="/api", route_handlers=handlers, dependencies={"ws": provide})]


@get("/status", sync_to_thread=True)
def read_status(ws: Here) -> Status:
    """Return what is live, how much traffic it has, and what waits for a person."""
    return describe_status(ws)


@get("/models/{model:str}", sync_to_thread=True)
def read_model(ws: Here, model: FromPath[str]) -> ModelStatus:
    """Return one model: live version, traffic, incidents and approvals."""
    return describe_model(ws, model)


@get("/models/{model:str}/versions", sync_to_thread=True)
def read_versions(ws: Here, model: FromPath[str], limit: Limit = 50) -> list[VersionDetail]:
    """Return a model's versions with certificates and verdicts."""
    ws.get_model(model)
    return [describe_version(version) for version in list_versions(ws, model, limit)]


@get("/models/{model:str}/versions/{version:int}", sync_to_thread=True)
def read_version(ws: Here, model: FromPath[str], version: FromPath[int]) -> VersionDetail:
    """Return one version with its certificate and its verdict."""
    ws.get_model(model)
    return describe_version(get_version(ws, model, version))


@get("/approvals", sync_to_thread=True)
def read_approvals(
    ws: Here,
    in_state: FromQuery[ApprovalState | None] = None,
    limit: Limit = 50,
) -> tuple[Approval, ...]:
    """Return requests for approval."""
    return list_approvals(ws, in_state, limit=limit)


@get("/approvals/{approval:int}", sync_to_thread=True)
def read_approval(ws: Here, approval: FromPath[int]) -> Approval:
    """Return one request for approval."""
    return get_approval(ws, approval)


@post("/approvals/{approval:int}/grant", status_code=200, sync_to_thread=True)
def grant_approval(ws: Here, approval: FromPath[int], request: Visitor, data: JSONBody[Answer]) -> Approval:
    """Say yes: the challenger goes live."""
    return grant(ws, approval, actor=request.user, reason=data.reason)


@post("/approvals/{approval:int}/refuse", status_code=200, sync_to_thread=True)
def refuse_approval(ws: Here, approval: FromPath[int], request: Visitor, data: JSONBody[Answer]) -> Approval:
    """Say no, with a reason: the champion stays."""
    return refuse(ws, approval, actor=request.user, reason=data.reason)


@get("/reviews", sync_to_thread=True)
def read_reviews(
    ws: Here,
    in_state: FromQuery[ReviewState | None] = None,
    model: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> tuple[Review, ...]:
    """Return decisions that a guard put before a person; those that wait with `in_state=waiting`, oldest first."""
    return list_reviews(ws, in_state, model=model, limit=limit)


@get("/reviews/{decision:str}", sync_to_thread=True)
def read_review(ws: Here, decision: FromPath[str]) -> Reviewed:
    """Return one review with its decision."""
    return Reviewed(get_review(ws, decision), get_decision(ws, decision))


@post("/reviews/{decision:str}", status_code=200, sync_to_thread=True)
def decide_review(ws: Here, decision: FromPath[str], request: Visitor, data: JSONBody[Word]) -> Review:
    """Decide in the place of the model, with a reason; the webhook is told."""
    return decide(ws, decision, data.answer, actor=request.user, reason=data.reason)


@post("/reviews", status_code=200, sync_to_thread=True)
def decide_reviews(ws: Here, request: Visitor, data: JSONBody[Words]) -> list[Decided]:
    """Decide several with one answer and one reason, each for itself; return what came of each."""
    done = decide_each(data.ids, lambda each: decide(ws, each, data.answer, actor=request.user, reason=data.reason))
    return [_report(each) for each in done]


@get("/incidents", sync_to_thread=True)
def read_incidents(
    ws: Here,
    in_state: FromQuery[IncidentState | None] = None,
    limit: Limit = 50,
) -> tuple[Incident, ...]:
    """Return incidents."""
    return list_incidents(ws, in_state, limit=limit)


@get("/incidents/{incident:int}", sync_to_thread=True)
def read_incident(ws: Here, incident: FromPath[int]) -> Incident:
    """Return one incident with the alarms that opened or joined it."""
    return get_incident(ws, incident)


@post("/incidents/{incident:int}/acknowledge", status_code=200, sync_to_thread=True)
def acknowledge_incident(ws: Here, incident: FromPath[int], request: Visitor) -> Incident:
    """Say that you are looking at it."""
    return acknowledge(ws, incident, actor=request.user)


@post("/incidents/{incident:int}/resolve", status_code=200, sync_to_thread=True)
def resolve_incident(ws: Here, incident: FromPath[int], request: Visitor, data: JSONBody[Resolution]) -> Incident:
    """Close it with what came of it."""
    return resolve(ws, incident, data.outcome, actor=request.user)


@get("/runs", sync_to_thread=True)
def read_runs(ws: Here, model: FromQuery[str | None] = None, limit: Limit = 50) -> list[Run]:
    """Return runs."""
    return list_runs(ws, model, limit)


@get("/runs/{run:int}", sync_to_thread=True)
def read_run(ws: Here, run: FromPath[int]) -> Run:
    """Return one run with its steps."""
    return get_run(ws, run)


@get("/decisions", sync_to_thread=True)
def read_decisions(ws: Here, request: Visitor, limit: Limit = 50) -> list[LoggedDecision]:
    """Return the newest decisions.

    The query may name model, version, arm, served_by, flag, subject, labelled, since, until, and a place `at~seq` as
    older_than or newer_than, for the page next to it.
    """
    wanted = {name: value for name, value in request.query_params.items() if name != "limit"}
    return list_decisions(ws, decode_wanted(wanted), limit=limit)


@get("/decisions/{decision:str}", sync_to_thread=True)
def read_decision(ws: Here, decision: FromPath[str]) -> LoggedDecision:
    """Return one decision with its inputs, all that was said about it, and what shadows would have answered."""
    return get_decision(ws, decision)


@get("/audit", sync_to_thread=True)
def read_audit(ws: Here, limit: Limit = 50) -> list[Entry]:
    """Return the newest entries of the audit trail, newest first."""
    return ws.ledger.list_newest(limit=limit)[::-1]


def _report(outcome: Outcome) -> Decided:
    if isinstance(outcome.result, Review):
        return Decided(outcome.id, outcome.result, None)
    return Decided(outcome.id, None, describe(outcome.result).error)
