"""Remotes as upkeep sees them: one kind of place for each layout."""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project import RemoteTable
from petla.data.content.manifest import Manifest, read_manifest
from petla.data.dvc.exchange import in_parallel, manifest_key
from petla.data.dvc.identity import cut_blocks, former_key_of, key_of, unix_md5, unix_md5_of
from petla.data.history.records import Forgotten
from petla.data.history.tombstones import list_forgotten, to_tombstone
from petla.data.transfer.pushing import is_noted
from petla.data.transfer.remotes import open_packs
from petla.data.transfer.tombstones import graveyard_of
from petla.data.upkeep.erasing import list_known_versions
from petla.storage.objects.naming import md5_of
from petla.storage.objects.store import Damage
from petla.storage.objects.sweeping import Sweep
from petla.storage.remotes import upkeep
from petla.storage.remotes.addresses import open_bucket
from petla.storage.remotes.bucket import Bucket, Item
from petla.storage.remotes.packs import VERSIONS, Mark, PackRemote
from petla.storage.temporary import temporary_folder
from petla.storage.workspace import Workspace

_OF_DVC = re.compile(r"(?:files/md5/)?([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")
_LARGE_BYTES = 1 << 20

# Tells whether a version has to stay.
Needed = Callable[[Mark], bool]


class Place(Protocol):
    """A remote."""

    def forget(self, buried: Sequence[Forgotten], progress: Progress = SILENT) -> None:
        """Remove objects, and say that they must not come back."""

    def sweep(self, is_needed: Needed, *, keep_s: float, is_meant: bool, progress: Progress) -> tuple[list[str], Sweep]:
        """Drop versions that need not stay; return their digests and what went, or would go."""

    def verify(self, progress: Progress = SILENT) -> Iterator[Damage]:
        """Read all of it; yield what is not what its name says."""


@contextlib.contextmanager
def open_place(ws: Workspace, name: str, table: RemoteTable) -> Iterator[Place]:
    """Yield a remote by its layout."""
    bucket = open_bucket(name, table, ws.root)
    if table.layout == "dvc":
        yield DvcPlace(ws, name, table, bucket)
        return
    packs = open_packs(ws, name, bucket)
    try:
        yield PackPlace(ws, table, packs)
    finally:
        packs.close()


class PackPlace:
    """A remote in the layout `packs`."""

    def __init__(self, ws: Workspace, table: RemoteTable, packs: PackRemote) -> None:
        self._ws = ws
        self._table = table
        self._packs = packs
        self._bucket = packs.bucket

    def forget(self, buried: Sequence[Forgotten], progress: Progress = SILENT) -> None:
        """As `Place`; profiles of the versions that held them go as well."""
        graveyard = graveyard_of(self._bucket, self._table)
        for item in buried:
            graveyard.bury(to_tombstone(item))
        gone = {item.object for item in buried}
        with self._packs.sweeping() as catalog:
            keep: set[str] = set()
            progress.begin(f"removing from {self._bucket.name}", 0)
            for mark in self._packs.list_marks():
                files = {entry.object for entry in self._read(mark).files}
                profile = mark.profile
                if profile and files & gone:
                    gone.add(profile)
                    self._packs.put_mark(msgspec.structs.replace(mark, document={**mark.document, "profile": None}))
                keep |= files | {mark.digest, *([profile] if profile else [])}
            upkeep.remove(self._bucket, catalog, self._ws.objects, gone, keep - gone)

    def sweep(self, is_needed: Needed, *, keep_s: float, is_meant: bool, progress: Progress) -> tuple[list[str], Sweep]:
        """As `Place`; versions of other projects stay."""
        limit = self._ws.clock() - timedelta(seconds=keep_s)
        with self._packs.sweeping() as catalog:
            young = {Path(item.key).stem for item in self._bucket.list(VERSIONS) if item.changed_at > limit}
            marks = self._packs.list_marks()
            stays = [mark for mark in marks if mark.digest in young or self._is_foreign(mark) or is_needed(mark)]
            keep = [name for mark in stays for name in self._list_objects(mark)]
            dropped = sorted({mark.digest for mark in marks} - {mark.digest for mark in stays})
            if not is_meant:
                return dropped, upkeep.plan_sweep(self._bucket, catalog, self._ws.objects, keep)
            for digest in dropped:
                self._packs.remove_mark(digest)
            return dropped, upkeep.sweep(self._bucket, catalog, self._ws.objects, keep, progress)

    def verify(self, progress: Progress = SILENT) -> Iterator[Damage]:
        """As `Place`."""
        catalog = self._packs.read_catalog()
        yield from upkeep.verify(self._bucket, catalog, progress)
        dead = {stone.digest for stone in graveyard_of(self._bucket, self._table).list_all()}
        for mark in self._packs.list_marks():
            found = upkeep.walk(self._bucket, catalog, self._ws.objects, self._list_objects(mark))
            if lost := [name.hex() for name, place in found if place is None and name.hex() not in dead]:
                yield Damage(mark.digest, "", f"{len(lost)} of its objects are missing, such as {lost[0]}")

    def _is_foreign(self, mark: Mark) -> bool:
        return bool(mark.document.get("project", self._ws.name) != self._ws.name)

    def _read(self, mark: Mark) -> Manifest:
        if mark.digest not in self._ws.objects:
            self._packs.pull(self._ws.objects, [mark.digest])
        return read_manifest(self._ws.objects, mark.digest)

    def _list_objects(self, mark: Mark) -> list[str]:
        profile = mark.profile
        return [*(entry.object for entry in self._read(mark).files), mark.digest, *([profile] if profile else [])]


class DvcPlace:
    """A remote in DVC's layout; what belongs to no version that is known here is left alone."""

    def __init__(self, ws: Workspace, name: str, table: RemoteTable, bucket: Bucket) -> None:
        self._ws = ws
        self._name = name
        self._table = table
        self._bucket = bucket

    def forget(self, buried: Sequence[Forgotten], progress: Progress = SILENT) -> None:
        """As `Place`."""
        graveyard = graveyard_of(self._bucket, self._table)
        progress.begin(f"removing from {self._bucket.name}", 0)
        for item in buried:
            graveyard.bury(to_tombstone(item))
        self._bucket.delete(key for item in buried for key in (key_of(item.md5), former_key_of(item.md5)))

    def sweep(self, is_needed: Needed, *, keep_s: float, is_meant: bool, progress: Progress) -> tuple[list[str], Sweep]:
        """As `Place`."""
        limit = self._ws.clock() - timedelta(seconds=keep_s)
        lying = {item.key: item for item in self._bucket.list("files/md5")}
        known = list_known_versions(self._ws)
        keep: set[str] = set()
        loose: dict[str, str] = {}
        for each in known:
            version = each.version
            md5s = {entry.md5 for entry in each.manifest.files} | {version.md5}
            if is_needed(Mark(version.digest, version.md5, version.dataset, {})):
                keep |= md5s
            else:
                loose |= dict.fromkeys(md5s, version.digest)
        gone = [key_of(md5) for md5 in loose if md5 not in keep]
        items = [lying[key] for key in gone if key in lying and lying[key].changed_at <= limit]
        digests = sorted({loose[_md5_of(item)] for item in items})
        progress.begin(f"sweeping {self._bucket.name}", len(items))
        if is_meant:
            self._bucket.delete([*(item.key for item in items), *map(manifest_key, digests)])
        size = sum(item.size_bytes for item in items)
        return digests, Sweep(entries=len(items), bytes_freed=size, packs_removed=0, packs_rewritten=0)

    def verify(self, progress: Progress = SILENT) -> Iterator[Damage]:
        """As `Place`; what lies there and is not DVC's is left alone."""
        items = [item for item in self._bucket.list("") if _OF_DVC.fullmatch(item.key)]
        progress.begin(f"verifying {self._bucket.name}", sum(item.size_bytes for item in items))
        with temporary_folder(self._ws.objects.temporary) as folder:
            for item, problem in in_parallel(lambda item: (item, self._find_problem(item, folder)), items):
                progress.advance(item.size_bytes)
                if problem:
                    yield Damage(_md5_of(item), item.key, problem)
        there = {_md5_of(item) for item in items}
        for md5 in sorted(self._list_expected() - there):
            yield Damage(md5, "", "it is not there")

    def _list_expected(self) -> set[str]:
        """What versions that were pushed from here consist of, but for what was forgotten."""
        forgotten = list_forgotten(self._ws)
        pushed = (each for each in list_known_versions(self._ws) if is_noted(self._ws, self._name, each.version))
        return {
            md5
            for each in pushed
            for md5 in (each.version.md5, *(e.md5 for e in each.manifest.files if e.object not in forgotten))
            if each.manifest.kind == "folder" or each.manifest.files[0].object not in forgotten
        }

    def _find_problem(self, item: Item, folder: Path) -> str:
        place = folder / _md5_of(item)
        try:
            content = self._bucket.get_or_write(item.key, place, limit_bytes=_LARGE_BYTES)
        except (NotFoundError, CorruptError) as error:
            return error.message
        wanted = _md5_of(item).removesuffix(".dir")
        found = _md5s_of(place if content is None else content)
        place.unlink(missing_ok=True)
        return "" if wanted in found else "its bytes do not match its name"


def _md5_of(item: Item) -> str:
    found = _OF_DVC.fullmatch(item.key)
    return f"{found[1]}{found[2]}" if found else ""


def _md5s_of(content: bytes | Path) -> Iterator[str]:
    """The names that DVC may have for content: that of version 3, then that of version 2."""
    if isinstance(content, bytes):
        yield md5_of(content).hexdigest()
        yield unix_md5(cut_blocks(content))
        return
    md5 = md5_of()
    with content.open("rb") as file:
        while block := file.read(_LARGE_BYTES):
            md5.update(block)
    yield md5.hexdigest()
    yield unix_md5_of(content, [""])
