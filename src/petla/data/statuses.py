"""How the work tree stands to the pointers; light, since people ask for it all the time."""

import msgspec

from petla.core.project import DatasetTable
from petla.data.current import State, find_number, inspect, note_number
from petla.storage.workspace import Workspace


class DatasetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the work tree stands to a dataset's pointer."""

    dataset: str
    path: str
    state: State
    # of the version the pointer names; empty: none, or not known here
    digest: str
    version: int | None


def list_statuses(ws: Workspace) -> tuple[DatasetStatus, ...]:
    """Compare every dataset's working copy with its pointer."""
    return tuple(_status_of(ws, name, table) for name, table in ws.project.data.items())


def _status_of(ws: Workspace, name: str, table: DatasetTable) -> DatasetStatus:
    standing = inspect(ws.root, ws.state, table, name)
    digest, number = standing.digest, None
    if standing.pointer is not None:
        number = find_number(ws.state, name, digest) if digest else None
        if number is None:
            # The database takes ten times as long to open as all the rest.
            from petla.data.checkouts import find_version_of

            version = find_version_of(ws, name, standing.pointer)
            if version is not None:
                digest, number = version.digest, version.version
                note_number(ws.state, name, digest, number)
    return DatasetStatus(dataset=name, path=table.path, state=standing.state, digest=digest, version=number)
