"""The command line as a whole: which commands there are, and how one is run."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

import petla
from petla.cli.faults import guard
from petla.cli.logs import write_logs
from petla.cli.output import say
from petla.cli.parts import Parts

# Where each command lives, in the order of the help. Only the file of the command that is called is imported: all of
# them together take as long as the rest of a start.
HOMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("petla.cli.commands.projects", ("init",)),
    ("petla.cli.commands.data", ("data", "git")),
    ("petla.cli.commands.runs", ("run", "run-request", "runs")),
    ("petla.cli.commands.models", ("models",)),
    ("petla.cli.commands.deployments", ("deploy", "promote", "rollback", "deployments")),
    ("petla.cli.commands.serving.keys", ("keys",)),
    ("petla.cli.commands.guards", ("guards", "reviews")),
    ("petla.cli.commands.restore", ("restore",)),
    ("petla.cli.commands.serving.up", ("up", "control", "link")),
    ("petla.cli.commands.status", ("status",)),
    ("petla.cli.commands.monitor", ("monitor",)),
    ("petla.cli.commands.incidents", ("incidents", "approvals")),
    ("petla.cli.commands.decisions", ("decisions",)),
    ("petla.cli.commands.audit", ("audit",)),
    ("petla.cli.demo", ("demo",)),
)


def make_app(word: str = "") -> typer.Typer:
    """Return the command line with the commands of one file, or with all.

    Args:
        word: the command that is called; any other word gets all of them, and with them the help and the near names.
    """
    app = typer.Typer(
        name="petla",
        help="From data to a model in production, and round again when the world changes.",
        epilog="A first look: petla demo. A first project: petla init my-project",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=True,
    )
    app.callback()(options)
    meant = [module for module, words in HOMES if word in words]
    for module in meant or [module for module, _ in HOMES]:
        import_module(module).register(app)
    return app


def _print_version(is_asked: bool) -> None:
    if is_asked:
        say(f"petla {petla.__version__}")
        raise typer.Exit


def options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
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
    is_completing = any(name.startswith("_PETLA_COMPLETE") for name in os.environ)
    word = "" if is_completing else next((word for word in arguments if not word.startswith("-")), "")

    def run() -> None:
        if list(arguments) == ["--version"]:
            say(f"petla {petla.__version__}")
            return
        make_app(word)(list(arguments), prog_name="petla", obj=parts)

    return guard(run, is_debug=is_debug, is_json=is_json)
