"""A remote in the layout of few large objects: only what is new travels, and every byte that comes back is verified.

On the remote::

    packs/ID.pack           entries, each a header and a payload, as in the packs of a project
    packs/ID.index          the headers alone; written after the pack, so what has none is still arriving
    versions/DIGEST.json    a version that is whole here; written last
    forgotten/DIGEST.json   a tombstone: an object that was removed from all history and must not come back
    pushes/ID.json          a push at work
    sweep.lock              a sweep at work
    clock                   empty; written to learn the time by the clock of the remote

A push makes its flag before it looks for a sweep, a sweep makes its lock before it looks for pushes: whoever comes
second sees the other.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from petla.core.digests import Digest, check_digest
from petla.core.errors import BusyError, CorruptError
from petla.core.ids import uuid7_source
from petla.core.progress import SILENT, Progress
from petla.storage.objects import ObjectStore
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.catalog import Catalog, allow
from petla.storage.remotes.locks.claims import Claim, find_living
from petla.storage.remotes.pulling import pull
from petla.storage.remotes.pushing import push
from petla.storage.remotes.traffic import Traffic

VERSIONS, PUSHES, SWEEP = "versions", "pushes", "sweep.lock"
_next_id = uuid7_source()


class Mark(msgspec.Struct, frozen=True):
    """A version that is whole on a remote."""

    # of its manifest
    digest: Digest
    # DVC's name for the same content
    md5: str
    dataset: str
    # what else is known of it, as whoever pushed it wrote it
    document: dict[str, Any]

    def __post_init__(self) -> None:
        """Refuse a profile that is named by no digest."""
        if self.profile is not None:
            check_digest(str(self.profile))

    @property
    def profile(self) -> str | None:
        """The object that holds the profile."""
        found: str | None = self.document.get("profile")
        return found


class PackRemote:
    """A remote with the layout `packs`.

    Args:
        bucket: where it lies.
        cache: a folder for what is known of it.
    """

    def __init__(self, bucket: Bucket, cache: Path) -> None:
        self.bucket = bucket
        self._cache = cache
        self._catalog = Catalog(bucket, cache / "catalog.db")

    def push(self, objects: ObjectStore, digests: Iterable[str], mark: Mark, progress: Progress = SILENT) -> Traffic:
        """Bring a version to the remote: what it lacks of some objects, then the mark.

        Doing it again after it was killed sends only what has not arrived.

        Raises:
            BusyError: the remote is being swept.
            NotFoundError, CorruptError: an object is not here, or damaged.
            ForbiddenError, UnavailableError: the remote does not answer; what arrived stays.
        """
        with self._pushing() as claim:
            self._catalog.refresh()
            traffic = push(self.bucket, self._catalog, objects, digests, progress)
            claim.confirm()
            self.put_mark(mark)
        self._remember(mark.digest)
        return traffic

    def pull(self, objects: ObjectStore, digests: Iterable[str], progress: Progress = SILENT) -> Traffic:
        """Bring objects from the remote into a store, and all that they consist of.

        Raises:
            NotFoundError: the remote does not have all of it.
            CorruptError: what came is not what its name says; nothing of that is kept.
            ForbiddenError, UnavailableError: the remote does not answer; what came is kept.
        """
        self._catalog.refresh()
        return pull(self.bucket, self._catalog, objects, digests, progress)

    def list_marks(self, dataset: str | None = None) -> list[Mark]:
        """Return the versions that are whole on the remote, in the order of their digests."""
        marks = (self._read_mark(item.key) for item in self.bucket.list(VERSIONS))
        return sorted((m for m in marks if dataset in (None, m.dataset)), key=lambda mark: mark.digest)

    def find_mark(self, *, digest: str = "", md5: str = "", dataset: str | None = None) -> Mark | None:
        """Return the mark of a version by its digest, else by DVC's name; None: it is not whole there."""
        if digest:
            key = _key_of(digest)
            return self._read_mark(key) if self.bucket.exists(key) else None
        return next((mark for mark in self.list_marks(dataset) if mark.md5 == md5), None)

    def remove_mark(self, digest: str) -> None:
        """Say that a version is no longer whole there."""
        self.bucket.delete([_key_of(digest)])
        (self._cache / "pushed" / digest).unlink(missing_ok=True)

    def was_pushed(self, digest: str) -> bool:
        """Whether this project pushed or pulled a version, without asking the remote."""
        return (self._cache / "pushed" / digest).is_file()

    def put_mark(self, mark: Mark) -> None:
        """Say that a version is whole there."""
        self.bucket.put(_key_of(mark.digest), msgspec.json.encode(mark))

    def read_catalog(self) -> Catalog:
        """Return what the remote holds at this moment; it may change while it is used.

        Raises:
            ForbiddenError, UnavailableError: the remote does not answer.
        """
        self._catalog.refresh()
        return self._catalog

    @contextlib.contextmanager
    def sweeping(self) -> Iterator[Catalog]:
        """Be the only one who removes, while nobody pushes; yields what the remote holds.

        Raises:
            BusyError: somebody pushes or sweeps.
        """
        claim = self._take_sweep()
        with claim.held():
            if at_work := find_living(self.bucket, [item.key for item in self.bucket.list(PUSHES)]):
                raise BusyError(
                    f"remote {self.bucket.name}: {len(at_work)} pushes are at work, the first by "
                    f"{at_work[0].describe()}",
                    hint="try again when they are done; a push that died is noticed within five minutes",
                )
            self._catalog.refresh()
            self._catalog.confirm = claim.confirm
            try:
                yield self._catalog
            finally:
                self._catalog.confirm = allow

    def close(self) -> None:
        """Close the cache."""
        self._catalog.close()

    def _read_mark(self, key: str) -> Mark:
        try:
            mark = msgspec.json.decode(self.bucket.get(key), type=Mark)
            if key != _key_of(mark.digest):
                raise msgspec.ValidationError(f"it is about version {mark.digest}")
        except msgspec.DecodeError as error:
            raise CorruptError(
                f"remote {self.bucket.name}: {key} is damaged: {error}", hint="push that version again"
            ) from error
        return mark

    def _remember(self, digest: str) -> None:
        pushed = self._cache / "pushed"
        pushed.mkdir(parents=True, exist_ok=True)
        (pushed / digest).touch()

    @contextlib.contextmanager
    def _pushing(self) -> Iterator[Claim]:
        claim = Claim(self.bucket, f"{PUSHES}/{_next_id()}.json")
        claim.take()
        with claim.held():
            if self.bucket.exists(SWEEP) and (living := find_living(self.bucket, [SWEEP])):
                raise BusyError(
                    f"remote {self.bucket.name} is being swept by {living[0].describe()}",
                    hint="try again when it is done; a sweep that died is noticed within five minutes",
                )
            yield claim

    def _take_sweep(self) -> Claim:
        claim = Claim(self.bucket, SWEEP)
        while not claim.take():
            if living := find_living(self.bucket, [SWEEP]):
                raise BusyError(
                    f"remote {self.bucket.name} is being swept by somebody else since {living[0].at}: "
                    f"{living[0].describe()}",
                    hint="try again when it is done; a sweep that died is noticed within five minutes",
                )
        return claim


def _key_of(digest: str) -> str:
    return f"{VERSIONS}/{digest}.json"
