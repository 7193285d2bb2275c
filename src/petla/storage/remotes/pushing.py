"""Sending what a remote lacks: entries are put together to packs, and several packs travel at once."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from petla.core.errors import ConflictError
from petla.core.ids import uuid7_source
from petla.core.progress import Progress
from petla.storage.objects import ObjectStore
from petla.storage.objects.index import Place, batches, batches_of_bytes
from petla.storage.objects.packs import Codec, Entry, Payload, compress, encode_header
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.catalog import LIST, PACK, PACKS, Catalog, encode_pack_list
from petla.storage.remotes.traffic import Traffic

# Three of them are in memory at once.
_PACK_BYTES = 16 << 20
_AT_ONCE = 2
_ASKED_AT_ONCE = 4096
_next_id = uuid7_source()


def push(bucket: Bucket, catalog: Catalog, objects: ObjectStore, digests: Iterable[str], progress: Progress) -> Traffic:
    """Send all that some objects consist of and that the remote lacks.

    Raises:
        NotFoundError, CorruptError: an object is not here, or damaged.
        ForbiddenError, UnavailableError: the remote does not answer; what arrived stays.
    """
    wanted = []
    for some in batches(objects.list_entries(digests), _ASKED_AT_ONCE):
        known = catalog.find_many(place.entry.digest for place in some)
        wanted += [place for place in some if place.entry.digest not in known]
    progress.begin(f"pushing to {bucket.name}", sum(place.entry.stored for place in wanted))
    waiting: deque[Future[int]] = deque()
    n_bytes = n_packs = 0
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="push") as pool:
        try:
            for group in batches_of_bytes(wanted, lambda place: place.entry.stored, _PACK_BYTES):
                waiting.append(pool.submit(_send, bucket, catalog, objects, group, _next_name(), progress))
                n_packs += 1
                if len(waiting) > _AT_ONCE:
                    n_bytes += waiting.popleft().result()
            n_bytes += sum(future.result() for future in waiting)
        finally:
            for future in waiting:
                future.cancel()
    return Traffic(n_bytes, len(wanted), n_packs)


def _send(
    bucket: Bucket, catalog: Catalog, objects: ObjectStore, group: list[Place], name: str, progress: Progress
) -> int:
    pairs = objects.read_payloads(group)
    packed = (_pack(entry, payload) if bucket.is_network else (entry, payload) for entry, payload in pairs)
    n_bytes = send_pack(bucket, catalog, packed, name)
    progress.advance(sum(place.entry.stored for place in group))
    return n_bytes


def send_pack(bucket: Bucket, catalog: Catalog, pairs: Iterable[tuple[Entry, Payload]], name: str | None = None) -> int:
    """Send one pack, then its list; return the bytes.

    Args:
        bucket: the remote.
        catalog: learns of it.
        pairs: what is in it.
        name: of the pack; names in order bring what belongs together back in order. None: a fresh one.

    Raises:
        ForbiddenError, UnavailableError: the remote does not answer.
    """
    parts: list[Payload] = []
    headers: list[bytes] = []
    entries: list[Entry] = []
    for entry, payload in pairs:
        header = encode_header(entry)
        parts += (header, payload)
        headers.append(header)
        entries.append(entry)
    name = name or _next_name()
    n_bytes = sum(len(part) for part in parts)
    if not bucket.create_of(f"{PACKS}/{name}{PACK}", parts):
        raise ConflictError(f"remote {bucket.name} has a pack {name} already", hint="push again")
    bucket.put(f"{PACKS}/{name}{LIST}", encode_pack_list(headers))
    catalog.add(name, entries)
    return n_bytes


def _next_name() -> str:
    return _next_id().replace("-", "")


def _pack(entry: Entry, payload: Payload) -> tuple[Entry, Payload]:
    """What takes longer to send than to compress."""
    if entry.codec is not Codec.RAW or entry.is_list:
        return entry, payload
    codec, packed = compress(payload)
    return entry._replace(codec=codec, stored=len(packed)), bytes(packed)
