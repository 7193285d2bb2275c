"""`petla deploy` and `petla rollback`: what answers."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.commands.models import require_version
from petla.cli.output import AsJson, count, print_json, print_table, say
from petla.cli.parts import workspace_of

if TYPE_CHECKING:
    from petla.deployments.deploy import Deployment

Reason = Annotated[str, typer.Option(help="Why; goes into the audit trail.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("deploy", epilog='Example: petla deploy delay:2 --reason "better since May"')(deploy)
    app.command("rollback", epilog="Example: petla rollback delay")(rollback)
    app.command("deployments", epilog="Example: petla deployments")(list_all)


def deploy(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(help="MODEL:VERSION that passed its gates.", metavar="MODEL:VERSION")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Put a version live; the one before it stays loaded, ready to come back."""
    from petla.deployments.deploy import deploy as put_live

    workspace = workspace_of(context)
    name, version = require_version(reference)
    workspace.get_model(name)
    _report(put_live(workspace, name, version, actor=workspace.actor, reason=reason), as_json=as_json)


def rollback(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model of petla.toml.")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Put the version before the live one live again; once more goes forward."""
    from petla.deployments.deploy import rollback as put_back

    workspace = workspace_of(context)
    workspace.get_model(model)
    _report(put_back(workspace, model, actor=workspace.actor, reason=reason), as_json=as_json)


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List what is live for each model, and what stands by."""
    from petla.deployments.deploy import list_deployments

    found = list_deployments(workspace_of(context))
    if as_json:
        print_json(found)
        return
    rows = [(d.model, d.live, d.standby, d.snapshot) for d in found]
    print_table(
        ("model", "live", "standby", "snapshot"), rows, empty="nothing is live; next: petla deploy MODEL:VERSION"
    )


def _report(done: "Deployment", *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    before = f"; version {done.standby} stands by" if done.standby is not None else ""
    say(f"{done.model}:{done.live} is live{before}")
    if done.took_ms is None:
        say("nothing is serving yet; next: petla up")
    else:
        say(f"{count(done.workers, 'worker')} swapped in {done.took_ms:.0f} ms; next: petla monitor show {done.model}")
