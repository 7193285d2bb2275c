"""`petla restore`: production as it was at a past moment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.output import AsJson, print_json, say
from petla.cli.parts import workspace_of
from petla.cli.progress import byte_progress

if TYPE_CHECKING:
    from petla.deployments.restoring import Moment


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("restore", epilog="Example: petla restore --at 2026-03-01T12:00 --to ../as-of-march")(restore)


def restore(
    context: typer.Context,
    at: Annotated[str, typer.Option(help="A moment, such as 2026-03-01T12:00, on this machine's clock.")],
    target: Annotated[Path | None, typer.Option("--to", help="A new folder; without it, it is only said.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what production was at a moment, or make a folder that is all of it: code, configuration, data, models."""
    from petla.core.clock import read_moment
    from petla.deployments.restoring import look_back
    from petla.deployments.restoring import restore as restore_to

    workspace = workspace_of(context)
    if target is None:
        moment = look_back(workspace, read_moment(at))
    else:
        with byte_progress() as progress:
            moment = restore_to(workspace, read_moment(at), target, progress)
    if as_json:
        print_json(moment)
        return
    _print_moment(moment)
    if target is None:
        say(f"next: petla restore --at {at} --to FOLDER, or petla data restore --at {at} for the data alone")
    else:
        say(f"next: cd {target} && petla up")


def _print_moment(moment: "Moment") -> None:
    say(f"at {moment.at[:19]} UTC")
    say(f"  commit    {moment.commit[:12] or 'none'}")
    for model in moment.models:
        standby = f"; version {model.standby} stood by" if model.standby is not None else ""
        say(f"  model     {model.model}:{model.live} was live{standby}; package {model.package[:12]}")
    if not moment.models:
        say("  model     nothing was live")
    for each in moment.data:
        number = f"version {each.version}" if each.version is not None else "a version that is not known here"
        say(f"  data      {each.dataset}: {number}, {each.digest[:12] or each.md5}")
