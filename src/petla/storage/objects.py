"""The object store: bytes named by their BLAKE3, in a folder.

Every write goes to a temporary name, is flushed and renamed; every read is verified. Everything that Pętla keeps as
bytes goes through `put_bytes`, `put_file`, `get_bytes` and `copy_out`, so the inside of this file may change without
anybody noticing.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import blake3

from petla.core.digests import DIGEST_LENGTH, digest_bytes
from petla.core.errors import CorruptError, NotFoundError
from petla.storage.files import make_folder, reported, sync_folder, write_atomic

_BLOCK_BYTES = 1 << 20

Observer = Callable[[bytes], None]


class ObjectStore:
    """A folder of immutable objects.

    Args:
        folder: where the objects live; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, digest: str) -> bool:
        return self._path(digest).is_file()

    def __iter__(self) -> Iterator[str]:
        for group in sorted(self.folder.glob("??")):
            for path in sorted(group.iterdir()):
                if len(path.name) == DIGEST_LENGTH - 2:
                    yield group.name + path.name

    def put_bytes(self, content: bytes) -> str:
        """Keep bytes; return their digest. Known bytes are not written again.

        Raises:
            UnavailableError: the disk is full or may not be written.
        """
        digest = digest_bytes(content)
        if digest not in self:
            write_atomic(self._path(digest), content, mode=0o444)
        return digest

    def put_file(self, source: Path, observe: Observer | None = None) -> str:
        """Keep a copy of a file, read once; return its digest.

        Args:
            source: the file to read.
            observe: sees every block on the way, to hash or to count it.

        Raises:
            FileNotFoundError: there is no such source.
            CorruptError: the object is there already and is damaged; it stays as it is.
            UnavailableError: the source cannot be read, or the disk is full or may not be written; no object is left
                behind.
        """
        with reported(source, "read"):
            reader = source.open("rb")
        with reader, _temporary_in(self.folder) as (temporary, writer):
            hasher = blake3.blake3()
            for block in _blocks_of(reader, source):
                hasher.update(block)
                if observe is not None:
                    observe(block)
                writer.write(block)
            writer.flush()
            os.fchmod(writer.fileno(), 0o444)
            os.fsync(writer.fileno())
            digest = hasher.hexdigest()
            self._adopt(temporary, digest)
        return digest

    def get_bytes(self, digest: str) -> bytes:
        """Return an object's bytes.

        Raises:
            NotFoundError: there is no such object.
            CorruptError: its bytes do not match its name.
            UnavailableError: it cannot be read.
        """
        with self._found(digest) as path:
            content = path.read_bytes()
        if digest_bytes(content) != digest:
            raise self._corrupt(digest)
        return content

    def copy_out(self, digest: str, target: Path) -> None:
        """Write an object to a file, which is replaced only once all of it was verified.

        Raises:
            NotFoundError: there is no such object.
            CorruptError: its bytes do not match its name; the target stays as it was.
            UnavailableError: the disk is full or may not be written; the target stays as it was.
        """
        with self._found(digest) as path:
            reader = path.open("rb")
        with reader, _temporary_in(target.parent) as (temporary, writer):
            hasher = blake3.blake3()
            for block in _blocks_of(reader, path):
                hasher.update(block)
                writer.write(block)
            writer.flush()
            os.fchmod(writer.fileno(), 0o644)
            if hasher.hexdigest() != digest:
                raise self._corrupt(digest)
            temporary.replace(target)

    def verify(self, digest: str) -> None:
        """Read an object and compare it with its name.

        Raises:
            NotFoundError: there is no such object.
            CorruptError: its bytes do not match its name.
            UnavailableError: it cannot be read.
        """
        hasher = blake3.blake3()
        with self._found(digest) as path:
            hasher.update_mmap(path)
        if hasher.hexdigest() != digest:
            raise self._corrupt(digest)

    def set_aside(self, digest: str) -> Path:
        """Give a damaged object another name beside its own, so that the same content can be kept again.

        Returns:
            The file's path from now on.
        """
        path = self._path(digest)
        free = (path.with_name(f"{path.name}.damaged-{n}") for n in itertools.count(1))
        target = next(each for each in free if not each.exists())
        with reported(path):
            path.rename(target)
        return target

    def _adopt(self, temporary: Path, digest: str) -> None:
        target = self._path(digest)
        if target.is_file():
            self.verify(digest)
            return
        make_folder(target.parent)
        temporary.replace(target)
        sync_folder(target.parent)

    @contextmanager
    def _found(self, digest: str) -> Iterator[Path]:
        path = self._path(digest)
        try:
            with reported(path, "read"):
                yield path
        except FileNotFoundError as error:
            raise NotFoundError(
                f"object {digest} is not in {self.folder}",
                hint="bring it back from a backup, or, if it is data, add the data again",
            ) from error

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]

    def _corrupt(self, digest: str) -> CorruptError:
        return CorruptError(
            f"object {digest} in {self._path(digest)} is damaged: its bytes do not match its name",
            hint="bring that file back from a backup, or, if it is data, remove it and add the data again; "
            "nothing was overwritten",
        )


@contextmanager
def _temporary_in(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    with reported(folder):
        make_folder(folder)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".tmp-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as writer:
                yield temporary, writer
        finally:
            temporary.unlink(missing_ok=True)


def _blocks_of(reader: BinaryIO, path: Path) -> Iterator[bytes]:
    with reported(path, "read"):
        while block := reader.read(_BLOCK_BYTES):
            yield block
