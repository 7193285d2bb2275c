"""Adding: what lies at a path becomes the newest version of its dataset.

The bytes are read at once; what needs the database is loaded while they are.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.progress import SILENT, Progress
from petla.data.content.taking import take_in, working_on_data
from petla.data.history.registration import choose_name, place_in_project
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

        return enter(ws, dataset, where, taken)
