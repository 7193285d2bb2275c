"""Data as they were at a moment: what the pointers of that time's commit name."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from petla.core.clock import to_text
from petla.core.errors import NotFoundError
from petla.core.progress import SILENT, Progress
from petla.data.checkouts import find_pointer_of, find_version_of
from petla.data.git import find_commit_at
from petla.data.history import records
from petla.data.history.records import DatasetVersion
from petla.data.transfer.pulling import pull, pull_version
from petla.data.versions import get_version
from petla.storage.database import reading
from petla.storage.workspace import Workspace


class DataThen(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of a dataset was meant at a moment."""

    dataset: str
    # None: what the pointer named is not known here
    version: int | None
    digest: str
    md5: str
    # the one whose pointer says so; empty: there is none, and it was the newest version
    commit: str


def find_data_at(ws: Workspace, at: datetime, datasets: Sequence[str] | None = None) -> list[DataThen]:
    """Return which versions were meant at a moment; datasets that had none are left out.

    By the commit of that time where there is one, else by when the versions were added.

    Raises:
        InvalidError: a pointer of that commit cannot be understood.
    """
    commit = find_commit_at(ws.root, to_text(at))
    found = (_find_one(ws, dataset, at, commit) for dataset in datasets or ws.project.data)
    return [each for each in found if each is not None]


def restore_data(
    ws: Workspace, at: datetime, datasets: Sequence[str] | None = None, progress: Progress = SILENT
) -> list[DatasetVersion]:
    """Bring the work tree's data to what they were at a moment, from a remote where they are not here any more.

    Raises:
        NotFoundError: no dataset had a version at that moment, or a version is neither here nor on the remote.
        ConflictError: a working copy holds what is no version yet and would be lost.
        UnavailableError: the remote does not answer, or the work tree cannot be written.
    """
    then = find_data_at(ws, at, datasets)
    if not then:
        raise NotFoundError(f"no dataset had a version at {to_text(at)[:19]}", hint="see petla data log", field="at")
    restored: list[DatasetVersion] = []
    for each in then:
        if each.version is None:
            report = pull(ws, [each.dataset], rev=each.commit, progress=progress)
        else:
            report = pull_version(ws, each.dataset, each.version, progress=progress)
        restored += (get_version(ws, each.dataset, digest=came.digest) for came in report.versions)
    return restored


def _find_one(ws: Workspace, dataset: str, at: datetime, commit: str) -> DataThen | None:
    if commit:
        try:
            pointer = find_pointer_of(ws, dataset, rev=commit)
        except NotFoundError:
            return None
        known = find_version_of(ws, dataset, pointer)
        number, digest = (known.version, known.digest) if known else (None, pointer.digest)
        return DataThen(dataset=dataset, version=number, digest=digest, md5=pointer.md5, commit=commit)
    with reading(ws.engine) as connection:
        newest = records.find_newest_at(connection, ws.name, dataset, to_text(at))
    if newest is None:
        return None
    return DataThen(dataset=dataset, version=newest.version, digest=newest.digest, md5=newest.md5, commit="")
