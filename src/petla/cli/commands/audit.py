"""`petla audit`: who changed what, and whether anybody changed the record of it."""

from typing import Annotated

import typer

from petla.cli.faults import NO
from petla.cli.output import AsJson, leave, print_json, print_table, say
from petla.cli.parts import workspace_of
from petla.core.errors import CorruptError


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Who changed what, and proof that the record is whole.", no_args_is_help=True)
    group.command("verify", epilog="Example: petla audit verify")(verify)
    group.command("list", epilog="Example: petla audit list --limit 20")(list_entries)
    app.add_typer(group, name="audit")


def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the whole chain of entries: changed, removed or inserted ones are found and named."""
    try:
        count = workspace_of(context).ledger.verify()
    except CorruptError as error:
        if as_json:
            print_json({"is_whole": False, "fault": error.message})
        else:
            say(f"the audit trail is NOT whole: {error}")
        leave(NO)
    if as_json:
        print_json({"is_whole": True, "entries": count})
        return
    say(f"the audit trail is whole: {count:,} entries, each signed and chained to the one before it")


def list_entries(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Newest entries to show.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, the oldest of them first."""
    entries = workspace_of(context).ledger.list_newest(limit=limit)
    if as_json:
        print_json(entries)
        return
    rows = [(e.seq, e.at[:19], e.actor, e.action, e.subject, e.reason) for e in entries]
    print_table(("entry", "at (UTC)", "who", "what", "subject", "why"), rows, empty="nothing was changed yet")
