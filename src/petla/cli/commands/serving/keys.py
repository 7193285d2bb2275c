"""`petla keys`: who may ask the data plane."""

from typing import Annotated

import typer

from petla.cli.output import AsJson, Yes, ask, print_json, print_table, say
from petla.cli.parts import workspace_of

Reason = Annotated[str, typer.Option(help="Why; goes into the audit trail.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="API keys of the data plane.", no_args_is_help=True)
    group.command("add", epilog="Example: petla keys add shop --scope predict --scope feedback --rate 100")(add)
    group.command("list", epilog="Example: petla keys list")(list_all)
    group.command("revoke", epilog='Example: petla keys revoke shop --reason "it was in a log"')(revoke)
    app.add_typer(group, name="keys")


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whom or what it is for.")],
    scope: Annotated[list[str], typer.Option(help="predict, feedback, read or repository; may be repeated.")],
    rate: Annotated[float, typer.Option(help="Requests a second, as many of them at once; 0: no limit.", min=0)] = 0.0,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Make a key; it is shown this once."""
    from petla.core.errors import InvalidError
    from petla.deployments.access import granting
    from petla.deployments.access.keys import Scope

    unknown = [word for word in scope if word not in set(Scope)]
    if unknown:
        raise InvalidError(f"there is no scope {unknown[0]!r}", hint=f"one of {', '.join(Scope)}", field="scope")
    ws = workspace_of(context)
    secret = granting.add(ws, name, [Scope(word) for word in scope], rate_per_s=rate, reason=reason)
    if as_json:
        print_json({"name": name, "key": secret})
        return
    say(f"key {name} is made; it is shown this once:")
    say(secret)
    if ws.project.serving.access == "keys":
        say("workers take it up by themselves; next: send it as 'Authorization: Bearer KEY'")
    else:
        say('nobody is asked for a key yet; next: set access = "keys" in [serving] of petla.toml, then petla up')


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List all keys that were ever made; what they are is known to nobody."""
    from petla.deployments.access.granting import list_keys

    found = list_keys(workspace_of(context))
    if as_json:
        print_json(found)
        return
    rows = [
        (k.name, " ".join(k.scopes), k.rate_per_s or None, k.created_at[:19], k.created_by, (k.revoked_at or "")[:19])
        for k in found
    ]
    head = ("key", "opens", "requests/s", "made at (UTC)", "by", "revoked at (UTC)")
    print_table(head, rows, empty="no key was made; next: petla keys add NAME --scope predict")


def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A key of 'petla keys list'.")],
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Let a key open nothing from now on."""
    from petla.deployments.access import granting

    ws = workspace_of(context)
    granting.require_key(ws, name)
    ask(f"whoever uses key {name} will be refused at once; go on?", is_answered=yes)
    granting.revoke(ws, name, reason=reason)
    say(f"key {name} is revoked; workers refuse it from now on")
