"""`petla git`: hooks that let data follow Git."""

from typing import Annotated

import typer

from petla.cli.faults import NO
from petla.cli.output import leave, note, say
from petla.cli.parts import workspace_of
from petla.cli.progress import byte_progress


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(help="Git hooks: data follow the commit that is checked out.", no_args_is_help=True)
    group.command("install-hooks", epilog="Example: petla git install-hooks")(install)
    group.command("uninstall-hooks", epilog="Example: petla git uninstall-hooks")(uninstall)
    group.command(
        "hook",
        epilog="Example: petla git hook post-merge 0",
        hidden=True,
        context_settings={"ignore_unknown_options": True},
    )(run)
    app.add_typer(group, name="git")


def install(context: typer.Context) -> None:
    """Let 'git checkout', 'merge' and 'pull' bring the data; warn before data, secrets or large files are missed."""
    from petla.data.hooks.scripts import install as install_hooks

    paths = install_hooks(workspace_of(context).root)
    say(f"hooks are installed in {paths[0].parent}: {', '.join(path.name for path in paths)}")
    say("next: git checkout BRANCH brings that branch's data; petla git uninstall-hooks takes them out again")


def uninstall(context: typer.Context) -> None:
    """Take the hooks out again; what others have written into them stays."""
    from petla.data.hooks.scripts import uninstall as uninstall_hooks

    paths = uninstall_hooks(workspace_of(context).root)
    say(f"removed from {', '.join(path.name for path in paths)}" if paths else "there were none")


def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The hook.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="What Git gave it.")] = None,
) -> None:
    """Do what a hook is for; Git calls this."""
    from petla.data.hooks.events import run_hook

    with byte_progress() as progress:
        is_fine = run_hook(workspace_of(context), name, arguments or (), lambda line: note(f"petla: {line}"), progress)
    if not is_fine:
        leave(NO)
