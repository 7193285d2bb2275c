"""Pointers and the work tree: which version is meant, and bringing it there without losing anything."""

from functools import partial
from pathlib import Path

import msgspec

from petla.core.errors import ConflictError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project import DatasetTable
from petla.core.project.paths import resolve_inside, resolve_writable
from petla.data.content.manifest import FileEntry, read_manifest, select
from petla.data.content.placing import place
from petla.data.content.taking import working_on_data
from petla.data.content.working_copy import read_content
from petla.data.current import find_unix, inspect, list_known, note_number, remember_placed
from petla.data.dvc.outs import find_out, locate_pointer
from petla.data.dvc.settings import find_cached
from petla.data.git import list_pointers, read_file
from petla.data.history import records
from petla.data.history.records import DatasetVersion
from petla.data.history.registration import ignore_in_git
from petla.data.history.tombstones import find_forgotten_in, list_forgotten, without_forgotten
from petla.data.pointers import Origin, Pointer, decode_pointer, encode_pointer, find_pointer, pointer_path
from petla.storage.database import reading
from petla.storage.files import write_atomic
from petla.storage.objects.intake import digest_file, digest_files
from petla.storage.workspace import Workspace


def checkout(
    ws: Workspace,
    dataset: str,
    version: int | None = None,
    *,
    digest: str | None = None,
    path: str | None = None,
    progress: Progress = SILENT,
) -> DatasetVersion:
    """Put a version into the work tree and point to it; without a number or digest, the one that the pointer names.

    Args:
        ws: the project.
        dataset: its name.
        version: its number.
        digest: or its digest.
        path: only this file, or the files below this folder; the pointer stays as it is.
        progress: is told of the bytes that were written.

    Raises:
        NotFoundError: there is no such version, or no pointer.
        InvalidError: a symbolic link leads its path outside the project.
        ConflictError: the working copy holds what is no version yet and would be lost.
        CorruptError: a stored object is damaged; the working copy stays as it was.
        UnavailableError: the work tree cannot be written.
    """
    _, table = ws.get_dataset(dataset)
    with working_on_data(ws, f"petla data checkout {dataset}"):
        wanted = _choose(ws, dataset, version, digest)
        if path is not None:
            _bring_part(ws, table, wanted, path, progress)
            return wanted
        standing = inspect(ws.root, ws.state, table, dataset)
        if (standing.state, standing.digest) != ("clean", wanted.digest):
            _bring(ws, dataset, table, wanted, progress)
        if not _is_pointed(ws, dataset, wanted):
            point(ws, table.path, wanted)
    return wanted


def find_version(ws: Workspace, dataset: str, *, digest: str = "", number: int = 0) -> DatasetVersion | None:
    """Return a version by digest or by number, or None."""
    with reading(ws.engine) as connection:
        if digest:
            return records.find_by_digest(connection, ws.name, dataset, digest)
        return records.find_by_number(connection, ws.name, dataset, number)


def list_pointed(ws: Workspace, *, rev: str | None = None) -> list[str]:
    """Return the datasets that have a pointer, in the work tree or in a Git revision; all, where none has."""
    if rev is None:
        pointed = [name for name, table in ws.project.data.items() if locate_pointer(ws.root, table.path)]
    else:
        pointed = [name for name, table in ws.project.data.items() if _find_pointer_in(ws.root, rev, table.path)]
    return pointed or list(ws.project.data)


def find_pointer_of(ws: Workspace, dataset: str, *, rev: str | None = None) -> Pointer:
    """Return a dataset's pointer, of the work tree or of a Git revision.

    Raises:
        NotFoundError: there is none.
        UnavailableError: Git does not know the revision.
    """
    _, table = ws.get_dataset(dataset)
    if rev is None:
        found = locate_pointer(ws.root, table.path)
    else:
        found = _find_pointer_in(ws.root, rev, table.path)
    if found is None:
        where = f" in revision {rev}" if rev else ""
        raise NotFoundError(f"dataset {dataset} has no pointer{where}", hint=f"petla data add {table.path}")
    return found


def find_version_of(ws: Workspace, dataset: str, pointer: Pointer) -> DatasetVersion | None:
    """Return the version that a pointer names, or None."""
    with reading(ws.engine) as connection:
        if pointer.digest:
            return records.find_by_digest(connection, ws.name, dataset, pointer.digest)
        digest = find_unix(ws.state, dataset, pointer.md5) if pointer.is_unix_md5 else None
        if digest is not None:
            return records.find_by_digest(connection, ws.name, dataset, digest)
        return records.find_by_md5(connection, ws.name, dataset, pointer.md5)


def get_pointed(ws: Workspace, dataset: str, *, rev: str | None = None) -> DatasetVersion:
    """Return the version that a dataset's pointer names, in the work tree or in a Git revision.

    Raises:
        NotFoundError: there is no pointer, or its version is not known here.
    """
    version = find_version_of(ws, dataset, find_pointer_of(ws, dataset, rev=rev))
    if version is None:
        raise NotFoundError(
            f"dataset {dataset}: the version in its pointer is not known here",
            hint=f"petla data pull {dataset}" + (f" --rev {rev}" if rev else ""),
        )
    return version


def point(ws: Workspace, where: str, version: DatasetVersion, origin: Origin | None = None) -> None:
    """Make the pointer beside a path name a version, and keep the data itself out of Git.

    Args:
        ws: the project.
        where: the path.
        version: that it names from now on.
        origin: where the data were imported from; None: as the pointer says already.
    """
    path = resolve_inside(ws.root, where)
    pointer = pointer_path(path)
    former = find_pointer(pointer)
    origin = origin or (former.origin if former else None)
    content = encode_pointer(msgspec.structs.replace(pointer_of(where, version), origin=origin))
    if not pointer.is_file() or pointer.read_bytes() != content:
        write_atomic(pointer, content)
    ignore_in_git(path)
    note_number(ws.state, version.dataset, version.digest, version.version)


def pointer_content(where: str, version: DatasetVersion) -> bytes:
    """Return a pointer as it is for a version of the dataset at a path."""
    return encode_pointer(pointer_of(where, version))


def pointer_of(where: str, version: DatasetVersion) -> Pointer:
    """Return what the pointer beside a path says of a version."""
    return Pointer(
        path=Path(where).name,
        md5=version.md5,
        size_bytes=version.size_bytes,
        files=version.files,
        digest=version.digest,
    )


def _is_pointed(ws: Workspace, dataset: str, version: DatasetVersion) -> bool:
    """Whether something points to a version already, be it DVC's; that stays as it is."""
    pointer = locate_pointer(ws.root, ws.project.data[dataset].path)
    found = find_version_of(ws, dataset, pointer) if pointer is not None else None
    return found is not None and found.digest == version.digest


def _find_pointer_in(root: Path, rev: str, place: str) -> Pointer | None:
    """Return what pointed to a path in a Git revision, or None."""
    path = pointer_path(Path(place))
    content = read_file(root, rev, path.as_posix())
    if content is not None:
        return decode_pointer(content, path)
    return find_out(place, partial(read_file, root, rev), partial(list_pointers, root, rev))


def _choose(ws: Workspace, dataset: str, version: int | None, digest: str | None) -> DatasetVersion:
    if version is None and digest is None:
        return get_pointed(ws, dataset)
    found = find_version(ws, dataset, digest=digest or "", number=version or 0)
    if found is None:
        what = f"with digest {digest}" if digest else str(version)
        raise NotFoundError(f"dataset {dataset} has no version {what}", hint=f"petla data log {dataset}")
    return found


def _bring(ws: Workspace, dataset: str, table: DatasetTable, wanted: DatasetVersion, progress: Progress) -> None:
    """Put a version into the work tree, writing only what differs, if nothing is lost by it."""
    path = resolve_writable(ws.root, table.path)
    present = _list_present(ws, dataset, path)
    kept = ws.objects.rely_on(entry.object for entry in present)
    is_with_dvc = find_cached(ws.root)
    _refuse_loss([path / e.path for e in present if e.object not in kept and not is_with_dvc(e.md5)], table)
    manifest = read_manifest(ws.objects, wanted.digest)
    left = without_forgotten(ws, manifest)
    if not left.files:
        raise NotFoundError(find_forgotten_in(ws, dataset, manifest)[0].describe(), hint="check out another version")
    by_path = {entry.path: entry for entry in present}
    place(ws.objects, left, path, present=by_path, link=table.link, progress=progress)
    # what was forgotten is no change
    remember_placed(ws.state, dataset, path, manifest)


def _list_present(ws: Workspace, dataset: str, path: Path) -> tuple[FileEntry, ...]:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return ()
    return read_content(path, digest_files, list_known(ws.state, dataset)).manifest.files


def _bring_part(ws: Workspace, table: DatasetTable, wanted: DatasetVersion, part: str, progress: Progress) -> None:
    """Put some files of a version into the work tree, and leave the others as they are."""
    is_with_dvc = find_cached(ws.root)
    forgotten = list_forgotten(ws)
    for entry in select(read_manifest(ws.objects, wanted.digest), part):
        if entry.object in forgotten:
            raise NotFoundError(f"{entry.path}: {forgotten[entry.object].describe()}", hint="there is no way back")
        target = resolve_inside(ws.root, f"{table.path}/{entry.path}")
        if target.is_file():
            stored = digest_file(target)
            _refuse_loss([] if stored.digest in ws.objects or is_with_dvc(stored.md5) else [target], table)
        ws.objects.copy_out(entry.object, target, mode=entry.mode)
        progress.advance(entry.size)


def _refuse_loss(lost: list[Path], table: DatasetTable) -> None:
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise ConflictError(
            f"{lost[0]}{more} holds what is no version yet; checking out would lose it",
            hint=f"keep it with 'petla data add {table.path}', or remove it, then check out again",
        )
