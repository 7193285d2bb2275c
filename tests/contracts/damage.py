"""Objects that are damaged or lost, as a bad disk or a careless person would do it."""

from petla.storage.objects import ObjectStore


def flip(store: ObjectStore, digest: str) -> None:
    """Change one bit of an object where it lies; doing it again makes it whole."""
    place = next(iter(store.list_entries([digest])))
    with (store.folder / "packs" / place.pack).open("r+b") as pack:
        pack.seek(place.offset)
        byte = pack.read(1)[0]
        pack.seek(place.offset)
        pack.write(bytes([byte ^ 1]))


def lose(store: ObjectStore, digest: str) -> None:
    """Make an object be in no pack, as if it had never been put."""
    store._index.drop([bytes.fromhex(digest)])


def flip_all(store: ObjectStore) -> None:
    """Change every pack behind the header of its first entry, and every entry with it."""
    for name, size in store._index.list_packs():
        path = store.folder / "packs" / name
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()[:size]))
