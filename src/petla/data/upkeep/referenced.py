"""What refers to versions: the pointers of the work tree, of every branch and tag, and of recent commits."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import msgspec

from petla.core.errors import InvalidError
from petla.data.current import find_unix
from petla.data.dvc.outs import list_outs, locate_pointer, read_pointers
from petla.data.git import list_kept_files
from petla.data.history.records import DatasetVersion
from petla.data.pointers import Pointer
from petla.storage.workspace import Workspace


class Referenced(msgspec.Struct, frozen=True):
    """The versions that something refers to."""

    # Pętla's names and DVC's
    digests: frozenset[str]
    md5s: frozenset[str]
    # false: there is no repository, so nothing says what is needed no more
    has_history: bool

    def names(self, version: DatasetVersion) -> bool:
        """Whether a version is one of them."""
        return version.digest in self.digests or version.md5 in self.md5s


def find_referenced(ws: Workspace, *, since: str) -> Referenced:
    """Return what pointers refer to.

    Args:
        ws: the project.
        since: commits after this moment count, wherever they are; before it, only the last of each branch and tag.

    Raises:
        InvalidError: a pointer of the work tree cannot be understood.
        UnavailableError: Git cannot be read.
    """
    kept = list_kept_files(ws.root, since=since)
    pointers = [*_list_present(ws), *_list_committed(kept or [])]
    digests = {pointer.digest for pointer in pointers if pointer.digest}
    for pointer in pointers:
        if pointer.is_unix_md5:
            found = (find_unix(ws.state, dataset, pointer.md5) for dataset in ws.project.data)
            digests.update(digest for digest in found if digest)
    md5s = frozenset(pointer.md5 for pointer in pointers)
    return Referenced(frozenset(digests), md5s, has_history=kept is not None)


def _list_present(ws: Workspace) -> Iterator[Pointer]:
    yield from list_outs(ws.root).values()
    for table in ws.project.data.values():
        pointer = locate_pointer(ws.root, table.path)
        if pointer is not None:
            yield pointer


def _list_committed(files: list[tuple[str, bytes]]) -> Iterator[Pointer]:
    for path, content in files:
        try:
            yield from read_pointers(content, PurePosixPath(path).name)
        except InvalidError:
            # what nobody can read brings nothing back
            continue
