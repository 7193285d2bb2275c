"""Dropping what nobody refers to: what stays of a pack is written again elsewhere before the pack goes.

Whatever dies in between, everything that stays is whole: copies are safe and indexed before the pack that they come
from is given up, and a pack that was given up is removed at the next start.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.storage.objects.index import Index, Place
from petla.storage.objects.packs import HEADER_BYTES, PACK_BYTES
from petla.storage.objects.reading import Reader, walk
from petla.storage.objects.writing import Mover

# a pack that has lost less than this share is left as it is
_WORTH = 0.1
# packs smaller than this are put together, once there are several
_SMALL_BYTES = PACK_BYTES // 4
_SMALL_PACKS = 8


class Sweep(msgspec.Struct, frozen=True):
    """What a sweep drops."""

    # entries that nobody refers to
    entries: int
    # of the files, less what is written again
    bytes_freed: int
    packs_removed: int
    packs_rewritten: int


class Part(msgspec.Struct, frozen=True):
    """A pack, and what of it stays."""

    name: str
    size: int
    live: list[Place]
    dead: list[Place]

    @property
    def live_bytes(self) -> int:
        """What of the pack is needed."""
        return sum(place.entry.stored + HEADER_BYTES for place in self.live)

    @property
    def waste(self) -> int:
        """What of the pack is not: dead entries, and second copies of what lies elsewhere."""
        return self.size - self.live_bytes

    @property
    def has_lost_much(self) -> bool:
        """Whether writing the rest again is worth it."""
        return self.waste > 0 and self.waste >= _WORTH * self.size


def divide(packs: Iterable[tuple[str, int]], list_of: Callable[[str], list[Place]], live: set[bytes]) -> list[Part]:
    """Return what stays and what goes of each pack, here or on a remote.

    Args:
        packs: name and size of each.
        list_of: the entries of a pack by its name.
        live: what is needed.
    """
    parts = []
    for name, size in packs:
        places = list_of(name)
        stays = [place for place in places if place.entry.digest in live]
        goes = [place for place in places if place.entry.digest not in live]
        parts.append(Part(name, size, stays, goes))
    return parts


def describe(parts: Sequence[Part]) -> Sweep:
    """Return what giving these packs up drops."""
    written = [part for part in parts if _is_rewritten(part)]
    return Sweep(
        entries=sum(len(part.dead) for part in parts),
        bytes_freed=sum(part.waste for part in written),
        packs_removed=sum(1 for part in written if not part.live),
        packs_rewritten=sum(1 for part in written if part.live),
    )


def plan_sweep(index: Index, reader: Reader, keep: Iterable[bytes], min_age_s: float) -> Sweep:
    """Return what `sweep` would do."""
    return describe(_choose(divide(index.list_packs(), index.list_of, _list_live(index, reader, keep, min_age_s))))


def sweep(index: Index, reader: Reader, keep: Iterable[bytes], min_age_s: float, progress: Progress = SILENT) -> Sweep:
    """Drop what nobody needs, and write packs again that have lost much; the caller keeps writers away."""
    parts = _choose(divide(index.list_packs(), index.list_of, _list_live(index, reader, keep, min_age_s)))
    progress.begin("sweeping", sum(part.live_bytes for part in parts if _is_rewritten(part)))
    _give_up(index, reader, [part for part in parts if _is_rewritten(part)], progress)
    index.drop(place.entry.digest for part in parts for place in part.dead)
    return describe(parts)


def remove(index: Index, reader: Reader, digests: Iterable[bytes], keep: Iterable[bytes]) -> int:
    """Write every pack again that holds what only these objects need; return the bytes that went.

    What any other list names stays, and what `keep` names: an object of one chunk looks like a part of a larger one.
    """
    gone = {place.entry.digest for place in _walk_what_is_there(index, reader, digests)}
    known = list(index.list_all())
    others = [place.entry.digest for place in known if place.entry.is_list and place.entry.digest not in gone]
    gone -= {place.entry.digest for place in _walk_what_is_there(index, reader, [*keep, *others])}
    live = {place.entry.digest for place in known} - gone
    parts = [part for part in divide(index.list_packs(), index.list_of, live) if part.dead or part.waste > 0]
    _give_up(index, reader, parts, SILENT)
    return sum(place.entry.stored for part in parts for place in part.dead if place.entry.digest in gone)


def _list_live(index: Index, reader: Reader, keep: Iterable[bytes], min_age_s: float) -> set[bytes]:
    limit = time.time() - min_age_s
    young = [place.entry.digest for place in index.list_all() if place.seen >= limit]
    return {place.entry.digest for place in _walk_what_is_there(index, reader, [*keep, *young])}


def _walk_what_is_there(index: Index, reader: Reader, digests: Iterable[bytes]) -> Iterable[Place]:
    """All that objects consist of, as far as it is here and sound: what is damaged is no reason to drop the rest."""
    known: set[bytes] = set()
    for digest in digests:
        try:
            yield from walk(index, reader, [digest], known)
        except (NotFoundError, CorruptError):
            yield from _walk_around(index, reader, digest, known)


def _walk_around(index: Index, reader: Reader, digest: bytes, known: set[bytes]) -> Iterable[Place]:
    place = index.find(digest)
    if place is None:
        return
    yield place
    if not place.entry.is_list:
        return
    try:
        found = reader.get_list(digest)
    except CorruptError:
        return
    for record in found.records if found else ():
        known.add(record.digest)
        yield from _walk_around(index, reader, record.digest, known)


def _choose(parts: Sequence[Part]) -> list[Part]:
    """Packs that have lost something, and small ones if there are many."""
    small = [part for part in parts if not part.dead and part.size < _SMALL_BYTES]
    return [part for part in parts if part.dead] + (small if len(small) >= _SMALL_PACKS else [])


def _is_rewritten(part: Part) -> bool:
    return not part.dead or part.has_lost_much


def _give_up(index: Index, reader: Reader, parts: Sequence[Part], progress: Progress) -> None:
    mover = Mover(index)
    try:
        for part in parts:
            for place in part.live:
                payload = reader.read_payload(place)
                mover.put(place.entry, payload)
                progress.advance(place.entry.stored)
        mover.commit()
    finally:
        mover.close()
    index.doom([part.name for part in parts])
