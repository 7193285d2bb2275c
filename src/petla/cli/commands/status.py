"""`petla status`: the project at this moment, in one look."""

from typing import TYPE_CHECKING

import typer

from petla.cli.commands.deployments.changing import describe_rollout
from petla.cli.output import AsJson, print_json, print_table, say
from petla.cli.parts import workspace_of
from petla.core.errors import ConflictError, CorruptError, UnavailableError, is_outage

if TYPE_CHECKING:
    from petla.api.status import Status
    from petla.storage.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("status", epilog="Example: petla status")(status)


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what runs, what is live, what waits for a person, and whether the decision log misses anything."""
    from petla.api.status import describe_status
    from petla.decisions.losses import describe_losses
    from petla.deployments.deploy import list_deployments
    from petla.deployments.server import find_server

    workspace = workspace_of(context)
    if not as_json:
        # first: it needs no database
        say(_describe_running(workspace))
    try:
        found = describe_status(workspace)
    except UnavailableError as error:
        if not as_json and find_server(workspace.state) is not None:
            does = "waits for its database" if is_outage(error) else "does not work until its database is corrected"
            say(f"the control plane {does}; workers serve what was published last")
        raise
    if as_json:
        print_json(found)
        return
    _say_who_changes(workspace)
    beside = {d.model: "; ".join(map(describe_rollout, d.rollouts)) for d in list_deployments(workspace)}
    rows = [
        (
            *(m.model, m.live, m.standby, beside.get(m.model), m.traffic.total),
            *(len(m.open_incidents), len(m.waiting_approvals), m.waiting_reviews),
        )
        for m in found.models
    ]
    head = ("model", "live", "standby", "beside it", "decisions", "incidents", "approvals", "reviews")
    print_table(head, rows, empty="petla.toml names no model yet; next: add a table such as [models.delay]")
    _say_what_waits(found)
    if lost := describe_losses(found.lost):
        say(f'{lost}: serving.spool_full = "serve"; next: petla decisions summary')


def _say_what_waits(found: "Status") -> None:
    for model in found.models:
        if model.waits:
            say(f"{model.model}: an alarm is open; {model.waits}; next: petla incidents list")
    if found.expiry_held:
        say(found.expiry_held)


def _say_who_changes(workspace: "Workspace") -> None:
    """Say where this folder may change nothing, and where another one runs the controller."""
    from petla.loop.lease import find_holder

    ledger = workspace.ledger
    try:
        ledger.require_own()
    except (ConflictError, CorruptError) as error:
        say(f"this folder can change nothing: {error}")
    if (holder := find_holder(workspace)) is not None:
        say(f"the controller runs on {holder.host} (pid {holder.pid}); this installation stands by and ships nothing")


def _describe_running(workspace: "Workspace") -> str:
    from petla.api.sessions import running_address
    from petla.deployments.server import find_server

    server = find_server(workspace.state)
    if server is None:
        return f"{workspace.name} is not running; next: petla up"
    try:
        pages = f"pages on {running_address(workspace)}; next: petla link"
    except UnavailableError:
        pages = "the control plane is away"
    return f"{workspace.name} is serving on {server.url}, {pages}"
