"""Adding: what lies at a path becomes the newest version of its dataset.

The bytes are read at once; what needs the database is loaded while they are.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.errors import InvalidError
from petla.core.progress import SILENT, Progress
from petla.data.content.taking import Taken, take_in, working_on_data
from petla.data.history.registration import choose_name, keep_date_order, place_in_project
from petla.data.reading.describing import describe_files
from petla.data.reading.names import is_counted, is_table_name
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    from petla.data.versions import AddReport


def add(ws: Workspace, path: Path, *, name: str | None = None, progress: Progress = SILENT) -> "AddReport":
    """Make what lies at a path the newest version of its dataset, and point to it.

    A path that is no dataset yet becomes one: a `[data.NAME]` table is added to the project file, and `ws.project` with
    it.

    Raises:
        NotFoundError: there is nothing at the path.
        InvalidError: it lies outside the project, is a broken table, or holds what cannot be versioned.
        ConflictError: it is being written at the moment, or holds what was forgotten.
        UnavailableError: the store, the pointer or the database cannot be written; no version was added.
    """
    where = place_in_project(ws.root, path)
    dataset = choose_name(ws.project, where, name)
    known_as = dataset if dataset in ws.project.data else ""
    with working_on_data(ws, f"petla data add {where}"):
        taken = take_in(ws, ws.root / where, dataset=known_as, progress=progress)
        # NOTE: not before the bytes are read, since it loads the database's library
        from petla.data.versions import enter

        report = enter(ws, dataset, where, taken)
        return _tell_reading(ws, report, where, taken) if report.is_new else report


def _tell_reading(ws: Workspace, report: "AddReport", where: str, taken: Taken) -> "AddReport":
    """Say how CSV files are read, and keep the order of their dates for the next ones."""
    # NOTE: as above
    from petla.data.history.profiling import LARGE_BYTES

    place, dataset = ws.root / where, report.version.dataset
    is_small = taken.read.manifest.size_bytes <= LARGE_BYTES
    paths = [entry.path for entry in taken.read.manifest.files]
    if not all(is_table_name(path or where) for path in paths):
        return report
    parts = [place / path for path in sorted(paths) if is_counted(path)] if paths != [""] else [place]
    try:
        found = describe_files(parts, ws.project.data[dataset].format, is_small=is_small)
    except InvalidError as error:
        # a large table is read when its profile is made
        return msgspec.structs.replace(report, read_as=(f"cannot be read as a table yet: {error.message}",))
    if found.date_order:
        ws.project = keep_date_order(ws.root, ws.project, dataset, found.date_order)
    return msgspec.structs.replace(report, read_as=found.lines)
