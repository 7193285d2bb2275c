"""From content that is in the store to a version: the profile beside it, then the row."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from petla.core.clock import to_text
from petla.core.errors import CorruptError, NotFoundError
from petla.core.project import FOUND_OUT, DatasetTable
from petla.data.content.taking import Taken
from petla.data.history import records
from petla.data.history.profiling import LARGE_BYTES, profile_content
from petla.data.history.records import DatasetVersion
from petla.data.history.tombstones import find_forgotten_in, refuse_forgotten
from petla.data.reading.tables import convert_table, is_table
from petla.data.upkeep.erasing import erase_here
from petla.storage.database import reading
from petla.storage.temporary import temporary_folder
from petla.storage.workspace import Workspace


def register(ws: Workspace, dataset: str, taken: Taken, *, actor: str, source: str) -> tuple[DatasetVersion, bool]:
    """Make taken content the newest version of a dataset; return it, and whether it is one that was not there before.

    Raises:
        ConflictError: it holds what was forgotten.
        InvalidError: it is a broken table.
        UnavailableError: the store or the database cannot be written; no version was added.
    """
    _refuse_forgotten(ws, dataset, taken)
    with reading(ws.engine) as connection:
        known = records.find_by_digest(connection, ws.name, dataset, taken.digest)
        newest = next(iter(records.list_newest(connection, ws.name, dataset, 1)), None)
    if known is not None:
        return known, False
    is_small = taken.read.manifest.size_bytes <= LARGE_BYTES
    table = ws.project.data.get(dataset)
    given = table.format if table else FOUND_OUT
    profile = profile_content(taken.path, taken.read.stamps, given) if is_small else None
    version = DatasetVersion(
        dataset=dataset,
        version=newest.version + 1 if newest else 1,
        digest=taken.digest,
        md5=taken.read.manifest.md5,
        size_bytes=taken.read.manifest.size_bytes,
        files=len(taken.read.manifest.files),
        rows=profile.rows if profile else None,
        profile=ws.objects.put_bytes(msgspec.json.encode(profile)) if profile else None,
        source=source,
        created_at=to_text(ws.clock()),
        created_by=actor,
    )
    subject = f"{dataset}:{version.version}"
    with ws.ledger.change(actor=actor, action="dataset.added", subject=subject) as change:
        records.insert_version(change.connection, ws.name, version)
        change.record(digest=version.digest, md5=version.md5, rows=version.rows, source=source)
    return version, True


def adopt(ws: Workspace, dataset: str, digest: str, document: Mapping[str, Any]) -> DatasetVersion:
    """Make a version that came from elsewhere known here; return it.

    It keeps its number where that is free.

    Args:
        ws: the project.
        dataset: its name.
        digest: of the manifest, which is in the store.
        document: what was known of it elsewhere.

    Raises:
        CorruptError: the document is none.
    """
    with reading(ws.engine) as connection:
        known = records.find_by_digest(connection, ws.name, dataset, digest)
        if known is not None:
            return known
        try:
            version = msgspec.convert(document, DatasetVersion)
        except msgspec.ValidationError as error:
            raise CorruptError(
                f"version {digest} came with an unknown description: {error}", hint="push it again"
            ) from error
        number = version.version
        if records.find_by_number(connection, ws.name, dataset, number) is not None:
            number = records.list_newest(connection, ws.name, dataset, 1)[0].version + 1
    version = msgspec.structs.replace(version, dataset=dataset, digest=digest, version=number)
    with ws.ledger.change(actor=ws.actor, action="dataset.adopted", subject=f"{dataset}:{number}") as change:
        records.insert_version(change.connection, ws.name, version)
        change.record(digest=digest, md5=version.md5, rows=version.rows, source=version.source)
    return version


@contextlib.contextmanager
def stage(ws: Workspace, table: DatasetTable, source: Path) -> Iterator[Path]:
    """Make a file look like a dataset: linked where it can be, written in another format where it must be.

    Raises:
        NotFoundError: there is no such file.
        InvalidError: it is a broken table.
    """
    if not source.is_file():
        raise NotFoundError(f"there is no file {source}", hint="correct the path")
    wanted = Path(table.path)
    with temporary_folder(ws.objects.temporary) as folder:
        if (ws.root / wanted).is_dir() or not wanted.suffix:
            staged = folder / "folder"
            staged.mkdir()
            (staged / source.name).symlink_to(source.resolve())
        else:
            staged = folder / wanted.name
            if is_table(source) and source.suffix.lower() != wanted.suffix.lower():
                convert_table(source, staged)
            else:
                staged.symlink_to(source.resolve())
        yield staged


def _refuse_forgotten(ws: Workspace, dataset: str, taken: Taken) -> None:
    forgotten = find_forgotten_in(ws, dataset, taken.read.manifest)
    if forgotten:
        erase_here(ws, {item.object: item.md5 for item in forgotten}, is_work_tree=False)
        refuse_forgotten(forgotten)
