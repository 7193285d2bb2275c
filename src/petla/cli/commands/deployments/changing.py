"""`petla deploy`, `promote`, `rollback`, `deployments` and `deployments stop`."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.commands.models import require_version
from petla.cli.output import AsJson, count, print_json, print_table, say
from petla.cli.parts import workspace_of
from petla.core.errors import InvalidError
from petla.core.ids import parse_model_ref

if TYPE_CHECKING:
    from petla.core.project import DeployTable
    from petla.deployments.beside.rollout import Plan, Rollout
    from petla.deployments.deploy import Deployment

Reason = Annotated[str, typer.Option(help="Why; goes into the audit trail.")]
Model = Annotated[str, typer.Argument(help="A model of petla.toml.")]


def register(app: typer.Typer) -> typer.Typer:
    """Add the commands of this file; return the group of `petla deployments`."""
    app.command("deploy", epilog='Example: petla deploy delay:2 --canary 5% --reason "better since May"')(deploy)
    app.command("promote", epilog="Example: petla promote delay")(promote)
    app.command("rollback", epilog="Example: petla rollback delay")(rollback)
    group = typer.Typer(help="What is live for each model, and what runs beside it.", invoke_without_command=True)
    group.callback(epilog="Example: petla deployments")(list_all)
    group.command("stop", epilog="Example: petla deployments stop delay --shadow")(stop)
    app.add_typer(group, name="deployments")
    return group


def deploy(
    context: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(help="MODEL:VERSION that passed its gates; or MODEL and arms.", metavar="MODEL[:VERSION] [ARM]"),
    ],
    shadow: Annotated[bool, typer.Option("--shadow", help="Ask it what the champion is asked, unseen.")] = False,
    canary: Annotated[
        str, typer.Option(help="Let it answer this share of the subjects; with several, one after the other.")
    ] = "",
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Put a version live; the one before it stays loaded. Or run versions beside the champion.

    An arm is NAME=VERSION:SHARE, such as blue=3:30%. The arm `shadow` answers unseen, `canary` is the only one.
    """
    from petla.deployments.beside.rollouts import start
    from petla.deployments.deploy import deploy as put_live

    workspace = workspace_of(context)
    reference, *arms = what
    name = parse_model_ref(reference).name
    _, table = workspace.get_model(name)
    plan = _make_plan(reference, arms, shadow=shadow, canary=canary, table=table.deploy)
    if plan is None:
        _, version = require_version(reference)
        done = put_live(workspace, name, version, actor=workspace.actor, reason=reason)
    else:
        done = start(workspace, name, plan, actor=workspace.actor, reason=reason)
    _report(done, as_json=as_json)


def promote(
    context: typer.Context,
    reference: Annotated[
        str,
        typer.Argument(help="MODEL, or MODEL:VERSION where several run beside it.", metavar="MODEL[:VERSION]"),
    ],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Let a version that runs beside the champion take its place."""
    from petla.deployments.beside.rollouts import promote as put_live

    workspace = workspace_of(context)
    ref = parse_model_ref(reference)
    workspace.get_model(ref.name)
    done = put_live(workspace, ref.name, version=ref.version, actor=workspace.actor, reason=reason)
    _report(done, as_json=as_json)


def rollback(context: typer.Context, model: Model, reason: Reason = "", as_json: AsJson = False) -> None:
    """End the canary or the experiment; without one, put the version before the live one live again."""
    from petla.deployments.deploy import rollback as put_back

    workspace = workspace_of(context)
    workspace.get_model(model)
    _report(put_back(workspace, model, actor=workspace.actor, reason=reason), as_json=as_json)


def stop(
    context: typer.Context,
    model: Model,
    shadow: Annotated[bool, typer.Option("--shadow", help="Only the shadow.")] = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """End what runs beside the champion; its versions go back to testing."""
    from petla.deployments.beside.rollout import RolloutKind
    from petla.deployments.beside.rollouts import stop as end

    workspace = workspace_of(context)
    workspace.get_model(model)
    kind = RolloutKind.SHADOW if shadow else None
    _report(end(workspace, model, kind=kind, actor=workspace.actor, reason=reason), as_json=as_json)


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List what is live for each model, what stands by, and what runs beside it."""
    from petla.deployments.deploy import list_deployments

    if context.invoked_subcommand is not None:
        return
    found = list_deployments(workspace_of(context))
    if as_json:
        print_json(found)
        return
    rows = [(d.model, d.live, d.standby, "; ".join(map(describe_rollout, d.rollouts)), d.snapshot) for d in found]
    head = ("model", "live", "standby", "beside it", "snapshot")
    print_table(head, rows, empty="nothing is live; next: petla deploy MODEL:VERSION")
    stages = [
        (worker, f"{status.model}:{status.version}", status.stage, status.role)
        for d in found
        for worker, statuses in sorted(d.stages.items())
        for status in statuses
    ]
    if stages:
        say()
        print_table(("worker", "version", "stage", "role"), stages, empty="")


def describe_rollout(rollout: "Rollout") -> str:
    """Say which versions a rollout runs, with which shares."""
    arms = ", ".join(f"{arm.name} version {arm.version} at {100 * arm.share:g}%" for arm in rollout.arms)
    steps = ", ".join(f"{100 * share:g}%" for share in rollout.steps if share > rollout.arms[0].share)
    return f"{arms}, then {steps}" if steps else arms


def _make_plan(reference: str, arms: list[str], *, shadow: bool, canary: str, table: "DeployTable") -> "Plan | None":
    """Return what is to run beside the champion; None: it is to be replaced."""
    from petla.deployments.beside.rollout import (
        CANARY,
        SHADOW,
        parse_arm,
        parse_steps,
        plan_canary,
        plan_experiment,
        plan_shadow,
    )

    if shadow + bool(canary) + bool(arms) > 1:
        raise InvalidError("--shadow, --canary and arms exclude each other", hint="start them one after the other")
    if shadow:
        return plan_shadow(require_version(reference)[1])
    if canary:
        return plan_canary(require_version(reference)[1], parse_steps(canary), table.step_minutes)
    if not arms:
        return None
    if parse_model_ref(reference).version is not None:
        raise InvalidError(f"{reference!r} names a version, and so do the arms", hint="write MODEL alone")
    read = [parse_arm(text) for text in arms]
    match read:
        case [only] if only.name == SHADOW:
            return plan_shadow(only.version, only.share)
        case [only] if only.name == CANARY:
            return plan_canary(only.version, (only.share,), table.step_minutes)
    return plan_experiment(read)


def _report(done: "Deployment", *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    before = f"; version {done.standby} stands by" if done.standby is not None else ""
    say(f"{done.model}:{done.live} is live{before}")
    for rollout in done.rollouts:
        say(f"beside it: {describe_rollout(rollout)}")
    if done.took_ms is None:
        say("nothing is serving yet; next: petla up")
        return
    follow = "petla deployments compare" if done.rollouts else "petla monitor show"
    say(f"{count(done.workers, 'worker')} swapped in {done.took_ms:.0f} ms; next: {follow} {done.model}")
