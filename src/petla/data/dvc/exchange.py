"""Datasets in DVC's own layout, one object per file: on a remote, or in the cache of this machine."""

import json
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from petla.core.digests import check_md5
from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project.paths import check_tree
from petla.data.content.manifest import (
    FileEntry,
    Manifest,
    decode_manifest,
    encode_listing,
    encode_manifest,
    list_md5,
    read_manifest,
    select,
)
from petla.data.dvc.identity import cut_blocks, former_key_of, key_of, unix_md5, unix_md5_of
from petla.data.pointers import Pointer
from petla.storage.files import reported
from petla.storage.objects import ObjectStore
from petla.storage.objects.naming import Stored, digest_content, md5_of
from petla.storage.objects.writing import Writer
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.traffic import Traffic
from petla.storage.temporary import temporary_folder

# DVC's objects are small, one for each file: what counts is how many are asked for at once.
_THREADS = 16
_AHEAD = 4 * _THREADS
# larger ones go through a file
_LARGE_BYTES = 1 << 20
# with more files than this, listing the bucket is faster than asking for each
_MANY = 500

T = TypeVar("T")
R = TypeVar("R")


class Wanted(NamedTuple):
    """One file of a dataset, by DVC's name for it."""

    path: str
    md5: str
    is_unix_md5: bool


class DvcStore:
    """The objects of a bucket in DVC's layout.

    Args:
        bucket: of the remote, or the folder of a cache.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def push(
        self, objects: ObjectStore, digest: str, forgotten: Container[str] = (), progress: Progress = SILENT
    ) -> Traffic:
        """Bring a version there, the listing of a folder last.

        The manifest goes with it, apart from DVC's objects: it knows of modes and of empty folders.

        Args:
            objects: the store.
            digest: of the version.
            forgotten: objects of it that are no more.
            progress: is told of the bytes.

        Raises:
            CorruptError, NotFoundError: a file of the version is damaged or not in the store.
            ForbiddenError, UnavailableError: the remote does not answer; what arrived stays.
        """
        manifest = read_manifest(objects, digest)
        by_md5 = {entry.md5: entry for entry in manifest.files if entry.object not in forgotten}
        missing = self._find_missing(by_md5)
        progress.begin(f"pushing to {self.bucket.name}", sum(by_md5[md5].size for md5 in missing))

        def send(md5: str) -> int:
            entry = by_md5[md5]
            self._send(objects, entry, progress)
            return entry.size

        n_bytes = sum(in_parallel(send, missing))
        self.bucket.create(manifest_key(digest), objects.get_bytes(digest))
        if manifest.kind == "folder":
            listing = encode_listing({entry.path: entry.md5 for entry in manifest.files})
            self.bucket.create(key_of(manifest.md5), listing)
        return Traffic(n_bytes, len(missing), len(missing))

    def pull(
        self,
        objects: ObjectStore,
        pointer: Pointer,
        *,
        path: str | None = None,
        forgotten: Container[str] = (),
        progress: Progress = SILENT,
    ) -> tuple[str, int]:
        """Bring what a pointer names into the store; return the digest of its manifest, and the bytes that came.

        Args:
            objects: the store.
            pointer: names the file or the listing.
            path: of a folder that Pętla pushed, only this file or what is below this folder; of others all.
            forgotten: objects of it that are no more.
            progress: is told of the bytes.

        Raises:
            NotFoundError: it is not all there.
            CorruptError: what came is not what its name says.
            ForbiddenError, UnavailableError: the remote does not answer.
        """
        found = self._find_manifest(pointer)
        if found is None:
            wanted = self._list_wanted(pointer)
        else:
            manifest, _ = found
            files = [each for each in select(manifest, path) if each.object not in forgotten]
            wanted = [Wanted(each.path, each.md5, is_unix_md5=False) for each in files]
        progress.begin(f"pulling from {self.bucket.name}", pointer.size_bytes)
        entries = self._fetch_all(objects, wanted, progress)
        n_bytes = sum(entry.size for entry in entries)
        if found is None:
            kind: Literal["file", "folder"] = "folder" if pointer.md5.endswith(".dir") else "file"
            manifest = Manifest(kind, tuple(sorted(entries, key=lambda entry: entry.path)))
            return objects.put_bytes(encode_manifest(manifest)), n_bytes
        manifest, content = found
        if not {entry.object for entry in entries} <= {entry.object for entry in manifest.files}:
            raise CorruptError(f"version {pointer.digest} on {self.bucket.name} is not whole", hint="push it again")
        return objects.put_bytes(content), n_bytes

    def has(self, pointer: Pointer) -> bool:
        """Whether the object that a pointer names is there."""
        return any(self.bucket.exists(key) for key in _keys_of(pointer.md5, is_unix_md5=pointer.is_unix_md5))

    def _fetch_all(self, objects: ObjectStore, wanted: list[Wanted], progress: Progress) -> list[FileEntry]:
        entries = []
        with temporary_folder(objects.temporary) as folder, objects.writing() as writer:
            fetched = in_parallel(lambda each: (each, self._fetch(each, folder)), wanted)
            for each, content in fetched:
                stored = _keep(writer, content)
                if not each.is_unix_md5 and stored.md5 != each.md5:
                    raise self._damaged(each.md5)
                progress.advance(stored.size)
                entries.append(FileEntry(each.path, stored.size, stored.digest, stored.md5))
        return entries

    def _find_manifest(self, pointer: Pointer) -> tuple[Manifest, bytes] | None:
        """Return the manifest and its bytes, where Pętla pushed the version."""
        if not pointer.digest:
            return None
        try:
            content = self.bucket.get(manifest_key(pointer.digest))
        except NotFoundError:
            return None
        if digest_content(content) != pointer.digest:
            raise self._damaged(manifest_key(pointer.digest))
        return decode_manifest(content, f"{manifest_key(pointer.digest)} on {self.bucket.name}"), content

    def _find_missing(self, by_md5: Mapping[str, FileEntry]) -> list[str]:
        if len(by_md5) > _MANY:
            known = {item.key for item in self.bucket.list("files/md5")}
            return [md5 for md5 in by_md5 if key_of(md5) not in known]
        found = in_parallel(lambda md5: (md5, self.bucket.exists(key_of(md5))), by_md5)
        return [md5 for md5, is_there in found if not is_there]

    def _send(self, objects: ObjectStore, entry: FileEntry, progress: Progress) -> None:
        if entry.size <= _LARGE_BYTES:
            self.bucket.put(key_of(entry.md5), objects.get_bytes(entry.object))
            progress.advance(entry.size)
            return
        with temporary_folder(objects.temporary) as folder:
            whole = folder / entry.md5
            objects.copy_out(entry.object, whole)
            self.bucket.put_file(key_of(entry.md5), whole, progress)

    def _list_wanted(self, pointer: Pointer) -> list[Wanted]:
        """Return the files of a pointer; those of a folder stand in its listing."""
        if not pointer.md5.endswith(".dir"):
            return [Wanted("", pointer.md5, pointer.is_unix_md5)]
        content = self._get_listing(pointer)
        try:
            listed = {str(line["relpath"]): str(line["md5"]) for line in json.loads(content)}
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptError(f"the listing {pointer.md5} cannot be read: {error}", hint="push it again") from error
        if list_md5(listed) != pointer.md5:
            raise CorruptError(f"the listing {pointer.md5} is not what its name says", hint="push it again")
        try:
            check_tree(listed)
            for md5 in listed.values():
                check_md5(md5)
        except ValueError as error:
            raise CorruptError(f"the listing {pointer.md5} {error}", hint="do not use it") from error
        return [Wanted(path, md5, pointer.is_unix_md5) for path, md5 in listed.items()]

    def _get_listing(self, pointer: Pointer) -> bytes:
        for key in _keys_of(pointer.md5, is_unix_md5=pointer.is_unix_md5):
            try:
                return self.bucket.get(key)
            except NotFoundError:
                continue
        raise self._missing(pointer.md5)

    def _fetch(self, wanted: Wanted, folder: Path) -> bytes | Path:
        """Return a file's bytes, or where they were written, compared with their name."""
        for key in _keys_of(wanted.md5, is_unix_md5=wanted.is_unix_md5):
            place = folder / f"{wanted.md5}-{abs(hash(wanted.path))}"
            try:
                content = self.bucket.get_or_write(key, place, limit_bytes=_LARGE_BYTES)
            except NotFoundError:
                continue
            found = place if content is None else content
            if wanted.is_unix_md5 and _unix_md5_of(found) != wanted.md5:
                raise self._damaged(wanted.md5)
            return found
        raise self._missing(wanted.md5)

    def _damaged(self, what: str) -> CorruptError:
        return CorruptError(
            f"{what} on {self.bucket.name} ({self.bucket.url}) is not what its name says",
            hint="push it again from where it is whole",
        )

    def _missing(self, md5: str) -> NotFoundError:
        return NotFoundError(
            f"{self.bucket.name} ({self.bucket.url}) does not have {md5}", hint="dvc push where it was added"
        )


def manifest_key(digest: str) -> str:
    """Return where Pętla keeps a version's manifest beside DVC's objects; DVC looks only below `files`."""
    return f"petla/manifests/{digest}"


def _keys_of(md5: str, *, is_unix_md5: bool) -> tuple[str, ...]:
    """Return where an object may lie; projects that DVC 3 took over from DVC 2 have both."""
    keys = (key_of(md5), former_key_of(md5))
    return keys[::-1] if is_unix_md5 else keys


def _unix_md5_of(content: bytes | Path) -> str:
    return unix_md5(cut_blocks(content)) if isinstance(content, bytes) else unix_md5_of(content, [""])


def _keep(writer: Writer, content: bytes | Path) -> Stored:
    if isinstance(content, bytes):
        return Stored(writer.put_bytes(content), len(content), md5_of(content).hexdigest())
    stored = writer.put_file(content)
    with reported(content):
        content.unlink()
    return stored


def in_parallel(do: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield results in order, with a bounded number of items under way."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="dvc") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(do, item))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
