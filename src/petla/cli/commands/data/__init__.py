"""`petla data`: dataset versions, remotes, and what travels between them."""

import typer

from petla.cli.commands.data import transfer, upkeep, versions


def register(app: typer.Typer) -> None:
    """Add the commands of this folder."""
    group = typer.Typer(help="Dataset versions: add, look, go back, compare, push, pull.", no_args_is_help=True)
    versions.register(group)
    transfer.register(group)
    upkeep.register(group)
    app.add_typer(group, name="data")
