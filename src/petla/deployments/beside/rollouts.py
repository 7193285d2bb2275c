"""Running versions beside the champion: start, next step, promotion, end. One audited change, one new snapshot each."""

from typing import NoReturn

import msgspec

from petla.core.errors import ConflictError, NotFoundError
from petla.deployments import records
from petla.deployments.beside.rollout import (
    Plan,
    Rollout,
    RolloutArm,
    RolloutKind,
    RolloutState,
    require_same_inputs,
)
from petla.deployments.deploy import Deployment, deploy, deployment_after
from petla.deployments.publishing import Move, carry_out, find_route, lock_deployments
from petla.deployments.snapshot import Arm, Route, Shadow, Split, Variant
from petla.models.package import load_version
from petla.models.registry import get_version, require_explained
from petla.models.states import State
from petla.storage.database import reading
from petla.storage.workspace import Workspace


def list_rollouts(
    ws: Workspace, model: str | None = None, *, is_running: bool = False, limit: int = 50
) -> list[Rollout]:
    """Return rollouts, newest first."""
    with reading(ws.engine) as connection:
        return records.list_rollouts(connection, ws.name, model=model, is_running=is_running, limit=limit)


def start(ws: Workspace, model: str, plan: Plan, *, actor: str, reason: str = "", wait_s: float = 30.0) -> Deployment:
    """Let versions run beside the champion.

    A shadow may run beside a canary. A version that was the shadow may become the canary; the shadow ends then. So may
    a former champion, the one that stands by too: it stays in memory for a rollback all the same.

    Args:
        ws: the project.
        model: the model.
        plan: what is to run.
        actor: who does it, for the audit trail.
        reason: why.
        wait_s: seconds to wait for the workers.

    Raises:
        NotFoundError: there is no such version, or nothing serves for this model.
        ConflictError: a version's state does not allow it, it takes other inputs than the champion, or such a rollout
            runs already.
        UnavailableError: a worker cannot load it; what served before serves on.
    """
    with lock_deployments(ws, f"starting a {plan.kind} of {model}"):
        now = find_route(ws, model)
        if now is None:
            raise NotFoundError(
                f"nothing serves for model {model}, so there is nothing to run beside",
                hint=f"deploy the first version with 'petla deploy {model}:{plan.arms[0].version}'",
            )
        _require_place(model, now, plan)
        arms = [_make_arm(ws, model, now, arm) for arm in plan.arms]
        salt = f"{model}-{_next_number(ws)}"
        subject = ", ".join(f"{model}:{arm.version}" for arm in plan.arms)
        begins = Rollout(
            id=0,
            model=model,
            kind=plan.kind,
            state=RolloutState.RUNNING,
            champion=now.live.version,
            arms=plan.arms,
            salt=salt,
            steps=plan.steps,
            step_minutes=plan.step_minutes,
            started_at="",
            started_by=actor,
            stepped_at="",
        )
        move = Move(
            model=model,
            route=_route_with(now, begins, arms),
            action=f"{plan.kind}.started",
            subject=subject,
            actor=actor,
            reason=reason,
            begins=begins,
            outcome=f"{subject} began as {plan.kind}",
        )
        return deployment_after(ws, model, carry_out(ws, move, wait_s))


def step(ws: Workspace, rollout: Rollout, *, actor: str, reason: str, wait_s: float = 30.0) -> Deployment:
    """Give a canary the share of its next step; the last step of all promotes it.

    Raises:
        ConflictError: it runs no more, it has gone on meanwhile, or it has no further step.
        UnavailableError: a worker cannot take it up; the share stays.
    """
    share = rollout.next_share
    if share is None:
        raise ConflictError(f"the canary of {rollout.model} has no further step", hint="see 'petla deployments'")
    if share >= 1:
        return promote(ws, rollout.model, version=rollout.arms[0].version, actor=actor, reason=reason, wait_s=wait_s)
    with lock_deployments(ws, f"the next step of {rollout.model}"):
        now, found = find_route(ws, rollout.model), _find_running(ws, rollout)
        if now is None or now.split is None or found is None or found.arms != rollout.arms:
            raise ConflictError(f"the canary of {rollout.model} was changed meanwhile", hint="see 'petla deployments'")
        arms = tuple(msgspec.structs.replace(arm, share=share) for arm in now.split.arms)
        move = Move(
            model=rollout.model,
            route=msgspec.structs.replace(now, split=msgspec.structs.replace(now.split, arms=arms)),
            action="canary.stepped",
            subject=f"{rollout.model}:{rollout.arms[0].version}",
            actor=actor,
            reason=reason,
        )
        return deployment_after(ws, rollout.model, carry_out(ws, move, wait_s))


def promote(
    ws: Workspace, model: str, *, version: int | None = None, actor: str, reason: str = "", wait_s: float = 30.0
) -> Deployment:
    """Make a version that runs beside the champion the champion.

    Args:
        ws: the project.
        model: the model.
        version: which; None: the only one there is.
        actor: who does it.
        reason: why.
        wait_s: seconds to wait for the workers.

    Raises:
        ConflictError: nothing runs beside the champion, or several versions do and none was named.
        UnavailableError: a worker cannot serve it.
    """
    running = list_rollouts(ws, model, is_running=True)
    beside = sorted(arm.version for rollout in running for arm in rollout.arms)
    if version is not None and version not in beside:
        _refuse_promotion(model, beside, f"{model}:{version} does not run beside the champion")
    if version is None and len(beside) != 1:
        what = "several versions run" if beside else "no version runs"
        _refuse_promotion(model, beside, f"{what} beside the champion of {model}")
    return deploy(ws, model, version or beside[0], actor=actor, reason=reason, wait_s=wait_s)


def stop(
    ws: Workspace,
    model: str,
    *,
    kind: RolloutKind | None = None,
    actor: str,
    reason: str = "",
    ends: RolloutState = RolloutState.STOPPED,
) -> Deployment:
    """End what runs beside the champion; its versions go back to testing, former champions to retired.

    Args:
        ws: the project.
        model: the model.
        kind: only this; None: all.
        actor: who does it.
        reason: why.
        ends: how the rollouts are said to have ended.

    Raises:
        ConflictError: there is nothing to end.
        UnavailableError: a worker did not take it up.
    """
    with lock_deployments(ws, f"stopping rollouts of {model}"):
        now = find_route(ws, model)
        running = [each for each in list_rollouts(ws, model, is_running=True) if kind is None or each.kind is kind]
        if now is None or not running:
            what = str(kind) if kind is not None else "version"
            option = "--shadow" if kind is RolloutKind.SHADOW else "--canary 5%"
            raise ConflictError(
                f"no {what} runs beside the champion of {model}",
                hint=f"start one with 'petla deploy {model}:VERSION {option}'",
            )
        kinds = {each.kind for each in running}
        route = msgspec.structs.replace(
            now,
            shadow=None if RolloutKind.SHADOW in kinds else now.shadow,
            split=None if kinds - {RolloutKind.SHADOW} else now.split,
        )
        what = kinds.pop() if len(kinds) == 1 else "rollouts"
        move = Move(
            model=model,
            route=route,
            action=f"{what}.rolled_back" if ends is RolloutState.ROLLED_BACK else f"{what}.stopped",
            subject=", ".join(f"{model}:{arm.version}" for each in running for arm in each.arms),
            actor=actor,
            reason=reason,
            ends=ends,
        )
        return deployment_after(ws, model, carry_out(ws, move, 30.0))


def _require_place(model: str, now: Route, plan: Plan) -> None:
    """Accept a plan only where nothing has its place already."""
    versions = {arm.version for arm in plan.arms}
    if now.live.version in versions:
        raise ConflictError(f"model {model}:{now.live.version} is live already", hint="see 'petla deployments'")
    is_shadow = plan.kind is RolloutKind.SHADOW
    if is_shadow and now.shadow is not None:
        name = f"{model}:{now.shadow.variant.version} is the shadow"
        raise ConflictError(f"{name} already", hint=f"end it first with 'petla deployments stop {model} --shadow'")
    if not is_shadow and now.split is not None:
        names = ", ".join(f"{model}:{arm.variant.version}" for arm in now.split.arms)
        raise ConflictError(
            f"{names} answers a share already",
            hint=f"end it first with 'petla rollback {model}', or let it win with 'petla promote {model}'",
        )
    if is_shadow and now.split is not None and versions & {arm.variant.version for arm in now.split.arms}:
        raise ConflictError(f"model {model}:{min(versions)} answers a share already", hint="see 'petla deployments'")


def _make_arm(ws: Workspace, model: str, now: Route, arm: RolloutArm) -> Arm:
    """Return an arm as a snapshot has it, if its version can stand beside the champion."""
    version = get_version(ws, model, arm.version)
    require_explained(ws, version)
    champion = load_version(ws.objects, ws.keys, now.live.package, model, now.live.version)
    challenger = load_version(ws.objects, ws.keys, version.package, model, version.version)
    require_same_inputs(model, (now.live.version, champion.signature), (arm.version, challenger.signature))
    # a former champion that is the shadow goes on as the canary
    shadow = now.shadow if now.shadow is not None and now.shadow.variant.version == arm.version else None
    was_champion = version.state is State.RETIRED or (shadow is not None and shadow.was_champion)
    return Arm(arm.name, Variant(arm.version, version.package), arm.share, was_champion)


def _route_with(now: Route, begins: Rollout, arms: list[Arm]) -> Route:
    if begins.kind is RolloutKind.SHADOW:
        (arm,) = arms
        return msgspec.structs.replace(
            now, shadow=Shadow(variant=arm.variant, share=arm.share, was_champion=arm.was_champion)
        )
    shadow = now.shadow
    if shadow is not None and shadow.variant in [arm.variant for arm in arms]:
        shadow = None
    return msgspec.structs.replace(now, shadow=shadow, split=Split(salt=begins.salt, arms=tuple(arms)))


def _next_number(ws: Workspace) -> int:
    """Return the number of the next snapshot, which no rollout before has had."""
    with reading(ws.engine) as connection:
        newest = records.find_newest_snapshot(connection, ws.name)
    return (newest.number if newest is not None else 0) + 1


def _find_running(ws: Workspace, rollout: Rollout) -> Rollout | None:
    running = list_rollouts(ws, rollout.model, is_running=True)
    return next((found for found in running if found.id == rollout.id), None)


def _refuse_promotion(model: str, beside: list[int], message: str) -> NoReturn:
    if not beside:
        hint = f"start one with 'petla deploy {model}:VERSION --canary 5%'"
    else:
        hint = "name one: " + ", ".join(f"{model}:{version}" for version in beside)
    raise ConflictError(message, hint=hint)
