"""How the work tree stands to the pointers; light, since people ask for it all the time."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.project import PROJECT_FILE, DatasetTable
from petla.data.answers import keep_answer, look_at
from petla.data.current import RACY_NS, State, find_number, find_stamps, inspect, note_number
from petla.data.dvc.settings import FOLDER
from petla.data.pointers import pointer_path
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    from petla.data.answers import Files, Numbers


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


def keep_printed(ws: Workspace, statuses: Sequence[DatasetStatus], texts: Mapping[str, str], *, begun_ns: int) -> None:
    """Note what was printed about the statuses, so that it can be printed again while nothing changes.

    Args:
        ws: the project.
        statuses: what was found.
        texts: what is printed, by the options of the command.
        begun_ns: when the look began.
    """
    singles: dict[str, Numbers | None] = {}
    folders: dict[str, Files] = {}
    for path in (PROJECT_FILE, *(pointer_path(Path(s.path)).as_posix() for s in statuses)):
        numbers = look_at(str(ws.root / path))
        if numbers and numbers[1] >= begun_ns - RACY_NS:
            # it may have been written since it was read
            return
        if numbers is None and (ws.root / FOLDER).is_dir():
            # DVC may have its say elsewhere
            return
        singles[path] = numbers
    for status in statuses:
        stamps = find_stamps(ws.state, status.dataset)
        if status.state in ("missing", "untracked") or stamps is None:
            singles[status.path] = look_at(str(ws.root / status.path))
        elif stamps.paths == [""]:
            singles[status.path] = stamps.by_path()[""]
        else:
            folders[status.path] = (stamps.by_path(), stamps.folders)
    with contextlib.suppress(OSError):
        keep_answer(str(ws.state), texts, singles, folders)


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
