"""Deploying for everybody, and going back: one audited change, one new snapshot."""

import msgspec

from petla.core.errors import ConflictError, NotFoundError
from petla.deployments import records
from petla.deployments.beside.rollout import Rollout
from petla.deployments.policy import policy_of, require_fit
from petla.deployments.publishing import (
    Move,
    Published,
    carry_out,
    find_route,
    lock_deployments,
    republish,
    take_back_refused,
)
from petla.deployments.records import DeploymentRow
from petla.deployments.server import find_server, list_acknowledgements
from petla.deployments.snapshot import Acknowledgement, Route, Variant, VersionStatus
from petla.models import registry
from petla.models.package import Package, load_version
from petla.storage.database import reading
from petla.storage.workspace import Workspace

__all__ = [
    "Deployment",
    "deploy",
    "deployment_after",
    "find_deployment",
    "list_deployments",
    "make_champion",
    "publish_policy",
    "republish",
    "rollback",
    "take_back_refused",
]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What serves for one model."""

    model: str
    live: int
    standby: int | None
    # number of the snapshot that says so
    snapshot: int
    # milliseconds from publishing to the last worker's word; None: no server is running, or nothing was changed just
    # now
    took_ms: float | None = None
    # workers that serve it
    workers: int = 0
    changed_at: str = ""
    changed_by: str = ""
    # what runs beside the champion
    rollouts: tuple[Rollout, ...] = ()
    # worker -> its versions of this model, each with its stage
    stages: dict[str, tuple[VersionStatus, ...]] = {}


def deploy(
    ws: Workspace, model: str, version: int, *, actor: str, reason: str = "", wait_s: float = 30.0
) -> Deployment:
    """Make a version the champion; the one before it is retired and stands by.

    What runs beside the champion ends: it was compared with the version that leaves.

    Args:
        ws: the project.
        model: the model.
        version: in testing, shadow, canary or retired.
        actor: who does it, for the audit trail.
        reason: why.
        wait_s: seconds to wait for the workers.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: its state does not allow it.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    with lock_deployments(ws, f"deploying {model}:{version}"):
        now = find_route(ws, model)
        if now is not None and now.live.version == version:
            raise ConflictError(f"model {model}:{version} is live already", hint="see 'petla models list'")
        move = Move(
            model=model,
            route=make_champion(ws, model, version, now),
            action="model.deployed",
            subject=f"{model}:{version}",
            actor=actor,
            reason=reason,
            outcome=f"{model}:{version} was deployed for everybody",
        )
        return deployment_after(ws, model, carry_out(ws, move, wait_s))


def rollback(ws: Workspace, model: str, *, actor: str, reason: str, wait_s: float = 30.0) -> Deployment:
    """Go back by one step: end the canary or the experiment that runs; else let the version that stands by serve again.

    Raises:
        NotFoundError: nothing serves for this model.
        ConflictError: no version stands by.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    with lock_deployments(ws, f"rolling back {model}"):
        now = find_route(ws, model)
        if now is None:
            raise NotFoundError(f"nothing serves for model {model}", hint=f"deploy one with 'petla deploy {model}:1'")
        if now.split is not None:
            route, subject = msgspec.structs.replace(now, split=None), f"{model}:{now.split.arms[0].variant.version}"
        elif now.standby is not None:
            route = make_champion(ws, model, now.standby.version, now, is_return=True)
            subject = f"{model}:{now.standby.version}"
        else:
            raise ConflictError(
                f"model {model}:{now.live.version} is the first that was deployed: there is nothing to go back to",
                hint=f"deploy another version with 'petla deploy {model}:VERSION'",
            )
        move = Move(model=model, route=route, action="model.rolled_back", subject=subject, actor=actor, reason=reason)
        return deployment_after(ws, model, carry_out(ws, move, wait_s))


def publish_policy(ws: Workspace, model: str, *, actor: str, reason: str = "", wait_s: float = 30.0) -> Deployment:
    """Let the project file's limits, fallback and guards count for what serves, without another version.

    Raises:
        NotFoundError: nothing serves for this model.
        InvalidError: the policy does not fit the live version; nothing was changed.
        UnavailableError: a worker cannot serve it; what served before serves again.
    """
    with lock_deployments(ws, f"publishing the policy of {model}"):
        now = find_route(ws, model)
        if now is None:
            raise NotFoundError(f"nothing serves for model {model}", hint="'petla deploy' publishes the policy as well")
        policy = policy_of(ws, model)
        require_fit(policy, model, _load(ws, model, now.live).signature)
        route, subject = msgspec.structs.replace(now, policy=policy), f"{model}:{now.live.version}"
        move = Move(model=model, route=route, action="policy.published", subject=subject, actor=actor, reason=reason)
        return deployment_after(ws, model, carry_out(ws, move, wait_s))


def list_deployments(ws: Workspace) -> list[Deployment]:
    """Return what serves, by model."""
    with reading(ws.engine) as connection:
        rows = records.list_deployments(connection, ws.name)
        snapshot = records.find_newest_snapshot(connection, ws.name)
        running = records.list_rollouts(connection, ws.name, is_running=True)
    number = snapshot.number if snapshot is not None else 0
    said = list_acknowledgements(ws.state) if find_server(ws.state) is not None else []
    published = Published(number, None, sum(each.serving == number for each in said))
    return [_deployment_of(row, published, running, said) for row in rows]


def find_deployment(ws: Workspace, model: str) -> Deployment | None:
    """Return what serves for a model, or None."""
    return next((found for found in list_deployments(ws) if found.model == model), None)


def deployment_after(ws: Workspace, model: str, published: Published) -> Deployment:
    """Return what serves for a model after a change of it."""
    found = next(found for found in list_deployments(ws) if found.model == model)
    return msgspec.structs.replace(found, took_ms=published.took_ms, workers=published.workers)


def make_champion(ws: Workspace, model: str, version: int, now: Route | None, *, is_return: bool = False) -> Route:
    """Return the route with a version as the champion and the one before it standing by.

    Args:
        ws: the project.
        model: the model.
        version: of it.
        now: what serves.
        is_return: it comes back, and may be older than a rule that names a new input; it serves without that one.

    Raises:
        NotFoundError: there is no such version.
        InvalidError: the project file's policy does not fit it.
        CorruptError: its package is damaged or another version's, or no audit entry explains its state.
    """
    live = _variant_of(ws, model, version)
    # Verified here as well: what cannot be loaded is refused before anything is changed.
    package = _load(ws, model, live)
    policy = policy_of(ws, model)
    if not is_return:
        require_fit(policy, model, package.signature)
    table = ws.project.models.get(model)
    return Route(
        live=live,
        standby=now.live if now is not None else None,
        answer=package.answer,
        subject=table.subject if table is not None else "",
        policy=policy,
    )


def _variant_of(ws: Workspace, model: str, version: int) -> Variant:
    found = registry.get_version(ws, model, version)
    registry.require_explained(ws, found)
    return Variant(found.version, found.package)


def _load(ws: Workspace, model: str, variant: Variant) -> Package:
    return load_version(ws.objects, ws.keys, variant.package, model, variant.version)


def _deployment_of(
    row: DeploymentRow, published: Published, running: list[Rollout], said: list[Acknowledgement]
) -> Deployment:
    return Deployment(
        **msgspec.structs.asdict(row),
        snapshot=published.snapshot,
        workers=published.workers,
        rollouts=tuple(rollout for rollout in running if rollout.model == row.model),
        stages={each.worker: tuple(status for status in each.versions if status.model == row.model) for each in said},
    )
