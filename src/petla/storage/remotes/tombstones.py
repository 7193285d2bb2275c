"""Tombstones on a remote: objects that were removed from all history and must not come back.

They lie in a folder of their own, whatever the layout, so that everybody who pushes or pulls hears of them.
"""

from collections.abc import Container, Iterator

import msgspec

from petla.core.errors import CorruptError
from petla.storage.remotes.bucket import Bucket

_ENDING = ".json"


class Tombstone(msgspec.Struct, frozen=True):
    """An object that was removed."""

    digest: str
    # DVC's name for the same bytes
    md5: str
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
                try:
                    yield msgspec.json.decode(self._bucket.get(item.key), type=Tombstone)
                except msgspec.DecodeError as error:
                    raise CorruptError(
                        f"remote {self._bucket.name}: {item.key} is damaged: {error}",
                        hint="petla data forget it again where it was forgotten",
                    ) from error

    def bury(self, tombstone: Tombstone) -> None:
        """Say that an object must not come back.

        Raises:
            ForbiddenError, UnavailableError: the remote does not answer.
        """
        self._bucket.put(f"{self._folder}/{tombstone.digest}{_ENDING}", msgspec.json.encode(tombstone))
