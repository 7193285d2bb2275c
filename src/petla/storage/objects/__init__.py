"""The object store: bytes named by their content, cut into chunks that versions share, packed into few files.

Hands out `ObjectStore`. Inside: `naming` (where content is cut and what it is called), `packs` (the format on disk),
`index` (where each entry lies; a cache of the packs), `intake`, `writing`, `reading`, `sweeping` (dropping what nobody
refers to), `disk/` (files outside of it).
"""

from petla.storage.objects.store import ObjectStore

__all__ = ["ObjectStore"]
