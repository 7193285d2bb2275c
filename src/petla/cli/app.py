"""The command line as a whole: which commands there are, and how one is run."""

from collections.abc import Sequence
from typing import Annotated

import typer

import petla
from petla.cli import demo
from petla.cli.commands import audit, data, decisions, deploy, incidents, models, monitor, projects, runs, up
from petla.cli.faults import guard
from petla.cli.logs import write_logs
from petla.cli.output import say
from petla.cli.parts import Parts

app = typer.Typer(
    name="petla",
    help="From data to a model in production, and round again when the world changes.",
    epilog="A first look: petla demo. A first project: petla init my-project",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
)

for group in (projects, data, runs, models, deploy, up, monitor, incidents, decisions, audit, demo):
    group.register(app)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        say(f"petla {petla.__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and every log line.")] = False,
) -> None:
    """From data to a model in production, and round again when the world changes."""
    write_logs(is_debug=debug)


def run_cli(arguments: Sequence[str], parts: Parts) -> int:
    """Run one command; return its exit status: 0 done, 1 no, 2 wrong use, 3 outside world, 70 our bug.

    Args:
        arguments: the words after `petla`.
        parts: what the commands need from outside.
    """
    is_debug, is_json = "--debug" in arguments, "--json" in arguments or "run-request" in arguments
    return guard(lambda: app(list(arguments), prog_name="petla", obj=parts), is_debug=is_debug, is_json=is_json)
