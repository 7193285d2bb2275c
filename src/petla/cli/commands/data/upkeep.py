"""`petla data gc`, `verify` and `forget`: looking after what is kept."""

from typing import TYPE_CHECKING, Annotated

import typer

from petla.cli.faults import NO
from petla.cli.output import AsJson, Yes, ask, count, leave, print_json, say, show_bytes
from petla.cli.parts import workspace_of
from petla.cli.progress import byte_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petla.data.upkeep.collecting import Collected, Dropped, Roots
    from petla.data.upkeep.forgetting import Item
    from petla.storage.workspace import Workspace

_SHOWN = 20

OnRemote = Annotated[str | None, typer.Option("--remote", help="This remote in place of the project's own store.")]


def register(group: typer.Typer) -> None:
    """Add the commands of this file."""
    group.command("gc", epilog="Example: petla data gc --keep-days 30 --yes")(gc)
    group.command("verify", epilog="Example: petla data verify --heal")(verify)
    group.command("restore", epilog="Example: petla data restore --at 2026-03-01")(restore)
    group.command("forget", epilog="Example: petla data forget data/faces/ann.png --reason 'asked by her'")(forget)


def gc(
    context: typer.Context,
    remote: OnRemote = None,
    keep_days: Annotated[float, typer.Option(min=0, help="What is younger than this stays in any case.")] = 30.0,
    only_copies: Annotated[
        bool, typer.Option("--only-copies", help="Drop versions that are nowhere else as well.")
    ] = False,
    is_meant: Annotated[bool, typer.Option("--yes", "-y", help="Do it; else it is only said what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what no branch, tag or recent commit needs any more, and with --yes drop it."""
    from petla.data.upkeep.collecting import Choice, collect, collect_remote

    workspace = workspace_of(context)
    choice = Choice(keep_days=keep_days, only_copies=only_copies, is_meant=is_meant)
    with byte_progress() as progress:
        if remote is None:
            report = collect(workspace, choice, _find_roots(workspace), progress)
        else:
            report = collect_remote(workspace, remote, choice, _find_roots(workspace), progress)
    if as_json:
        print_json(report)
        return
    _print_collected(report)


def verify(
    context: typer.Context,
    remote: OnRemote = None,
    is_healing: Annotated[bool, typer.Option("--heal", help="Fetch again what is damaged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read every object and compare it with its name: exit status 1 if one is damaged."""
    from petla.data.upkeep.verifying import verify as verify_here
    from petla.data.upkeep.verifying import verify_remote

    workspace = workspace_of(context)
    with byte_progress() as progress:
        if remote is None:
            report = verify_here(workspace, is_healing=is_healing, progress=progress)
        else:
            report = verify_remote(workspace, remote, progress)
    if as_json:
        print_json(report)
    else:
        for each in report.damaged:
            what = ", ".join(each.needed_by[:3]) or "nothing that is known here"
            state = "is healed" if each.is_healed else "is damaged"
            say(f"{each.object[:12]} {state}: {each.problem}; needed by {what}")
        where = f"remote {report.remote}" if report.remote else "the store"
        say(f"{where}: {count(len(report.damaged), 'damaged object')}" if report.damaged else f"{where} is sound")
        if not report.is_sound:
            say("next: petla data push again where it is whole" if remote else "next: petla data verify --heal")
    if not report.is_sound:
        leave(NO)


def restore(
    context: typer.Context,
    at: Annotated[str, typer.Option(help="A moment, such as 2026-03-01T12:00, on this machine's clock.")],
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets of petla.toml; all, if none is named.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the data of the work tree to what they were at a moment."""
    from petla.core.clock import read_moment
    from petla.data.upkeep.moments import restore_data

    workspace = workspace_of(context)
    names = [workspace.get_dataset(name)[0] for name in datasets or ()]
    with byte_progress() as progress:
        versions = restore_data(workspace, read_moment(at), names or None, progress)
    if as_json:
        print_json(versions)
        return
    for version in versions:
        say(f"{version.dataset} is now version {version.version}, added {version.created_at[:19]} UTC")
    say("next: petla data status; 'git checkout' the pointers and petla data checkout to come back")


def forget(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="A file of a dataset, or the digest or md5 of one.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the tombstone and in the audit trail.")],
    is_answered: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove one file from all history, from this machine and from every remote; a tombstone stays."""
    from petla.data.upkeep.forgetting import find_items
    from petla.data.upkeep.forgetting import forget as forget_items

    workspace = workspace_of(context)
    items = find_items(workspace, what)
    if not as_json:
        _print_items(items)
    ask("Remove it for good? There is no way back.", is_answered=is_answered)
    with byte_progress() as progress:
        derived = _list_outputs(workspace, items)
        report = forget_items(workspace, items, reason=reason, derived=derived, progress=progress)
    if as_json:
        print_json(report)
        return
    where = ", ".join(["this machine", *report.remotes])
    say(f"forgotten on {where}: {show_bytes(report.bytes)} removed")
    if derived:
        say(f"{count(len(derived), 'cached step output')} made from it went as well; models made from it stay")


def _find_roots(ws: "Workspace") -> "Roots":
    """Return what models and pipelines need of the store."""
    from petla.data.upkeep.collecting import Roots
    from petla.models.registry import list_needed
    from petla.pipeline.outputs.cache import list_records

    needed = list_needed(ws)
    outputs = (record.output for record in list_records(ws.state))
    return Roots(objects=(*needed.objects, *outputs), versions=needed.data)


def _list_outputs(ws: "Workspace", items: "Sequence[Item]") -> list[str]:
    from petla.pipeline.outputs.cache import list_records
    from petla.pipeline.runs import list_keys_of

    digests = {digest for item in items for digest in item.digests}
    keys = list_keys_of(ws, digests)
    return sorted({record.output for record in list_records(ws.state) if record.key in keys})


def _print_collected(report: "Collected") -> None:
    where = f"remote {report.remote}" if report.remote else "the store"
    _print_versions(report.dropped, "dropped" if report.is_done else "would go")
    if report.spared:
        _print_versions(report.spared, "stays, since it is nowhere else")
    freed = f"{show_bytes(report.sweep.bytes_freed)} in {count(report.sweep.entries, 'object')}"
    if report.is_done:
        say(f"{where}: {freed} freed")
        return
    say(f"{where}: {freed} would be freed")
    if report.sweep.entries or report.dropped:
        say("next: the same command with --yes")
    if report.spared:
        say("petla data push keeps a copy elsewhere; --only-copies drops them all the same")


def _print_versions(versions: "Sequence[Dropped]", what: str) -> None:
    for each in versions[:_SHOWN]:
        only = " (its only copy)" if each.is_only_copy and "stays" not in what else ""
        say(f"{each.dataset} version {each.version} {what}: {show_bytes(each.size_bytes)}{only}")
    if len(versions) > _SHOWN:
        say(f"… and {len(versions) - _SHOWN:,} more")


def _print_items(items: "Sequence[Item]") -> None:
    for item in items:
        numbers = ", ".join(str(number) for number in item.versions)
        what = f"{item.dataset}: {item.path}" if item.path else item.dataset
        say(f"{what} ({show_bytes(item.size_bytes)}, {item.object[:12]}) in version {numbers}")
