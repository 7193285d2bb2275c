"""Forgetting: one file leaves all history, this machine and every remote, and a tombstone stays.

First the tombstone, then the remotes, then the bytes here: whatever dies in between, nothing brings the file back, and
forgetting it again completes it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from petla.core.clock import to_text
from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.data.content.manifest import FileEntry
from petla.data.content.taking import working_on_data
from petla.data.history import records
from petla.data.history.records import DatasetVersion, Forgotten
from petla.data.transfer.remotes import list_tables
from petla.data.upkeep.erasing import Known, erase_here, list_known_versions
from petla.data.upkeep.places import open_place
from petla.storage.workspace import Workspace

_LEAST_DIGITS = 8


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a dataset, one content of it."""

    dataset: str
    # in the dataset; empty where the dataset is one file
    path: str
    object: str
    md5: str
    size_bytes: int
    # that hold it
    versions: tuple[int, ...]
    # of these versions
    digests: tuple[str, ...]


class ForgetReport(msgspec.Struct, frozen=True, kw_only=True):
    """What forgetting did."""

    items: tuple[Item, ...]
    # of the store, that went
    bytes: int
    remotes: tuple[str, ...]


def find_items(ws: Workspace, what: str) -> list[Item]:
    """Return the files that are meant, in every version that holds them.

    Args:
        ws: the project.
        what: a path in the work tree or below a dataset (`faces/a.png`), or at least eight digits of an object or md5.

    Raises:
        NotFoundError: no version that is known here has it.
        InvalidError: it is an empty file.
    """
    everything = list_known_versions(ws)
    names = _names_of(ws, what)
    meant = {e.object for known, e in _list_entries(everything) if (known.version.dataset, e.path) in names}
    if not meant and len(what) >= _LEAST_DIGITS and not set(what) - set("0123456789abcdef"):
        meant = {e.object for _, e in _list_entries(everything) if what in (e.object[: len(what)], e.md5[: len(what)])}
    # the same bytes may have other names as well
    items = _gather(everything, meant)
    if not items:
        raise NotFoundError(
            f"no version has {what!r}",
            hint="give the path of one file, such as data/faces/a.png, or its digest; see petla data log",
        )
    # an empty file says nothing of anybody
    items = [item for item in items if item.size_bytes]
    if not items:
        raise InvalidError(f"{what} is empty: there is nothing to forget", hint="remove the file and add the dataset")
    return items


def forget(
    ws: Workspace,
    items: Sequence[Item],
    *,
    reason: str,
    derived: Collection[str] = (),
    progress: Progress = SILENT,
) -> ForgetReport:
    """Remove files from all history, from this machine and from every remote.

    Args:
        ws: the project.
        items: what goes, as `find_items` found it.
        reason: why, for the audit trail and for whoever looks for them.
        derived: objects of this store that were made from them.
        progress: is told of what was removed.

    Raises:
        InvalidError: no reason was given.
        BusyError: somebody pushes to a remote, or writes into the store.
        ForbiddenError, UnavailableError: a remote does not answer; what was removed stays removed.
    """
    if not reason.strip():
        raise InvalidError("say why it is forgotten", hint="--reason 'asked by the person'", field="reason")
    with working_on_data(ws, "petla data forget"):
        buried = _bury(ws, items, reason)
        tables = list_tables(ws)
        for name, table in tables.items():
            with open_place(ws, name, table) as place:
                place.forget(buried, progress)
        n_bytes = erase_here(ws, {item.object: item.md5 for item in items}, derived)
    return ForgetReport(items=tuple(items), bytes=n_bytes, remotes=tuple(tables))


def _names_of(ws: Workspace, what: str) -> set[tuple[str, str]]:
    """Return the datasets, and the paths in them, that a path may mean."""
    relative = Path(what)
    if relative.is_absolute() or (Path.cwd() / relative).exists():
        whole = Path.cwd() / relative
        if not whole.is_relative_to(ws.root):
            raise ConflictError(f"{what} lies outside the project {ws.root}", hint="name a file of a dataset")
        relative = whole.relative_to(ws.root)
    names = set()
    for dataset, table in ws.project.data.items():
        for start in (table.path, dataset):
            if relative == Path(start):
                names.add((dataset, ""))
            elif relative.is_relative_to(start):
                names.add((dataset, relative.relative_to(start).as_posix()))
    return names


def _list_entries(everything: Iterable[Known]) -> Iterator[tuple[Known, FileEntry]]:
    return ((known, entry) for known in everything for entry in known.manifest.files)


def _gather(everything: Iterable[Known], objects: Collection[str]) -> list[Item]:
    versions: dict[tuple[str, FileEntry], list[DatasetVersion]] = {}
    for known, entry in _list_entries(everything):
        if entry.object in objects:
            versions.setdefault((known.version.dataset, entry), []).append(known.version)
    return [
        Item(
            dataset=dataset,
            path=entry.path,
            object=entry.object,
            md5=entry.md5,
            size_bytes=entry.size,
            versions=tuple(version.version for version in holding),
            digests=tuple(version.digest for version in holding),
        )
        for (dataset, entry), holding in versions.items()
    ]


def _bury(ws: Workspace, items: Sequence[Item], reason: str) -> list[Forgotten]:
    """Write the tombstones; those that are there stay as they are."""
    now, by = to_text(ws.clock()), ws.actor
    buried = [
        Forgotten(dataset=item.dataset, path=item.path, object=item.object, md5=item.md5, reason=reason, at=now, by=by)
        for item in items
    ]
    subject = ", ".join(sorted({item.dataset for item in items}))
    with ws.ledger.change(actor=by, action="data.forgotten", subject=subject, reason=reason) as change:
        records.insert_forgotten(change.connection, ws.name, buried)
        # NOTE: no path stands here: it may tell who it was about, and the trail is for ever
        change.record(objects=sorted({item.object for item in items}))
    return buried
