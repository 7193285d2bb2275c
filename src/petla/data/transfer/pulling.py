"""Pulling: what pointers name comes from a remote into the store, and from there into the work tree."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from petla.core.clock import to_text
from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project import RemoteTable
from petla.core.project.paths import resolve_writable
from petla.data.checkouts import checkout, find_pointer_of, find_version, find_version_of, pointer_of
from petla.data.content.manifest import read_manifest, select
from petla.data.current import note_unix
from petla.data.dvc.exchange import DvcStore
from petla.data.dvc.settings import read_settings
from petla.data.history.contents import is_whole
from petla.data.history.intake import adopt
from petla.data.history.records import DatasetVersion, Forgotten
from petla.data.history.tombstones import list_forgotten
from petla.data.pointers import Pointer
from petla.data.transfer.remotes import choose_remote, open_packs
from petla.data.transfer.tombstones import graveyard_of, hear, take_over
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.packs import Mark, PackRemote
from petla.storage.workspace import Workspace

# the `source` of a version that came in DVC's layout
BY_DVC = "dvc"


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """One version that is here now."""

    dataset: str
    version: int
    digest: str
    # that travelled
    bytes: int


class PullReport(msgspec.Struct, frozen=True, kw_only=True):
    """What pulling did."""

    # empty: all was here, and no remote was asked
    remote: str
    versions: tuple[Pulled, ...]
    # files that others had forgotten, and that were erased here as well
    forgotten: tuple[Forgotten, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that travelled."""
        return sum(each.bytes for each in self.versions)


def pull(
    ws: Workspace,
    datasets: Sequence[str],
    *,
    remote: str | None = None,
    rev: str | None = None,
    path: str | None = None,
    progress: Progress = SILENT,
) -> PullReport:
    """Bring what pointers name into the work tree, and forget what others had forgotten.

    The remote is asked for tombstones even if all is here; where all is here it need not answer.

    Args:
        ws: the project.
        datasets: their names.
        remote: its name; None: the default.
        rev: a Git revision whose pointers are meant; None: those of the work tree.
        path: only this file, or the files below this folder, of the one dataset.
        progress: is told of the bytes.

    Raises:
        NotFoundError: there is no such pointer, remote or revision, or the remote does not have it.
        InvalidError: a symbolic link leads a dataset's path outside the project.
        ConflictError: a working copy holds what is no version yet and would be lost.
        CorruptError: what came is damaged; the work tree stays as it was.
        ForbiddenError, UnavailableError: the remote does not answer; what came is kept.
    """
    forgotten = hear(ws, remote)
    report = bring(ws, datasets, remote=remote, rev=rev, path=path, progress=progress)
    return msgspec.structs.replace(report, forgotten=forgotten)


def bring(
    ws: Workspace,
    datasets: Sequence[str],
    *,
    remote: str | None = None,
    rev: str | None = None,
    path: str | None = None,
    progress: Progress = SILENT,
) -> PullReport:
    """Bring what pointers name into the work tree, as `pull`, and ask a remote only for what is not here."""
    pulled = []
    asked = ""
    for dataset in datasets:
        pointer = find_pointer_of(ws, dataset, rev=rev)
        version, n_bytes = find_version_of(ws, dataset, pointer), 0
        with _landing(ws, dataset, path):
            if version is None or not is_whole(ws, version, path):
                version, n_bytes, asked = fetch(ws, dataset, pointer, remote, path, progress)
            checkout(ws, dataset, digest=version.digest, path=path, progress=progress)
        pulled.append(Pulled(dataset=dataset, version=version.version, digest=version.digest, bytes=n_bytes))
    return PullReport(remote=asked, versions=tuple(pulled))


def pull_version(
    ws: Workspace, dataset: str, number: int, *, remote: str | None = None, progress: Progress = SILENT
) -> PullReport:
    """Bring a version into the work tree that no pointer need name, and point to it.

    Raises:
        NotFoundError: there is no such version or remote, or the remote does not have it.
        ConflictError, CorruptError, ForbiddenError, UnavailableError: as `pull`.
    """
    version = find_version(ws, dataset, number=number)
    if version is None:
        raise NotFoundError(f"dataset {dataset} has no version {number}", hint=f"petla data log {dataset}")
    n_bytes, asked = 0, ""
    if not is_whole(ws, version):
        pointer = pointer_of(ws.project.data[dataset].path, version)
        _, n_bytes, asked = fetch(ws, dataset, pointer, remote, progress=progress)
    checkout(ws, dataset, number, progress=progress)
    return PullReport(
        remote=asked, versions=(Pulled(dataset=dataset, version=number, digest=version.digest, bytes=n_bytes),)
    )


def fetch(
    ws: Workspace,
    dataset: str,
    pointer: Pointer,
    remote: str | None = None,
    path: str | None = None,
    progress: Progress = SILENT,
) -> tuple[DatasetVersion, int, str]:
    """Bring what a pointer names into the store; return the version, the bytes that came, and from where.

    Raises:
        NotFoundError: there is no such remote, or it does not have it.
        CorruptError: what came is damaged.
        ForbiddenError, UnavailableError: the remote does not answer; what came is kept.
    """
    cached = _fetch_from_cache(ws, dataset, pointer, progress) if remote is None else None
    if cached is not None:
        return cached
    name, table = choose_remote(ws, remote)
    bucket = open_bucket(name, table, ws.root)
    take_over(ws, graveyard_of(bucket, table))
    if table.layout == "dvc":
        store = DvcStore(bucket)
        return _fetch_from_dvc(ws, dataset, pointer, store, path, progress)
    packs = open_packs(ws, name, bucket)
    try:
        mark = _find_mark(packs, dataset, pointer)
        first = packs.pull(ws.objects, [mark.digest], progress)
        forgotten = list_forgotten(ws)
        files = select(read_manifest(ws.objects, mark.digest), path)
        wanted = [entry.object for entry in files if entry.object not in forgotten]
        profile = mark.profile
        ws.objects.landings.want(wanted)
        then = packs.pull(ws.objects, [*wanted, *([profile] if profile else [])], progress)
    finally:
        packs.close()
    return adopt(ws, dataset, mark.digest, mark.document), first.bytes + then.bytes, name


def _landing(ws: Workspace, dataset: str, part: str | None) -> AbstractContextManager[None]:
    """Write what is pulled beside a dataset that is not there, so that it need not be read again for that."""
    table = ws.project.data[dataset]
    path = resolve_writable(ws.root, table.path)
    is_of_use = part is None and table.link == "copy" and not path.exists()
    return ws.objects.landing(path.parent) if is_of_use else nullcontext()


def _fetch_from_cache(
    ws: Workspace, dataset: str, pointer: Pointer, progress: Progress
) -> tuple[DatasetVersion, int, str] | None:
    """Take a version from the cache that DVC has on this machine; None: it is not all there."""
    settings = read_settings(ws.root)
    if settings is None or not settings.cache.is_dir():
        return None
    store = DvcStore(open_bucket("DVC's cache", RemoteTable(url=str(settings.cache)), ws.root))
    try:
        return _fetch_from_dvc(ws, dataset, pointer, store, None, progress)
    except (NotFoundError, CorruptError):
        return None


def _fetch_from_dvc(
    ws: Workspace, dataset: str, pointer: Pointer, store: DvcStore, path: str | None, progress: Progress
) -> tuple[DatasetVersion, int, str]:
    digest, n_bytes = store.pull(ws.objects, pointer, path=path, forgotten=list_forgotten(ws), progress=progress)
    manifest = read_manifest(ws.objects, digest)
    version = DatasetVersion(
        dataset=dataset,
        version=1,
        digest=digest,
        md5=manifest.md5,
        size_bytes=manifest.size_bytes,
        files=len(manifest.files),
        rows=None,
        profile=None,
        source=BY_DVC,
        created_at=to_text(ws.clock()),
        created_by=ws.actor,
    )
    if pointer.is_unix_md5:
        note_unix(ws.state, dataset, pointer.md5, digest)
    return adopt(ws, dataset, digest, msgspec.to_builtins(version)), n_bytes, store.bucket.name


def _find_mark(packs: PackRemote, dataset: str, pointer: Pointer) -> Mark:
    mark = packs.find_mark(digest=pointer.digest, md5=pointer.md5, dataset=dataset)
    if mark is None:
        what = pointer.digest[:12] or pointer.md5
        raise NotFoundError(
            f"dataset {dataset}: remote {packs.bucket.name} ({packs.bucket.url}) does not have version {what}",
            hint="petla data push where it was added, or name another remote with --remote",
        )
    return mark
