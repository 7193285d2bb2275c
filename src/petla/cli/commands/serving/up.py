"""`petla up` and `petla link`: everything that runs, with one command."""

from typing import Annotated

import typer

from petla.cli.output import AsJson, leave, print_json, say
from petla.cli.parts import parts_of


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("up", epilog="Example: petla up")(up)
    # for `petla up` itself, which starts it again when it dies
    app.command("control", hidden=True, epilog="Example: petla control --fd 3 --parent 4711")(control)
    app.command("link", epilog="Example: petla link")(link)


def up(context: typer.Context) -> None:
    """Start serving, monitoring, the controller and the pages; Ctrl-C or SIGTERM stops them cleanly."""
    parts = parts_of(context)
    leave(parts.serve(parts.open_workspace()))


def control(
    context: typer.Context,
    fd: Annotated[int, typer.Option(help="The inherited socket.")],
    parent: Annotated[int, typer.Option(help="The process whose end ends it.")],
) -> None:
    """Run the controller and the pages beside the workers of a 'petla up', which starts this command."""
    parts = parts_of(context)
    parts.run_control(parts.open_workspace(), fd, parent)


def link(context: typer.Context, as_json: AsJson = False) -> None:
    """Print a new one-time link to the pages of a running 'petla up'."""
    parts = parts_of(context)
    address = parts.make_link(parts.open_workspace())
    if as_json:
        print_json({"link": address})
        return
    say(address)
    say("it opens the pages once; next: petla link makes another")
