"""From a path into the store; what takes long to load is not imported: whoever adds a lot of data waits for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from petla.core.progress import SILENT, Progress
from petla.data.content.manifest import encode_manifest
from petla.data.content.working_copy import Content, read_content
from petla.data.current import list_known
from petla.storage.files import lock
from petla.storage.objects.naming import Stored
from petla.storage.objects.sources import Source
from petla.storage.temporary import sweep_temporary
from petla.storage.workspace import Workspace


class Taken(msgspec.Struct, frozen=True):
    """Content that is in the store, and no version yet."""

    path: Path
    read: Content
    # of the manifest
    digest: str


def take_in(ws: Workspace, path: Path, *, dataset: str = "", progress: Progress = SILENT) -> Taken:
    """Put a dataset's files and their manifest into the store, reading each file once.

    Args:
        ws: the project.
        path: file or folder.
        dataset: whose working copy it is: what did not change since it was read is not read again; empty: nobody's.
        progress: is told of the bytes that were read.

    Raises:
        NotFoundError: there is nothing at the path.
        InvalidError: it holds what cannot be versioned.
        ConflictError: it is being written at the moment.
        UnavailableError: it cannot be read, or the store cannot be written.
    """
    known = list_known(ws.state, dataset) if dataset else {}
    here = ws.objects.rely_on(entry.object for _, entry in known.values())
    known = {path: former for path, former in known.items() if former[1].object in here}
    with ws.objects.writing(progress) as writer:

        def put(sources: Sequence[Source]) -> Iterator[Stored]:
            # NOTE: not while files are listed, when nothing else can be done: both want the interpreter.
            ws.open_ahead()
            yield from writer.put_files(sources)

        content = read_content(path, put, known)
        digest = writer.put_bytes(encode_manifest(content.manifest))
    return Taken(path, content, digest)


@contextmanager
def working_on_data(ws: Workspace, purpose: str) -> Iterator[None]:
    """Be the only one who changes versions and the work tree's data; remove what killed commands left behind."""
    ws.make_state()
    with lock(ws.state / "data.lock", purpose=purpose, wait_s=ws.settings.wait_s):
        beside = ((ws.root / table.path).parent for table in ws.project.data.values())
        sweep_temporary([ws.objects.temporary, ws.state, ws.root, *beside])
        yield
