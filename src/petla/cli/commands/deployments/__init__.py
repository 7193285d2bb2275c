"""`petla deploy`, `promote`, `rollback` and `deployments`: what answers, for whom, and what runs beside it."""

import typer

from petla.cli.commands.deployments import changing, comparison


def register(app: typer.Typer) -> None:
    """Add the commands of this folder."""
    comparison.register(changing.register(app))
