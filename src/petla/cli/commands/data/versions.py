"""`petla data`: versions of datasets."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from petla.cli.commands.data.checks import print_findings
from petla.cli.output import (
    AsJson,
    count,
    format_json,
    format_table,
    note,
    print_json,
    print_table,
    say,
    show_bytes,
)
from petla.cli.parts import workspace_of
from petla.cli.progress import byte_progress

DatasetName = Annotated[str | None, typer.Argument(help="A dataset of petla.toml; may be left out if there is one.")]


def register(group: typer.Typer) -> None:
    """Add the commands of this file."""
    group.command("add", epilog="Example: petla data add data/flights.parquet")(add)
    group.command("status", epilog="Example: petla data status")(status)
    group.command("checkout", epilog="Example: petla data checkout flights --version 2")(checkout)
    group.command("log", epilog="Example: petla data log flights")(log)
    group.command("diff", epilog="Example: petla data diff flights 1 2")(diff)
    group.command("show", epilog="Example: petla data show flights")(show_profile)


def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A file (CSV, Parquet or any other) or a folder.")],
    name: Annotated[str | None, typer.Option(help="The dataset's name in petla.toml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep the present content as a new version and write its pointer for Git."""
    from petla.data.adding import add as add_version

    with byte_progress() as progress:
        report = add_version(workspace_of(context), path, name=name, progress=progress)
    if as_json:
        print_json(report)
        return
    version = report.version
    what = "is new" if report.is_new else "was known already"
    rows = "" if version.rows is None else f", {count(version.rows, 'row')}"
    label = f"{version.dataset} version {version.version}"
    say(f"{label} {what}: {count(version.files, 'file')}, {show_bytes(version.size_bytes)}{rows}")
    if report.registered:
        say(f"added [data.{version.dataset}] to petla.toml")
    for line in report.read_as[:1]:
        say(line)
    for line in report.read_as[1:]:
        note(line)
    print_findings(report.findings)
    if any(finding.is_blocking for finding in report.findings):
        say("next: correct the data and add it again; or, if it is right: petla run --accept-data REASON")
    else:
        pointer, ignored = shlex.quote(f"{path}.dvc"), shlex.quote(str(path.parent / ".gitignore"))
        say(f"next: git add {pointer} {ignored} && git commit, then petla run")


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say for each dataset whether the working copy is the version that its pointer names."""
    from petla.data.statuses import keep_printed, list_statuses

    workspace, begun_ns = workspace_of(context), time.time_ns()
    statuses = list_statuses(workspace)
    rows = [(s.dataset, s.path, s.state, s.version, (s.digest or "")[:12]) for s in statuses]
    empty = "no dataset yet; next: petla data add FILE"
    table = format_table(("dataset", "path", "state", "version", "digest"), rows, empty=empty)
    texts = {"": f"{table}\n", "--json": f"{format_json(statuses)}\n"}
    say(texts["--json" if as_json else ""].rstrip("\n"))
    keep_printed(workspace, statuses, texts, begun_ns=begun_ns)


def checkout(
    context: typer.Context,
    dataset: DatasetName = None,
    version: Annotated[int | None, typer.Option(help="A version; else the one that the pointer names.")] = None,
    rev: Annotated[str | None, typer.Option(help="A Git revision whose pointer is meant.")] = None,
    path: Annotated[str | None, typer.Option(help="Only this file or folder of the dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the working copy to the version of the pointer, or to another one, from a remote if it is not here."""
    from petla.data.checkouts import checkout as check_out
    from petla.data.checkouts import get_pointed
    from petla.data.history.tombstones import tell_forgotten
    from petla.data.transfer.pulling import pull_version

    workspace = workspace_of(context)
    name, _ = workspace.get_dataset(dataset)
    digest = get_pointed(workspace, name, rev=rev).digest if rev else None
    with byte_progress() as progress:
        if version is not None and path is None:
            pull_version(workspace, name, version, progress=progress)
        found = check_out(workspace, name, version, digest=digest, path=path, progress=progress)
    if as_json:
        print_json(found)
        return
    say(f"{name} is now version {found.version} ({count(found.files, 'file')}, {show_bytes(found.size_bytes)})")
    for line in tell_forgotten(workspace, found):
        note(line)


def log(
    context: typer.Context,
    dataset: DatasetName = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the versions of a dataset, the newest first."""
    from petla.data.versions import list_versions

    workspace = workspace_of(context)
    name, _ = workspace.get_dataset(dataset)
    versions = list_versions(workspace, name, limit=limit)
    if as_json:
        print_json(versions)
        return
    rows = [
        (v.version, v.created_at[:19], v.created_by, v.source, v.rows, show_bytes(v.size_bytes), v.digest[:12])
        for v in versions
    ]
    head = ("version", "at (UTC)", "by", "from", "rows", "size", "digest")
    print_table(head, rows, empty=f"{name} has no version yet; next: petla data add PATH")


def diff(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="A dataset of petla.toml.")],
    old: Annotated[int, typer.Argument(help="A version.")],
    new: Annotated[int, typer.Argument(help="Another version.")],
    as_json: AsJson = False,
) -> None:
    """Compare two versions: files, rows, columns, statistics."""
    from petla.data.versions import diff as compare

    found = compare(workspace_of(context), dataset, old, new)
    if as_json:
        print_json(found)
        return
    say(f"{dataset} from version {old} to version {new}")
    for line in found.describe():
        say(f"  {line}")


def show_profile(context: typer.Context, dataset: DatasetName = None, as_json: AsJson = False) -> None:
    """Show the profile of the newest version: kind, missing, range and categories of each column."""
    from petla.data.versions import list_versions, load_profile

    workspace = workspace_of(context)
    name, _ = workspace.get_dataset(dataset)
    versions = list_versions(workspace, name, limit=1)
    with byte_progress() as progress:
        profile = load_profile(workspace, versions[0], progress=progress) if versions else None
    if as_json:
        print_json(profile)
        return
    rows = [
        (c.name, str(c.kind), f"{c.missing_share:.1%}", c.distinct, c.minimum, c.mean, c.maximum)
        for c in (profile.columns if profile else ())
    ]
    head = ("column", "kind", "missing", "distinct", "least", "mean", "most")
    print_table(
        head,
        rows,
        empty=f"{name} is neither a table nor a folder of images (which need Pillow: pip install 'petla[images]')",
    )
