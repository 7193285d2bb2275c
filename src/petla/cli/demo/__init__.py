"""`petla demo`: the whole loop on real flights, from the first data to a rollback, in about a minute."""

from typing import Annotated

import typer

from petla.cli.faults import NO
from petla.cli.output import AsJson, Yes, leave, note, print_json


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("demo", epilog="Example: petla demo --yes")(demo)


def demo(
    yes: Yes = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, to look at.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a real model all the way round: deploy, notice, retrain, approve, swap, roll back.

    Nothing is scripted: the flights of 2013 are replayed in order, and the monitors raise the alarm by themselves.
    """
    from petla.cli.demo.report import print_report
    from petla.cli.demo.story import tell

    report = tell(note, is_approved=yes, keep=keep)
    if as_json:
        print_json(report)
    else:
        print_report(report)
    if not report.is_whole:
        leave(NO)
