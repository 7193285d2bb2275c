"""Looking after a remote of packs: dropping what nobody refers to, and reading all of it.

What stays of a pack is sent again in another one before the pack goes, so whatever dies in between, all that stays is
whole. The caller holds the remote's sweep lock.
"""

from collections.abc import Iterable, Iterator, Sequence

from petla.core.errors import CorruptError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.storage.objects import ObjectStore
from petla.storage.objects.index import Place, batches_of_bytes
from petla.storage.objects.naming import decode_list
from petla.storage.objects.packs import HEADER_BYTES, Entry, Payload, open_payload
from petla.storage.objects.store import Damage
from petla.storage.objects.sweeping import Part, Sweep, describe, divide
from petla.storage.remotes.bucket import Bucket
from petla.storage.remotes.catalog import LIST, PACK, PACKS, Catalog
from petla.storage.remotes.pulling import fetch_span, plan_spans
from petla.storage.remotes.pushing import send_pack

_SENT_BYTES = 16 << 20


def plan_sweep(bucket: Bucket, catalog: Catalog, objects: ObjectStore, keep: Iterable[str]) -> Sweep:
    """Return what `sweep` would do."""
    live = _list_needed(bucket, catalog, objects, keep)
    return describe([part for part in _divide(catalog, live) if part.has_lost_much])


def sweep(
    bucket: Bucket, catalog: Catalog, objects: ObjectStore, keep: Iterable[str], progress: Progress = SILENT
) -> Sweep:
    """Drop all that is needed by none of some objects; packs that have lost little stay as they are.

    Args:
        bucket: the remote.
        catalog: what it holds, brought up to date.
        objects: what is here of it need not be fetched.
        keep: names of objects that stay, with all that they consist of.
        progress: is told of the bytes that were sent again.

    Raises:
        CorruptError: something that stays is damaged; nothing was dropped.
        ForbiddenError, UnavailableError: the remote does not answer; doing it again completes it.
    """
    live = _list_needed(bucket, catalog, objects, keep)
    parts = [part for part in _divide(catalog, live) if part.has_lost_much]
    _give_up(bucket, catalog, parts, progress)
    return describe(parts)


def remove(bucket: Bucket, catalog: Catalog, objects: ObjectStore, digests: Iterable[str], keep: Iterable[str]) -> int:
    """Write every pack again that holds what only some objects need; return the bytes that went.

    Raises:
        CorruptError: something that shares a pack with it is damaged; nothing was removed.
        ForbiddenError, UnavailableError: the remote does not answer; doing it again completes it.
    """
    gone = _list_needed(bucket, catalog, objects, digests)
    known = [place.entry for name in catalog.list_packs() for place in catalog.list_of(name)]
    others = [entry.digest.hex() for entry in known if entry.is_list and entry.digest not in gone]
    gone -= _list_needed(bucket, catalog, objects, [*keep, *others])
    live = {entry.digest for entry in known} - gone
    # a pack with waste may hold a second copy
    parts = [part for part in _divide(catalog, live) if part.dead or part.waste > 0]
    _give_up(bucket, catalog, parts, SILENT)
    return sum(place.entry.stored for part in parts for place in part.dead)


def verify(bucket: Bucket, catalog: Catalog, progress: Progress = SILENT) -> Iterator[Damage]:
    """Read every entry of every pack; yield what is damaged, or named by a list and not there."""
    progress.begin(f"verifying {bucket.name}", sum(catalog.list_packs().values()))
    for name in catalog.list_packs():
        for span in plan_spans(catalog.list_of(name)):
            yield from _verify_span(bucket, catalog, span)
            progress.advance(sum(HEADER_BYTES + place.entry.stored for place in span))


def walk(
    bucket: Bucket, catalog: Catalog, objects: ObjectStore, digests: Iterable[str]
) -> Iterator[tuple[bytes, Place | None]]:
    """Yield all that objects consist of, each entry once, with where it lies on the remote; None: it does not.

    Raises:
        CorruptError: a list on the remote is damaged.
        ForbiddenError, UnavailableError: the remote does not answer.
    """
    known: set[bytes] = set()
    frontier = [bytes.fromhex(digest) for digest in digests]
    while frontier:
        digest = frontier.pop()
        if digest in known:
            continue
        known.add(digest)
        place = catalog.find(digest)
        yield digest, place
        if place is not None and place.entry.is_list:
            frontier += _records_of(bucket, objects, place)


def _records_of(bucket: Bucket, objects: ObjectStore, place: Place) -> list[bytes]:
    records = objects.list_records(place.entry.digest.hex())
    if records is None:
        ((entry, payload),) = fetch_span(bucket, [place]).entries
        records = decode_list(open_payload(entry, payload)).records
    return [record.digest for record in records]


def _list_needed(bucket: Bucket, catalog: Catalog, objects: ObjectStore, digests: Iterable[str]) -> set[bytes]:
    return {digest for digest, _ in walk(bucket, catalog, objects, digests)}


def _divide(catalog: Catalog, live: set[bytes]) -> list[Part]:
    return divide(catalog.list_packs().items(), catalog.list_of, live)


def _give_up(bucket: Bucket, catalog: Catalog, parts: Sequence[Part], progress: Progress) -> None:
    progress.begin(f"sweeping {bucket.name}", sum(part.live_bytes for part in parts))
    for group in batches_of_bytes(_fetch_live(bucket, parts), lambda pair: len(pair[1]), _SENT_BYTES):
        progress.advance(send_pack(bucket, catalog, group))
    catalog.confirm()
    bucket.delete(f"{PACKS}/{part.name}{ending}" for part in parts for ending in (PACK, LIST))
    bucket.delete(_list_halves(bucket))
    catalog.clear()
    catalog.refresh()


def _fetch_live(bucket: Bucket, parts: Sequence[Part]) -> Iterator[tuple[Entry, Payload]]:
    for part in parts:
        for span in plan_spans(part.live):
            yield from fetch_span(bucket, span).entries


def _list_halves(bucket: Bucket) -> list[str]:
    """Packs without a list and lists without a pack: what pushes and sweeps that died have left, as none is at work."""
    keys = {item.key for item in bucket.list(PACKS)}
    return [
        key
        for key in keys
        if (key[: -len(PACK)] + LIST if key.endswith(PACK) else key[: -len(LIST)] + PACK) not in keys
    ]


def _verify_span(bucket: Bucket, catalog: Catalog, span: list[Place]) -> Iterator[Damage]:
    try:
        entries = fetch_span(bucket, span).entries
    except (CorruptError, NotFoundError) as error:
        if len(span) > 1:
            for place in span:
                yield from _verify_span(bucket, catalog, [place])
        else:
            yield Damage(span[0].entry.digest.hex(), span[0].pack, error.message)
        return
    for entry, payload in entries:
        if entry.is_list:
            records = decode_list(open_payload(entry, payload)).records
            here = catalog.find_many(record.digest for record in records)
            if n_missing := sum(1 for record in records if record.digest not in here):
                problem = f"{n_missing} of its {len(records)} chunks are missing"
                yield Damage(entry.digest.hex(), span[0].pack, problem)
