"""Objects by key, whatever the cloud; every fault names the remote and says what to do."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from petla.core.clock import to_text
from petla.core.errors import ForbiddenError, NotFoundError, PetlaError, UnavailableError
from petla.core.progress import SILENT, Progress
from petla.storage.files import reported
from petla.storage.remotes.folders import Folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 8 << 20
# what a cloud says, in whatever words, when it does not let somebody in
_REFUSALS = ("403", "401", "Forbidden", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "credential")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "specified bucket does not exist")


class Item(NamedTuple):
    """An object of a bucket."""

    key: str
    size_bytes: int
    changed_at: datetime


class Bucket:
    """The objects of one remote.

    Args:
        name: of the remote, for people.
        url: of the remote; holds no secret.
        store: the client.
        folder: of this machine, where it is one.
    """

    def __init__(self, name: str, url: str, store: "ObjectStore", *, folder: Path | None = None) -> None:
        self.name = name
        self.url = url
        self.is_network = folder is None
        self._store = store
        self._folder = Folder(folder) if folder else None

    def __repr__(self) -> str:
        return f"Bucket({self.name!r}, {self.url!r})"

    def get(self, key: str) -> bytes:
        """Return an object.

        Raises:
            NotFoundError: there is none.
            ForbiddenError: the remote does not let us in.
            UnavailableError: the remote cannot be reached.
        """
        with self._asking(key) as obstore:
            return bytes(obstore.get(self._store, key).bytes())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of an object.

        Raises:
            NotFoundError, ForbiddenError, UnavailableError: as `get`.
        """
        with self._asking(key) as obstore:
            if self._folder is not None:
                return self._folder.read_range(key, start, length)
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def get_to(self, key: str, path: Path, progress: Progress = SILENT) -> None:
        """Write an object to a file.

        Raises:
            NotFoundError, ForbiddenError, UnavailableError: as `get`, or the file cannot be written.
        """
        with self._asking(key) as obstore:
            blocks = iter(obstore.get(self._store, key).stream(min_chunk_size=_BLOCK_BYTES))
        with reported(path), path.open("wb") as file:
            while True:
                with self._asking(key):
                    block = next(blocks, None)
                if block is None:
                    return
                file.write(block)
                progress.advance(len(block))

    def get_or_write(self, key: str, path: Path, *, limit_bytes: int) -> bytes | None:
        """Return a small object; one that is larger is written to a file, and None returned.

        Raises:
            NotFoundError, ForbiddenError, UnavailableError: as `get`, or the file cannot be written.
        """
        with self._asking(key) as obstore:
            found = obstore.get(self._store, key)
            if found.meta["size"] <= limit_bytes:
                return bytes(found.bytes())
        self.get_to(key, path)
        return None

    def put(self, key: str, content: bytes) -> None:
        """Write an object, whatever was there.

        Raises:
            ForbiddenError, NotFoundError, UnavailableError: as `get`.
        """
        with self._asking(key) as obstore:
            obstore.put(self._store, key, content, use_multipart=False)

    def put_file(self, key: str, path: Path, progress: Progress = SILENT) -> None:
        """Write a file as an object, in parts where it is large.

        Raises:
            ForbiddenError, NotFoundError, UnavailableError: as `get`, or the file cannot be read.
        """
        with self._asking(key) as obstore:
            obstore.put(self._store, key, path, chunk_size=_BLOCK_BYTES, max_concurrency=3)
        progress.advance(path.stat().st_size)

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; return whether it was written.

        Raises:
            ForbiddenError, NotFoundError, UnavailableError: as `get`.
        """
        with self._asking(key) as obstore:
            try:
                obstore.put(self._store, key, content, mode="create", use_multipart=False)
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
                return False
            return True

    def create_of(self, key: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write a large object of several parts unless there is one; return whether it was written.

        Raises:
            ForbiddenError, NotFoundError, UnavailableError: as `get`.
        """
        if self._folder is None:
            return self.create(key, b"".join(parts))
        with self._asking(key):
            return self._folder.create(key, parts)

    def size_of(self, key: str) -> int | None:
        """Return an object's size in bytes; None: there is none.

        Raises:
            ForbiddenError, UnavailableError: as `get`.
        """
        try:
            with self._asking(key) as obstore:
                return int(obstore.head(self._store, key)["size"])
        except NotFoundError:
            return None

    def changed_at(self, key: str) -> datetime | None:
        """Return when an object was written, by the clock of the remote; None: there is none.

        Raises:
            ForbiddenError, UnavailableError: as `get`.
        """
        try:
            with self._asking(key) as obstore:
                found: datetime = obstore.head(self._store, key)["last_modified"]
                return found
        except NotFoundError:
            return None

    def describe(self, key: str) -> tuple[str, int]:
        """Return an object's etag, and its size in bytes.

        Raises:
            NotFoundError, ForbiddenError, UnavailableError: as `get`.
        """
        with self._asking(key) as obstore:
            meta = obstore.head(self._store, key)
            return str(meta["e_tag"] or to_text(meta["last_modified"])).strip('"'), int(meta["size"])

    def exists(self, key: str) -> bool:
        """Whether there is an object.

        Raises:
            ForbiddenError, UnavailableError: as `get`.
        """
        return self.size_of(key) is not None

    def list(self, prefix: str) -> Iterator[Item]:
        """Yield the objects whose keys begin with a path.

        Args:
            prefix: whole folders, such as `packs`.

        Raises:
            ForbiddenError, NotFoundError, UnavailableError: as `get`.
        """
        with self._asking(prefix) as obstore:
            batches = iter(obstore.list(self._store, prefix or None, chunk_size=1000))
        while True:
            with self._asking(prefix):
                batch = next(batches, None)
            if batch is None:
                return
            for item in batch:
                yield Item(item["path"], item["size"], item["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; what is not there is no fault.

        Raises:
            ForbiddenError, UnavailableError: as `get`.
        """
        for key in keys:
            with contextlib.suppress(NotFoundError), self._asking(key) as obstore:
                obstore.delete(self._store, key)

    @contextlib.contextmanager
    def _asking(self, key: str) -> Iterator[Any]:
        import obstore

        try:
            yield obstore
        except FileNotFoundError as error:
            raise self._explain_missing(key, str(error)) from None
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            if isinstance(error, PermissionError | _refusals(obstore)):
                raise self._refuse() from None
            raise self._explain(str(error)) from None

    def _explain_missing(self, key: str, said: str) -> PetlaError:
        if any(word in said for word in _NO_BUCKET):
            return NotFoundError(
                f"remote {self.name}: there is no {self.url}", hint="make the bucket, or correct the url of the remote"
            )
        return NotFoundError(f"remote {self.name} ({self.url}) has no {key}", hint="petla data push to it first")

    def _explain(self, said: str) -> PetlaError:
        if any(word in said for word in _NO_BUCKET):
            return self._explain_missing("", said)
        if any(word in said for word in _REFUSALS):
            return self._refuse()
        logger.debug("remote.failed", extra={"remote": self.name, "url": self.url})
        return UnavailableError(
            f"remote {self.name} ({self.url}) {_summarise(said)}",
            hint="see whether it can be reached, then run the same command again: what was done so far is kept",
        )

    def _refuse(self) -> ForbiddenError:
        # NOTE: what the cloud says may repeat a key, so none of it is shown.
        return ForbiddenError(
            f"remote {self.name} ({self.url}) does not let us in: no credentials, or wrong ones",
            hint="give them the way of the cloud: see docs/remotes.md, and the remote's profile and account",
        )


def _refusals(obstore: Any) -> Any:  # noqa: ANN401 - a module; a union of its errors
    return obstore.exceptions.PermissionDeniedError | obstore.exceptions.UnauthenticatedError


def _summarise(said: str) -> str:
    """Say the kind of a fault; the client's own words hold addresses with signatures."""
    words = said.lower()
    if "no space left" in words:
        return "is full"
    if "timed out" in words or "timeout" in words:
        return "does not answer in time"
    if "dns" in words or "connect" in words or "error sending request" in words:
        return "cannot be reached"
    return "failed"
