"""`petla data push`, `pull` and `remote`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from petla.cli.output import AsJson, note, print_json, print_table, say, show_bytes
from petla.cli.parts import workspace_of
from petla.cli.progress import byte_progress

Datasets = Annotated[list[str] | None, typer.Argument(help="Datasets of petla.toml; all, if none is named.")]
Remote = Annotated[str | None, typer.Option(help="A remote of petla.toml; else the default one.")]


def register(group: typer.Typer) -> None:
    """Add the commands of this file."""
    group.command("push", epilog="Example: petla data push")(push)
    group.command("pull", epilog="Example: petla data pull flights --rev v1.2")(pull)
    group.command("import", epilog="Example: petla data import https://example.org/flights.csv")(import_from)
    remote = typer.Typer(help="Where data are pushed to and pulled from.", no_args_is_help=True)
    remote.command("add", epilog="Example: petla data remote add origin s3://bucket/prefix")(add)
    remote.command("list", epilog="Example: petla data remote list")(list_all)
    remote.command("remove", epilog="Example: petla data remote remove origin")(remove)
    group.add_typer(remote, name="remote")


def push(
    context: typer.Context,
    datasets: Datasets = None,
    remote: Remote = None,
    all_versions: Annotated[bool, typer.Option("--all", help="Former versions as well, if they are here.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the versions that the pointers name to a remote; only what it lacks travels."""
    from petla.data.checkouts import list_pointed
    from petla.data.transfer.pushing import push as push_versions

    workspace = workspace_of(context)
    names = [workspace.get_dataset(name)[0] for name in datasets or list_pointed(workspace)]
    with byte_progress() as progress:
        report = push_versions(workspace, names, remote=remote, all_versions=all_versions, progress=progress)
    if as_json:
        print_json(report)
        return
    for item in report.forgotten:
        note(item.describe())
    for each in report.versions:
        sent = f"{show_bytes(each.bytes)} sent" if each.bytes else "was there already"
        say(f"{each.dataset} version {each.version} is on {report.remote}: {sent}")
    if not report.versions:
        say("no dataset yet; next: petla data add FILE")


def pull(
    context: typer.Context,
    datasets: Datasets = None,
    remote: Remote = None,
    rev: Annotated[str | None, typer.Option(help="A Git revision whose pointers are meant.")] = None,
    path: Annotated[str | None, typer.Option(help="Only this file or folder of the dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring what the pointers name into the work tree, from a remote where it is not here yet."""
    from petla.data.checkouts import list_pointed
    from petla.data.history.tombstones import tell_forgotten
    from petla.data.transfer.pulling import pull as pull_versions
    from petla.data.versions import get_version

    workspace = workspace_of(context)
    named = datasets or ([workspace.get_dataset(None)[0]] if path else list_pointed(workspace, rev=rev))
    names = [workspace.get_dataset(name)[0] for name in named]
    with byte_progress() as progress:
        report = pull_versions(workspace, names, remote=remote, rev=rev, path=path, progress=progress)
    if as_json:
        print_json(report)
        return
    told = {item.describe() for item in report.forgotten}
    for each in report.versions:
        came = f"{show_bytes(each.bytes)} from {report.remote}" if each.bytes else "all of it was here"
        say(f"{each.dataset} is now version {each.version}: {came}")
        told.update(tell_forgotten(workspace, get_version(workspace, each.dataset, digest=each.digest)))
    for line in sorted(told):
        note(line)
    if not report.versions:
        say("no dataset yet; next: petla data add FILE")


def import_from(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="https://…, s3://…, az://… or gs://…; with --update, a dataset.")],
    path: Annotated[Path | None, typer.Argument(help="Where it goes; else by the last part of the URL.")] = None,
    name: Annotated[str | None, typer.Option(help="The dataset's name in petla.toml.")] = None,
    is_update: Annotated[bool, typer.Option("--update", help="Ask again where a dataset came from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a file, keep it as a version, and remember where it came from; again: only if it has changed."""
    from petla.data.transfer.imports import import_url, update

    workspace = workspace_of(context)
    with byte_progress() as progress:
        if is_update:
            report = update(workspace, workspace.get_dataset(url)[0], progress=progress)
        else:
            report = import_url(workspace, url, path, name=name, progress=progress)
    if as_json:
        print_json(report)
        return
    if report.added is None:
        say(f"{report.dataset} is what it was: {report.url} has not changed")
        return
    version = report.added.version
    what = "is new" if report.added.is_new else "was known already"
    say(f"{report.dataset} version {version.version} {what}: {show_bytes(version.size_bytes)} from {report.url}")
    for finding in report.added.findings:
        note(f"{finding.severity}: {finding.message} ({finding.before} -> {finding.after})")
    say(f"next: git add {report.path}.dvc petla.toml && git commit; later: petla data import --update {report.dataset}")


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name for it, such as origin.")],
    url: Annotated[str, typer.Argument(help="A folder, s3://…, az://… or gs://….")],
    layout: Annotated[Literal["packs", "dvc"], typer.Option(help="dvc: as DVC lays it out, for both tools.")] = "packs",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE: endpoint, region, profile, account, anonymous.", show_default=False),
    ] = None,
    is_default: Annotated[bool, typer.Option("--default", help="Meant where no remote is named.")] = False,
) -> None:
    """Write a remote into petla.toml; nothing is sent yet. Credentials never stand there."""
    from petla.data.transfer.remotes import add_remote, make_table

    workspace = workspace_of(context)
    add_remote(workspace, name, make_table(url, layout, settings or ()), is_default=is_default)
    say(f"{name} is {url}")
    say("next: petla data push")


def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List the remotes of petla.toml."""
    from petla.data.transfer.remotes import list_remotes

    remotes = list_remotes(workspace_of(context))
    if as_json:
        print_json(remotes)
        return
    rows = [(each.name, each.url, each.layout, each.is_default) for each in remotes]
    empty = "no remote yet; next: petla data remote add origin URL"
    print_table(("remote", "url", "layout", "default"), rows, empty=empty)


def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Take a remote out of petla.toml; what lies on it stays."""
    from petla.data.transfer.remotes import remove_remote

    workspace = workspace_of(context)
    url = workspace.project.remotes[name].url if name in workspace.project.remotes else ""
    remove_remote(workspace, name)
    say(f"{name} is no remote any more; what lies in {url} stays")
