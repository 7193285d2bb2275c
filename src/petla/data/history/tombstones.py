"""Tombstones: what was removed from all history, by whom and why; it must not come back."""

from collections.abc import Sequence
from typing import NoReturn

import msgspec

from petla.core.errors import ConflictError
from petla.data.content.manifest import Manifest, read_manifest
from petla.data.history import records
from petla.data.history.records import DatasetVersion, Forgotten
from petla.storage.database import reading
from petla.storage.remotes.tombstones import Tombstone
from petla.storage.workspace import Workspace


def list_forgotten(ws: Workspace) -> dict[str, Forgotten]:
    """Return what was removed, by its object."""
    with reading(ws.engine) as connection:
        return {item.object: item for item in records.list_forgotten(connection, ws.name)}


def find_forgotten_in(ws: Workspace, dataset: str, manifest: Manifest) -> list[Forgotten]:
    """Return which files of a dataset's version were removed, by the names that they have in it."""
    known = list_forgotten(ws)
    return [
        msgspec.structs.replace(known[entry.object], dataset=dataset, path=entry.path)
        for entry in manifest.files
        if entry.object in known
    ]


def tell_forgotten(ws: Workspace, version: DatasetVersion) -> list[str]:
    """Say what of a version was removed, a line for each file."""
    if not list_forgotten(ws):
        return []
    return [
        item.describe() for item in find_forgotten_in(ws, version.dataset, read_manifest(ws.objects, version.digest))
    ]


def without_forgotten(ws: Workspace, manifest: Manifest) -> Manifest:
    """Return what is left of a version."""
    known = list_forgotten(ws)
    if not known or not any(entry.object in known for entry in manifest.files):
        return manifest
    return msgspec.structs.replace(manifest, files=tuple(e for e in manifest.files if e.object not in known))


def refuse_forgotten(found: Sequence[Forgotten]) -> NoReturn:
    """Say that content holds what was removed.

    Raises:
        ConflictError: always.
    """
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise ConflictError(f"{found[0].describe()}{more}", hint="remove it; what was forgotten is not kept again")


def to_tombstone(item: Forgotten) -> Tombstone:
    """Return a tombstone as remotes keep it: without the file's name, which may tell who it was about."""
    return Tombstone(digest=item.object, md5=item.md5, reason=item.reason, at=item.at, by=item.by)
