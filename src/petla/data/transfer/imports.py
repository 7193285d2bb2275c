"""Importing: a file of somebody else becomes a dataset that knows where it came from."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import msgspec

from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.core.progress import SILENT, Progress
from petla.core.project.paths import check_place, resolve_inside
from petla.data.checkouts import checkout, point
from petla.data.content.taking import working_on_data
from petla.data.current import inspect
from petla.data.dvc.outs import locate_pointer
from petla.data.history.registration import append_table, choose_name, find_name
from petla.data.pointers import Origin
from petla.data.transfer.downloads import check_url, download
from petla.data.versions import AddReport, add
from petla.storage.files import reported
from petla.storage.temporary import temporary_folder
from petla.storage.workspace import Workspace

# a pointer's name is longer by four
_LONGEST_NAME = 251
# Git reads `.gitignore`, `.gitattributes` and `.gitmodules`, whoever wrote them
_OF_GIT = ".git"


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What importing did."""

    dataset: str
    path: str
    url: str
    # what the server says of the content
    origin: str
    # None: it is what it was the last time
    added: AddReport | None


def import_url(
    ws: Workspace, url: str, path: Path | None = None, *, name: str | None = None, progress: Progress = SILENT
) -> ImportReport:
    """Download a file, make it a version, and note where it came from; the same URL again asks whether it changed.

    Args:
        ws: the project.
        url: HTTP, HTTPS, or an object in a cloud.
        path: where it goes, below the present folder; None: by the last part of the URL.
        name: of the dataset.
        progress: is told of the bytes.

    Raises:
        InvalidError: the URL is none, or the path lies outside the project.
        ConflictError: something else lies at the path already.
        NotFoundError, ForbiddenError, UnavailableError: it cannot be had; nothing was changed.
    """
    known = next((dataset for dataset, table in ws.project.data.items() if table.url == url), None)
    if known is not None and path is None and name in (None, known):
        return update(ws, known, progress=progress)
    place = _choose_place(ws, url, path)
    if resolve_inside(ws.root, place).exists() or locate_pointer(ws.root, place) is not None:
        raise ConflictError(f"{place} is there already", hint="name another path, or remove it first", field="path")
    dataset = choose_name(ws.project, place, name)
    with _downloaded(ws, url, None, progress) as (file, origin):
        if origin is None:
            raise TypeError("nothing was asked for")
        _put(ws, place, file)
        if find_name(ws.project, place) is None:
            ws.project = append_table(ws.root, ws.project, dataset, place, url=url)
    return _add(ws, dataset, place, origin, progress)


def update(ws: Workspace, dataset: str, *, progress: Progress = SILENT) -> ImportReport:
    """Ask whether an imported dataset has changed where it came from, and if so make it a new version.

    Raises:
        InvalidError: it was not imported.
        ConflictError: its working copy holds what is no version yet.
        NotFoundError, ForbiddenError, UnavailableError: it cannot be had; nothing was changed.
    """
    _, table = ws.get_dataset(dataset)
    pointer = locate_pointer(ws.root, table.path)
    former = pointer.origin if pointer else None
    url = table.url or (former.url if former else "")
    if not url:
        raise InvalidError(f"dataset {dataset} was not imported", hint="petla data import URL", field="dataset")
    standing = inspect(ws.root, ws.state, table, dataset)
    if standing.state in ("changed", "untracked"):
        raise ConflictError(
            f"{table.path} holds what is no version yet; updating would lose it",
            hint=f"keep it with 'petla data add {table.path}', or undo it with 'petla data checkout {dataset}'",
        )
    with _downloaded(ws, url, former if former and former.url == url else None, progress) as (file, origin):
        if origin is None:
            version = former.version if former else ""
            if standing.state == "missing":
                checkout(ws, dataset, progress=progress)
            return ImportReport(dataset=dataset, path=table.path, url=url, origin=version, added=None)
        _put(ws, table.path, file)
    return _add(ws, dataset, table.path, origin, progress)


def _add(ws: Workspace, dataset: str, place: str, origin: Origin, progress: Progress) -> ImportReport:
    added = add(ws, ws.root / place, name=dataset, progress=progress)
    with working_on_data(ws, f"petla data import {place}"):
        point(ws, place, added.version, origin)
    return ImportReport(dataset=dataset, path=place, url=origin.url, origin=origin.version, added=added)


@contextmanager
def _downloaded(
    ws: Workspace, url: str, former: Origin | None, progress: Progress
) -> Iterator[tuple[Path, Origin | None]]:
    ws.make_state()
    with temporary_folder(ws.objects.temporary) as folder:
        file = folder / "file"
        yield file, download(url, file, former, ws.root, progress)


def _put(ws: Workspace, place: str, file: Path) -> None:
    target = resolve_inside(ws.root, place)
    with reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o644)
        file.replace(target)


def _name_in(url: str) -> str:
    """Return the last part of a URL, if it is fit for the name of a file."""
    check_url(url)
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    is_short = len(name.encode()) <= _LONGEST_NAME
    if name.isprintable() and is_short and "/" not in name and not name.casefold().startswith(_OF_GIT):
        with suppress(ValueError):
            return check_place(name)
    problem = f"{name!r}, the end of the URL, cannot be the name of a file" if name else "the URL names no file"
    raise InvalidError(problem, hint="name the file as well: petla data import URL PATH", field="path")


def _choose_place(ws: Workspace, url: str, path: Path | None) -> str:
    if path is None:
        name = _name_in(url)
        return f"data/{name}" if (ws.root / "data").is_dir() else name
    whole = (Path.cwd() / path).parent.resolve() / path.name
    if whole.is_dir():
        raise NotFoundError(f"{path} is a folder", hint="name the file as well", field="path")
    if not whole.is_relative_to(ws.root.resolve()):
        raise InvalidError(f"{whole} lies outside the project {ws.root}", hint="name a path in it", field="path")
    return whole.relative_to(ws.root.resolve()).as_posix()
