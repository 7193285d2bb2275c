"""Tombstones on a remote: objects that were removed from all history and must not come back.

They lie in a folder of their own, whatever the layout, so that everybody who pushes or pulls hears of them.
"""

from collections.abc import Container, Iterator

import msgspec

from petla.core.digests import Digest, Md5
from petla.core.errors import CorruptError
from petla.storage.remotes.bucket import Bucket

_ENDING = ".json"


class Tombstone(msgspec.Struct, frozen=True):
    """An object that was removed."""

    digest: Digest
    # DVC's name for the same bytes
    md5: Md5
    reason: str
    at: str
    by: str


class Graveyard:
    """The tombstones of a remote.

    Args:
        bucket: the remote.
        folder: where they lie on it.
    """

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket = bucket
        self._folder = folder

    def list_all(self, *, known: Container[str] = ()) -> Iterator[Tombstone]:
        """Yield the tombstones, but for those of known objects.

        Raises:
            CorruptError: one cannot be read.
            ForbiddenError, UnavailableError: the remote does not answer.
        """
        for item in list(self._bucket.list(self._folder)):
            if item.key.rpartition("/")[2].removesuffix(_ENDING) not in known:
                yield self._read(item.key)

    def bury(self, tombstone: Tombstone) -> None:
        """Say that an object must not come back.

        Raises:
            ForbiddenError, UnavailableError: the remote does not answer.
        """
        self._bucket.put(self._key_of(tombstone.digest), msgspec.json.encode(tombstone))

    def _read(self, key: str) -> Tombstone:
        try:
            stone = msgspec.json.decode(self._bucket.get(key), type=Tombstone)
            if self._key_of(stone.digest) != key:
                raise msgspec.ValidationError(f"it is about object {stone.digest}")
        except msgspec.DecodeError as error:
            raise CorruptError(
                f"remote {self._bucket.name}: the tombstone {key} is damaged: {error}",
                hint="petla data forget it again where it was forgotten, or remove it from the remote",
            ) from error
        return stone

    def _key_of(self, digest: str) -> str:
        return f"{self._folder}/{digest}{_ENDING}"
