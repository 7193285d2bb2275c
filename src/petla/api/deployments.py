"""The API of deployments: what serves, what runs beside it, and changing both. Thin handlers over the use cases."""

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler

from petla.core.errors import InvalidError
from petla.deployments.beside.rollout import (
    Plan,
    Rollout,
    RolloutArm,
    RolloutKind,
    plan_canary,
    plan_experiment,
    plan_shadow,
)
from petla.deployments.beside.rollouts import list_rollouts, promote, start, stop
from petla.deployments.deploy import Deployment, deploy, list_deployments, rollback
from petla.monitoring.rollouts.report import RolloutReport, make_report
from petla.storage.workspace import Workspace

Here = NamedDependency[Workspace]
Visitor = Request[str, str, Any]


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to serve: a version for everybody, or versions beside the champion; shares are parts of 1."""

    version: int | None = None
    # share of the decisions that the version is asked, unseen
    shadow: float | None = None
    # shares of the subjects that the version goes through
    canary: tuple[float, ...] = ()
    # of an experiment, in the place of a version
    arms: tuple[RolloutArm, ...] = ()
    reason: str = ""


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the versions beside the champion is meant, and why; without a version: the only one."""

    version: int | None = None
    reason: str = ""


class Ending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to end, and why; without a kind: all that runs beside the champion."""

    kind: RolloutKind | None = None
    reason: str = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reason."""

    reason: str = ""


@get("/deployments", sync_to_thread=True)
def read_deployments(ws: Here) -> list[Deployment]:
    """Return what serves, what runs beside it, and how far each worker has come with each version."""
    return list_deployments(ws)


@get("/models/{model:str}/rollouts", sync_to_thread=True)
def read_rollouts(ws: Here, model: FromPath[str]) -> list[Rollout]:
    """Return shadows, canaries and experiments of a model, newest first."""
    ws.get_model(model)
    return list_rollouts(ws, model)


@get("/models/{model:str}/comparison", sync_to_thread=True)
def read_comparison(ws: Here, model: FromPath[str], rollout: FromQuery[int | None] = None) -> RolloutReport:
    """Return what is known of a rollout: the one that runs, else the last."""
    return make_report(ws, model, rollout)


@post("/models/{model:str}/deploy", status_code=200, sync_to_thread=True)
def deploy_version(ws: Here, model: FromPath[str], request: Visitor, data: JSONBody[Wish]) -> Deployment:
    """Put a version live, or run versions beside the champion."""
    _, table = ws.get_model(model)
    plan = _plan_of(data, table.deploy.step_minutes)
    if plan is not None:
        return start(ws, model, plan, actor=request.user, reason=data.reason)
    return deploy(ws, model, _require_version(data), actor=request.user, reason=data.reason)


@post("/models/{model:str}/promote", status_code=200, sync_to_thread=True)
def promote_version(ws: Here, model: FromPath[str], request: Visitor, data: JSONBody[Word]) -> Deployment:
    """Let a version that runs beside the champion take its place."""
    ws.get_model(model)
    return promote(ws, model, version=data.version, actor=request.user, reason=data.reason)


@post("/models/{model:str}/rollback", status_code=200, sync_to_thread=True)
def roll_back(ws: Here, model: FromPath[str], request: Visitor, data: JSONBody[Why]) -> Deployment:
    """End the canary or the experiment; without one, put the version before the live one live again."""
    ws.get_model(model)
    return rollback(ws, model, actor=request.user, reason=data.reason)


@post("/models/{model:str}/stop", status_code=200, sync_to_thread=True)
def stop_rollouts(ws: Here, model: FromPath[str], request: Visitor, data: JSONBody[Ending]) -> Deployment:
    """End what runs beside the champion."""
    ws.get_model(model)
    return stop(ws, model, kind=data.kind, actor=request.user, reason=data.reason)


HANDLERS: tuple[ControllerRouterHandler, ...] = (
    read_deployments,
    read_rollouts,
    read_comparison,
    deploy_version,
    promote_version,
    roll_back,
    stop_rollouts,
)


def _plan_of(wish: Wish, step_minutes: float) -> Plan | None:
    if (wish.shadow is not None) + bool(wish.canary) + bool(wish.arms) > 1:
        raise InvalidError("shadow, canary and arms exclude each other", hint="start them one after the other")
    if wish.arms:
        if wish.version is not None:
            raise InvalidError("the arms name their versions", hint="leave version out", field="version")
        return plan_experiment(wish.arms)
    if wish.shadow is not None:
        return plan_shadow(_require_version(wish), wish.shadow)
    return plan_canary(_require_version(wish), wish.canary, step_minutes) if wish.canary else None


def _require_version(wish: Wish) -> int:
    if wish.version is None:
        raise InvalidError("no version is named", hint="say which, such as 3", field="version")
    return wish.version
