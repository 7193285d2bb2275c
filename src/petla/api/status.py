"""What the API says in one piece about the project, its models and a model version."""

import msgspec

from petla.decisions.losses import Losses, count_losses
from petla.decisions.reviews.reviewing import count_waiting
from petla.decisions.trusted_clock import describe_hold
from petla.deployments.deploy import find_deployment
from petla.gates.verdict import Verdict, find_verdict
from petla.incidents.incidents import list_unresolved
from petla.loop.approvals import ApprovalState, list_approvals
from petla.loop.controller import explain_waiting
from petla.loop.retraining.retrainings import list_retrainings
from petla.models.registry import Certificate, ModelVersion
from petla.models.states import State
from petla.monitoring.views import Traffic, count_traffic
from petla.storage.workspace import Workspace


class ModelStatus(msgspec.Struct, frozen=True):
    """One model at this moment."""

    model: str
    # None: nothing was deployed yet
    live: int | None
    standby: int | None
    # decisions counted so far
    traffic: Traffic
    # numbers of what is not resolved or not answered yet
    open_incidents: tuple[int, ...]
    waiting_approvals: tuple[int, ...]
    # decisions that wait for a person
    waiting_reviews: int
    # why no retraining is under way although an alarm is open; empty: none is open, or one is under way
    waits: str


class Status(msgspec.Struct, frozen=True):
    """The project at this moment."""

    project: str
    models: tuple[ModelStatus, ...]
    # what was answered and not recorded, by `serving.spool_full`
    lost: Losses
    # why retention does not believe the clock, with the next step; empty: it does
    expiry_held: str = ""


class VersionDetail(msgspec.Struct, frozen=True):
    """A model version with its certificate and its verdict."""

    model: str
    version: int
    state: State
    run_id: int
    created_at: str
    certificate: Certificate
    # None: not judged yet
    verdict: Verdict | None


def describe_status(ws: Workspace) -> Status:
    """Return what is live, how much traffic it has, and what waits for a person."""
    models = tuple(describe_model(ws, model) for model in ws.project.models)
    return Status(ws.name, models, count_losses(ws.state), describe_hold(ws))


def describe_model(ws: Workspace, model: str) -> ModelStatus:
    """Return one model of the project file.

    Raises:
        NotFoundError: the project file has no such model.
    """
    ws.get_model(model)
    deployed = find_deployment(ws, model)
    waiting = list_approvals(ws, ApprovalState.WAITING, model=model)
    unresolved = list_unresolved(ws, model=model)
    is_under_way = bool(list_retrainings(ws, model=model, is_open=True, limit=1))
    return ModelStatus(
        model=model,
        live=deployed.live if deployed else None,
        standby=deployed.standby if deployed else None,
        traffic=count_traffic(ws, model),
        open_incidents=tuple(incident.id for incident in unresolved),
        waiting_approvals=tuple(approval.id for approval in waiting),
        waiting_reviews=count_waiting(ws, model),
        waits=explain_waiting(ws, unresolved[0]) if unresolved and not is_under_way else "",
    )


def describe_version(version: ModelVersion) -> VersionDetail:
    """Return a model version as the API shows it."""
    return VersionDetail(
        model=version.model,
        version=version.version,
        state=version.state,
        run_id=version.run_id,
        created_at=version.created_at,
        certificate=version.certificate,
        verdict=find_verdict(version),
    )
