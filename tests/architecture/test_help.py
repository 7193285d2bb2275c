"""Every command shows in its help how it is called."""

from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from tests.architecture.source import PACKAGE


@pytest.mark.skipif(not (PACKAGE / "bootstrap.py").exists(), reason="the command line is not built yet")
def test_every_command_has_an_example() -> None:
    from petla.cli.app import make_app

    commands = list(_walk(typer.main.get_command(make_app()), "petla"))

    silent = [path for path, command in commands if f"{path} " not in _show_words(command)]

    assert commands
    assert not silent, f"no example of its call in the help: {silent}"


def test_every_command_lives_where_it_is_looked_for() -> None:
    from petla.cli.app import HOMES, make_app

    for _, words in HOMES:
        group = typer.main.get_command(make_app(words[0]))

        assert isinstance(group, TyperGroup)
        assert set(group.commands) == set(words)


def _walk(command: object, path: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperCommand):
        yield path, command
    elif isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from _walk(child, f"{path} {name}")


def _show_words(command: TyperCommand) -> str:
    """What its help says beside the usage line, which names the command in any case."""
    return f"{command.help or ''} {command.epilog or ''} "
