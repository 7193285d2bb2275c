"""What the commands need from outside; `petla.bootstrap` fills it in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from petla.storage.workspace import Workspace


@dataclass(frozen=True)
class Parts:
    """The parts that a command may use."""

    # opens the project that the current folder lies in
    open_workspace: "Callable[[], Workspace]"
    # serves until a signal comes; returns the exit status
    serve: "Callable[[Workspace], int]"
    # runs the control plane on an inherited socket, for the process that is `petla up`
    run_control: "Callable[[Workspace, int, int], None]"
    # makes a one-time link to the pages
    make_link: "Callable[[Workspace], str]"


def workspace_of(context: typer.Context) -> "Workspace":
    """Open the project that the command was called in."""
    return parts_of(context).open_workspace()


def parts_of(context: typer.Context) -> Parts:
    """Return the parts that bootstrap handed in."""
    parts = context.find_root().obj
    if not isinstance(parts, Parts):
        raise TypeError(f"the command was started without its parts: {parts!r}")
    return parts
