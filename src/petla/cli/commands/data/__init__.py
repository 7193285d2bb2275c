"""`petla data` and `petla git`: dataset versions, remotes, what travels between them, and how they follow Git."""

import typer

from petla.cli.commands.data import checks, hooks, transfer, upkeep, versions


def register(app: typer.Typer) -> None:
    """Add the commands of this folder."""
    group = typer.Typer(help="Dataset versions: add, look, go back, compare, push, pull.", no_args_is_help=True)
    versions.register(group)
    checks.register(group)
    transfer.register(group)
    upkeep.register(group)
    app.add_typer(group, name="data")
    hooks.register(app)
