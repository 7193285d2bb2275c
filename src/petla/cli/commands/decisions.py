"""`petla decisions`: what was answered."""

from typing import Annotated

import msgspec
import typer

from petla.cli.output import AsJson, print_json, print_table
from petla.cli.parts import workspace_of


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="The decision log.", no_args_is_help=True)
    group.command("list", epilog="Example: petla decisions list --limit 5")(list_all)
    group.command("show", epilog="Example: petla decisions show 01a20244-9eb0-71f0-99cc-4b616246aa9d")(show)
    app.add_typer(group, name="decisions")


def list_all(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest decisions."""
    from petla.decisions.log import list_decisions

    found = list_decisions(workspace_of(context), model, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(d.id, d.at[:19], f"{d.model}:{d.version}", d.label, d.score, d.latency_us) for d in found]
    empty = "no decision yet; next: petla up, then POST /predict/MODEL"
    print_table(("id", "at (UTC)", "model", "label", "score", "µs"), rows, empty=empty)


def show(
    context: typer.Context,
    decision_id: Annotated[str, typer.Argument(help="The id that came with the answer.")],
) -> None:
    """Show one decision with its inputs, the truth when it has come, and what a person decided about it."""
    from petla.decisions.log import get_decision
    from petla.decisions.reviews.reviewing import find_review

    workspace = workspace_of(context)
    found, review = get_decision(workspace, decision_id), find_review(workspace, decision_id)
    print_json(found if review is None else msgspec.to_builtins(found) | {"review": review})
