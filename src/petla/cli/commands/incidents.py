"""`petla incidents` and `petla approvals`: what went wrong, and what waits for a person's word."""

from typing import Annotated

import typer

from petla.cli.output import AsJson, Yes, ask, print_json, print_table, say
from petla.cli.parts import workspace_of

Number = Annotated[int, typer.Argument(help="Its number in the list.")]
Reason = Annotated[str, typer.Option(help="Why; goes into the audit trail.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Alarms that became incidents, each with its playbook.", no_args_is_help=True)
    group.command("list", epilog="Example: petla incidents list")(list_incidents)
    group.command("show", epilog="Example: petla incidents show 1")(show_incident)
    group.command("ack", epilog="Example: petla incidents ack 1")(acknowledge)
    group.command("resolve", epilog='Example: petla incidents resolve 1 --reason "new feed"')(resolve)
    app.add_typer(group, name="incidents")
    waiting = typer.Typer(help="New versions that wait for a yes or a no.", no_args_is_help=True)
    waiting.command("list", epilog="Example: petla approvals list")(list_approvals)
    waiting.command("grant", epilog="Example: petla approvals grant 1")(grant)
    waiting.command("refuse", epilog='Example: petla approvals refuse 1 --reason "after the holidays"')(refuse)
    app.add_typer(waiting, name="approvals")


def list_incidents(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="open, acknowledged or resolved.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the incidents, the newest first."""
    from petla.incidents.incidents import list_incidents as list_all

    found = list_all(workspace_of(context), state)
    if as_json:
        print_json(found)
        return
    rows = [(i.id, i.state, f"{i.model}:{i.version}", i.kind, i.title, i.opened_at[:19], i.outcome) for i in found]
    head = ("incident", "state", "model", "kind", "what", "at (UTC)", "outcome")
    print_table(head, rows, empty="no incident")


def show_incident(context: typer.Context, number: Number, as_json: AsJson = False) -> None:
    """Show an incident: its evidence and its playbook."""
    from petla.incidents.incidents import get_incident
    from petla.incidents.playbooks import playbook_of

    found = get_incident(workspace_of(context), number)
    playbook = playbook_of(found.kind)
    if as_json:
        print_json({"incident": found, "playbook": playbook})
        return
    say(f"incident {found.id} ({found.state}): {found.title}")
    for finding in found.evidence:
        say(f"  {finding.what}: {finding.measure} {finding.value:.4g}, limit {finding.limit}, {finding.rows:,} rows")
    say(playbook.meaning)
    for step, text in enumerate(playbook.steps, start=1):
        say(f"  {step}. {text}")
    if found.outcome:
        say(f"outcome: {found.outcome}")


def acknowledge(context: typer.Context, number: Number) -> None:
    """Say that you are on it."""
    from petla.incidents.incidents import acknowledge as mark

    workspace = workspace_of(context)
    mark(workspace, number, actor=workspace.actor)
    say(f"incident {number} is acknowledged by {workspace.actor}; next: petla incidents show {number}")


def resolve(context: typer.Context, number: Number, reason: Reason = "") -> None:
    """Close an incident."""
    from petla.incidents.incidents import resolve as close

    workspace = workspace_of(context)
    close(workspace, number, reason or "resolved by hand", actor=workspace.actor)
    say(f"incident {number} is resolved")


def list_approvals(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="waiting, granted, refused or withdrawn.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the requests for approval, the newest first."""
    from petla.loop.approvals import list_approvals as list_all

    found = list_all(workspace_of(context), state)
    if as_json:
        print_json(found)
        return
    rows = [(a.id, a.state, f"{a.model}:{a.version}", a.question, a.decided_by) for a in found]
    print_table(("approval", "state", "model", "question", "decided by"), rows, empty="nothing waits for approval")


def grant(context: typer.Context, number: Number, reason: Reason = "", yes: Yes = False) -> None:
    """Say yes: the version goes live."""
    from petla.loop.approvals import get_approval
    from petla.loop.approvals import grant as say_yes

    workspace = workspace_of(context)
    ask(get_approval(workspace, number).question, is_answered=yes)
    done = say_yes(workspace, number, actor=workspace.actor, reason=reason)
    say(f"approval {number} is granted; {done.model}:{done.version} goes live; next: petla deployments")


def refuse(context: typer.Context, number: Number, reason: Reason = "", yes: Yes = False) -> None:
    """Say no: the champion stays."""
    from petla.loop.approvals import get_approval
    from petla.loop.approvals import refuse as say_no

    workspace = workspace_of(context)
    asked = get_approval(workspace, number)
    ask(f"refuse {asked.model}:{asked.version}? it is then rejected for good", is_answered=yes)
    done = say_no(workspace, number, actor=workspace.actor, reason=reason)
    champion = "nothing" if done.champion is None else f"{done.model}:{done.champion}"
    say(f"approval {number} is refused; {champion} stays live")
