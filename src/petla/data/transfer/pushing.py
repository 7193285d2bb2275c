"""Pushing: the versions that the pointers name, with all that they consist of."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from petla.core.errors import UnavailableError
from petla.core.progress import SILENT, Progress
from petla.core.project import RemoteTable
from petla.data.checkouts import get_pointed
from petla.data.content.manifest import Manifest, read_manifest
from petla.data.dvc.exchange import DvcStore
from petla.data.history.contents import is_whole
from petla.data.history.records import DatasetVersion, Forgotten
from petla.data.history.tombstones import list_forgotten, without_forgotten
from petla.data.transfer.remotes import choose_remote, open_packs
from petla.data.transfer.tombstones import graveyard_of, take_over
from petla.data.versions import list_versions
from petla.storage.files import write_atomic
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.packs import Mark
from petla.storage.remotes.traffic import Traffic
from petla.storage.workspace import Workspace


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """One version that is on the remote now."""

    dataset: str
    version: int
    digest: str
    # that travelled
    bytes: int


class PushReport(msgspec.Struct, frozen=True, kw_only=True):
    """What pushing did."""

    remote: str
    url: str
    versions: tuple[Pushed, ...]
    # files that others had forgotten, and that were erased here as well
    forgotten: tuple[Forgotten, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that travelled."""
        return sum(each.bytes for each in self.versions)


def push(
    ws: Workspace,
    datasets: Sequence[str],
    *,
    remote: str | None = None,
    all_versions: bool = False,
    progress: Progress = SILENT,
) -> PushReport:
    """Bring the versions that pointers name to a remote.

    Args:
        ws: the project.
        datasets: their names.
        remote: its name; None: the default.
        all_versions: those that no pointer names any more as well, as far as they are here.
        progress: is told of the bytes.

    Raises:
        NotFoundError: there is no such remote or pointer, or a version is not here.
        ConflictError: the remote is being swept.
        ForbiddenError, UnavailableError: the remote does not answer; what arrived stays.
    """
    name, table = choose_remote(ws, remote)
    bucket = open_bucket(name, table, ws.root)
    # NOTE: before the versions are listed, since their profiles go with a file that is forgotten
    forgotten = take_over(ws, graveyard_of(bucket, table))
    versions = [version for dataset in datasets for version in _list_wanted(ws, dataset, all_versions=all_versions)]
    pushed = []
    with _open_pusher(ws, name, table, bucket, progress) as send:
        for version in versions:
            n_bytes = send(version).bytes
            note_pushed(ws, name, version)
            pushed.append(
                Pushed(dataset=version.dataset, version=version.version, digest=version.digest, bytes=n_bytes)
            )
    return PushReport(remote=name, url=table.url, versions=tuple(pushed), forgotten=forgotten)


def list_objects(version: DatasetVersion, manifest: Manifest) -> list[str]:
    """Return the objects that a version consists of."""
    profile = [version.profile] if version.profile else []
    return [*(entry.object for entry in manifest.files), *profile, version.digest]


def mark_of(ws: Workspace, version: DatasetVersion) -> Mark:
    """Return what a remote keeps of a version."""
    about = {"path": ws.project.data[version.dataset].path, "project": ws.name}
    document = msgspec.to_builtins(version) | about
    return Mark(version.digest, version.md5, version.dataset, document)


def note_pushed(ws: Workspace, remote: str, version: DatasetVersion) -> None:
    """Note on this machine that a version is on a remote, so that a Git hook need not ask it."""
    with contextlib.suppress(UnavailableError):
        write_atomic(_pushed_path(ws, remote, version.digest), b"")


def unnote_pushed(ws: Workspace, remote: str, version: DatasetVersion) -> None:
    """Note that a version is not on a remote any more."""
    _pushed_path(ws, remote, version.digest).unlink(missing_ok=True)


def is_noted(ws: Workspace, remote: str, version: DatasetVersion) -> bool:
    """Whether this machine has seen a version on a remote."""
    return _pushed_path(ws, remote, version.digest).exists()


def is_pushed(ws: Workspace, version: DatasetVersion) -> bool:
    """Whether this machine has seen a version on any remote."""
    folders = (ws.state / "remotes").glob("*/pushed")
    return any((folder / version.digest).exists() for folder in folders)


def _pushed_path(ws: Workspace, remote: str, digest: str) -> Path:
    return ws.state / "remotes" / remote / "pushed" / digest


@contextlib.contextmanager
def _open_pusher(
    ws: Workspace, name: str, table: RemoteTable, bucket: Bucket, progress: Progress
) -> Iterator[Callable[[DatasetVersion], Traffic]]:
    """Yield what brings one version to a remote, in its layout."""
    if table.layout == "dvc":
        store = DvcStore(bucket)
        yield lambda version: store.push(ws.objects, version.digest, list_forgotten(ws), progress)
        return
    packs = open_packs(ws, name, bucket)

    def send(version: DatasetVersion) -> Traffic:
        manifest = without_forgotten(ws, read_manifest(ws.objects, version.digest))
        return packs.push(ws.objects, list_objects(version, manifest), mark_of(ws, version), progress)

    try:
        yield send
    finally:
        packs.close()


def _list_wanted(ws: Workspace, dataset: str, *, all_versions: bool) -> list[DatasetVersion]:
    pointed = get_pointed(ws, dataset)
    if not all_versions:
        return [pointed]
    others = [version for version in list_versions(ws, dataset, limit=1_000_000) if version != pointed]
    return [*(version for version in others if is_whole(ws, version)), pointed]
