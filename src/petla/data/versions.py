"""Dataset versions: add, list, check out, compare.

Adding goes from the bytes to the row to the pointer, so that whatever dies in between, adding again completes it:
objects without a row are known bytes, a row without a pointer is found by its digest.
"""

from pathlib import Path

import msgspec

from petla.core.errors import NotFoundError
from petla.core.progress import SILENT, Progress
from petla.data.adding import add
from petla.data.checkouts import get_pointed, point, pointer_content
from petla.data.content.manifest import read_manifest
from petla.data.content.placing import place
from petla.data.content.taking import Taken, take_in, working_on_data
from petla.data.current import remember
from petla.data.history import records
from petla.data.history.differences import DatasetDiff, compare_versions
from petla.data.history.intake import register, stage
from petla.data.history.profiling import load_profile
from petla.data.history.records import DatasetVersion
from petla.data.history.registration import append_table
from petla.data.history.tombstones import without_forgotten
from petla.data.pointers import pointer_path
from petla.data.rules.finding import DataFinding
from petla.storage.database import reading
from petla.storage.workspace import Workspace

__all__ = ["AddReport", "DatasetDiff", "DatasetVersion"]
__all__ += [
    "add",
    "add_content",
    "check",
    "check_version",
    "diff",
    "enter",
    "get_version",
    "list_versions",
]
__all__ += ["load_profile", "materialize", "pointer_bytes"]

# the `source` of what a person added
BY_PERSON = "person"


class AddReport(msgspec.Struct, frozen=True, kw_only=True):
    """What adding did."""

    version: DatasetVersion
    # False: this content was a version already
    is_new: bool
    # against the version before it
    findings: tuple[DataFinding, ...]
    # the path was unknown, and is a table of the project file now
    registered: bool
    # how CSV files were read; the first line says how they are written
    read_as: tuple[str, ...] = ()


def enter(ws: Workspace, dataset: str, where: str, taken: Taken) -> AddReport:
    """Make taken content the newest version of the dataset at a path, and point to it; see `add`."""
    is_known = dataset in ws.project.data
    version, is_new = register(ws, dataset, taken, actor=ws.actor, source=BY_PERSON)
    point(ws, where, version)
    if not is_known:
        ws.project = append_table(ws.root, ws.project, dataset, where)
    remember(ws.state, dataset, taken.read)
    # a large table is profiled when somebody asks for it
    previous = _find_previous(ws, version) if is_new and version.profile else None
    findings = _judge_profile(ws, version, previous) if is_new and version.profile else ()
    return AddReport(version=version, is_new=is_new, findings=findings, registered=not is_known)


def add_content(ws: Workspace, dataset: str, source: Path, *, actor: str, origin: str) -> DatasetVersion:
    """Make a file the newest version of a dataset, without touching the working copy or the pointer.

    A table in another format than the dataset's is written again in the dataset's; for a dataset that is a folder, the
    file becomes the only one in it.

    Args:
        ws: the project.
        dataset: its name in the project file.
        source: the file; it stays where it is.
        actor: who does it, for the audit trail.
        origin: where the content comes from, such as `decisions`; kept with the version.

    Raises:
        NotFoundError: there is no such dataset or file.
        InvalidError: the file is a broken table.
        UnavailableError: the store or the database cannot be written; no version was added.
    """
    _, table = ws.get_dataset(dataset)
    with working_on_data(ws, f"adding a version of {dataset}"), stage(ws, table, source) as staged:
        version, _ = register(ws, dataset, take_in(ws, staged), actor=actor, source=origin)
    return version


def check(
    ws: Workspace, dataset: str, *, against: int | None = None, progress: Progress = SILENT
) -> tuple[DataFinding, ...]:
    """Compare the version that the pointer names with the one before it, or with another one.

    The first version is compared with none: what the project file declares, and what is broken in itself, is found.

    Raises:
        NotFoundError: there is no such version, or no pointer.
    """
    version = get_pointed(ws, dataset)
    if against is None and version.version > 1:
        against = version.version - 1
    reference = get_version(ws, dataset, version=against) if against is not None else None
    return check_version(ws, version, reference, progress)


def check_version(
    ws: Workspace, version: DatasetVersion, reference: DatasetVersion | None, progress: Progress = SILENT
) -> tuple[DataFinding, ...]:
    """Compare a version with the one it follows, by the checks of its dataset; None: it follows none.

    Raises:
        NotFoundError: the files of one of them, or the schema of the project file, are not there.
        InvalidError, UserCodeError: the schema that the project file names cannot be used.
    """
    from petla.data.judging import judge

    return judge(ws, version, reference, progress)


def list_versions(ws: Workspace, dataset: str, *, limit: int = 50) -> list[DatasetVersion]:
    """Return a dataset's versions, newest first.

    Raises:
        NotFoundError: the project file has no such dataset.
    """
    ws.get_dataset(dataset)
    with reading(ws.engine) as connection:
        return records.list_newest(connection, ws.name, dataset, limit)


def get_version(
    ws: Workspace, dataset: str, *, digest: str | None = None, version: int | None = None
) -> DatasetVersion:
    """Return a version by digest or by number; by neither, the newest.

    Raises:
        NotFoundError: there is none.
    """
    with reading(ws.engine) as connection:
        if digest is not None:
            found, what = records.find_by_digest(connection, ws.name, dataset, digest), f"with digest {digest}"
        elif version is not None:
            found, what = records.find_by_number(connection, ws.name, dataset, version), str(version)
        else:
            found, what = next(iter(records.list_newest(connection, ws.name, dataset, 1)), None), "yet"
    if found is None:
        raise NotFoundError(f"dataset {dataset} has no version {what}", hint=f"petla data log {dataset}")
    return found


def diff(ws: Workspace, dataset: str, old: int, new: int) -> DatasetDiff:
    """Compare two versions: files, rows, columns, statistics.

    Raises:
        NotFoundError: there is no such version.
    """
    before, after = (get_version(ws, dataset, version=number) for number in (old, new))
    manifests = (read_manifest(ws.objects, before.digest), read_manifest(ws.objects, after.digest))
    profiles = (load_profile(ws, before), load_profile(ws, after))
    return compare_versions(dataset, (old, new), manifests, profiles)


def materialize(ws: Workspace, digest: str, target: Path) -> Path:
    """Write a version's file or folder to a path, verified; return the path.

    Raises:
        NotFoundError: the version or one of its files is not in the store.
        CorruptError: one of them is damaged; the target stays as it was.
        UnavailableError: the target cannot be written; it stays as it was.
    """
    place(ws.objects, without_forgotten(ws, read_manifest(ws.objects, digest)), target)
    return target


def pointer_bytes(ws: Workspace, version: DatasetVersion) -> tuple[str, bytes]:
    """Return the pointer's path relative to the project, and the pointer as it is for a version."""
    _, table = ws.get_dataset(version.dataset)
    return pointer_path(Path(table.path)).as_posix(), pointer_content(table.path, version)


def _find_previous(ws: Workspace, version: DatasetVersion) -> DatasetVersion | None:
    with reading(ws.engine) as connection:
        return records.find_by_number(connection, ws.name, version.dataset, version.version - 1)


def _judge_profile(ws: Workspace, version: DatasetVersion, previous: DatasetVersion | None) -> tuple[DataFinding, ...]:
    """Look at a version as it is added: its rows are read when it is checked, or before a run."""
    from petla.data.judging import judge_profile

    return judge_profile(ws, version, previous if previous and previous.profile else None)
