"""The files of a version: whether they are here, and a place where they can be read."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from petla.core.errors import ConflictError
from petla.core.progress import SILENT, Progress
from petla.data.content.manifest import read_manifest, select
from petla.data.content.placing import place
from petla.data.content.working_copy import list_stamps
from petla.data.current import find_stamps, inspect
from petla.data.history.records import DatasetVersion
from petla.data.history.tombstones import list_forgotten, without_forgotten
from petla.storage.temporary import temporary_folder
from petla.storage.workspace import Workspace


def is_whole(ws: Workspace, version: DatasetVersion, path: str | None = None) -> bool:
    """Whether all that is left of a version, or of a file or folder of it, is in the store.

    Raises:
        NotFoundError: the version has no such path.
    """
    if version.digest not in ws.objects or ws.objects.find_missing([version.digest]):
        return False
    forgotten = list_forgotten(ws)
    files = select(read_manifest(ws.objects, version.digest), path)
    return not ws.objects.find_missing(entry.object for entry in files if entry.object not in forgotten)


@contextlib.contextmanager
def located(ws: Workspace, version: DatasetVersion, progress: Progress = SILENT) -> Iterator[Path]:
    """Yield where a version's files lie: in the working copy or, where that is another version, beside it for a while.

    Raises:
        NotFoundError: they are not in the store.
        ConflictError: the working copy was changed while it was read.
    """
    _, table = ws.get_dataset(version.dataset)
    path = ws.root / table.path
    standing = inspect(ws.root, ws.state, table, version.dataset)
    stamps = find_stamps(ws.state, version.dataset)
    if (standing.state, standing.digest) == ("clean", version.digest) and stamps == list_stamps(path):
        yield path
        if list_stamps(path) != stamps:
            raise ConflictError(f"{path} was changed while it was read", hint="try again when it is complete")
        return
    with temporary_folder(ws.objects.temporary) as folder:
        target = folder / Path(table.path).name
        place(ws.objects, without_forgotten(ws, read_manifest(ws.objects, version.digest)), target, progress=progress)
        yield target
