"""The command line in this process, on a project that is open already."""

from petla.cli.app import run_cli
from petla.cli.parts import Parts
from petla.storage.workspace import Workspace, open_workspace


def call(ws: Workspace, *words: str) -> int:
    """Run a command; return its exit status."""
    parts = Parts(
        open_workspace=lambda: open_workspace(ws.root, ws.settings),
        serve=lambda _: 0,
        run_control=lambda *_: None,
        make_link=lambda _: "",
    )
    return run_cli(words, parts)
