"""Fetching what a store lacks: whole packs or parts of them, whichever is less, several at once."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import Progress
from petla.storage.objects import ObjectStore
from petla.storage.objects.index import Place
from petla.storage.objects.naming import decode_list
from petla.storage.objects.packs import Entry, Payload, open_payload
from petla.storage.objects.writing import Writer
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.catalog import PACK, PACKS, Catalog
from petla.storage.remotes.traffic import Traffic

# requests under way, to a cloud and to a folder, which answers at once
_AT_ONCE, _AT_ONCE_HERE = 3, 2
# parts of a pack that lie nearer than this are fetched in one
_GAP_BYTES = 256 << 10
_SPAN_BYTES = 4 << 20


class Came(NamedTuple):
    """What one request brought, verified."""

    n_bytes: int
    entries: list[tuple[Entry, Payload]]


def pull(bucket: Bucket, catalog: Catalog, objects: ObjectStore, digests: Iterable[str], progress: Progress) -> Traffic:
    """Fetch all that some objects consist of and that the store lacks.

    Raises:
        NotFoundError: the remote does not have all of it.
        CorruptError: what came is not what its name says; nothing of that is kept.
        ForbiddenError, UnavailableError: the remote does not answer; what came is kept.
    """
    lists: list[tuple[Entry, Payload]] = []
    known: set[bytes] = set()
    frontier = [bytes.fromhex(digest) for digest in digests]
    n_bytes = n_entries = n_requests = 0
    with objects.writing() as writer, ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as pool:
        while frontier:
            fresh = [digest for digest in dict.fromkeys(frontier) if digest not in known]
            known.update(fresh)
            frontier, missing = _descend(objects, fresh)
            spans = list(plan_spans(_locate(bucket, catalog, missing)))
            progress.begin(f"pulling from {bucket.name}", sum(_length(span) for span in spans))
            n_before = len(lists)
            for came in _fetch_all(pool, bucket, spans, progress):
                n_bytes, n_entries, n_requests = n_bytes + came.n_bytes, n_entries + len(came.entries), n_requests + 1
                objects.landings.take(came.entries)
                lists += _keep(writer, came.entries)
            below = {entry.digest: decode_list(open_payload(entry, payload)) for entry, payload in lists[n_before:]}
            objects.landings.expect(below)
            frontier += (record.digest for found in below.values() for record in found.records)
        # A list counts only once all that it names is there: the last come first.
        for entry, payload in reversed(lists):
            writer.put_payload(entry, payload)
    objects.landings.finish(objects.read)
    return Traffic(n_bytes, n_entries, n_requests)


def _descend(objects: ObjectStore, digests: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return what the lists that are here name, and what is not here."""
    below: list[bytes] = []
    missing: list[bytes] = []
    here = objects.rely_on(digest.hex() for digest in digests)
    for digest in digests:
        records = objects.list_records(digest.hex()) if digest.hex() in here else None
        if records is None:
            missing.append(digest)
        else:
            below += (record.digest for record in records)
    return below, missing


def _locate(bucket: Bucket, catalog: Catalog, digests: Sequence[bytes]) -> list[Place]:
    places = catalog.find_many(digests)
    if lost := [digest.hex() for digest in digests if digest not in places]:
        raise NotFoundError(
            f"remote {bucket.name} does not have all of it: object {lost[0]} and {len(lost) - 1} more are missing",
            hint="push again from where the data are, or pull from another remote",
        )
    return list(places.values())


def plan_spans(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Put together what lies near in one pack, to be fetched by one request each."""
    by_pack: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_pack[place.pack].append(place)
    for pack in sorted(by_pack):
        span: list[Place] = []
        for place in sorted(by_pack[pack], key=lambda place: place.offset):
            if span and (place.offset - _end(span) > _GAP_BYTES or _end(span) - span[0].offset > _SPAN_BYTES):
                yield span
                span = []
            span.append(place)
        yield span


def _fetch_all(
    pool: ThreadPoolExecutor, bucket: Bucket, spans: Sequence[list[Place]], progress: Progress
) -> Iterator[Came]:
    waiting: deque[Future[Came]] = deque()
    try:
        for span in spans:
            waiting.append(pool.submit(fetch_span, bucket, span))
            if len(waiting) >= (_AT_ONCE if bucket.is_network else _AT_ONCE_HERE):
                came = waiting.popleft().result()
                progress.advance(came.n_bytes)
                yield came
        while waiting:
            came = waiting.popleft().result()
            progress.advance(came.n_bytes)
            yield came
    finally:
        for future in waiting:
            future.cancel()


def fetch_span(bucket: Bucket, span: list[Place]) -> Came:
    """Fetch entries that lie near each other in one pack.

    Raises:
        NotFoundError: the pack is gone.
        CorruptError: an entry is not what its name says.
    """
    start = span[0].offset
    key = f"{PACKS}/{span[0].pack}{PACK}"
    content = memoryview(bucket.get_range(key, start, _length(span)) if _length(span) else b"")
    entries = []
    for place in span:
        payload = content[place.offset - start : place.offset - start + place.entry.stored]
        try:
            open_payload(place.entry, payload)
        except ValueError as error:
            raise CorruptError(
                f"remote {bucket.name}: object {place.entry.digest.hex()} in {key} is damaged: {error}",
                hint="petla data verify --remote names all that is damaged; push again from where the data are",
            ) from error
        # a list outlives what it came with
        entries.append((place.entry, bytes(payload) if place.entry.is_list else payload))
    return Came(len(content), entries)


def _keep(writer: Writer, entries: Sequence[tuple[Entry, Payload]]) -> list[tuple[Entry, Payload]]:
    """Keep chunks; return the lists, which wait until what they name is there."""
    writer.put_verified([(entry, payload) for entry, payload in entries if not entry.is_list])
    return [(entry, payload) for entry, payload in entries if entry.is_list]


def _end(span: Sequence[Place]) -> int:
    return span[-1].offset + span[-1].entry.stored


def _length(span: Sequence[Place]) -> int:
    return _end(span) - span[0].offset
