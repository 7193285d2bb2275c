"""Datasets as the steps want them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from petla.core.errors import InvalidError
from petla.data.reading.tables import is_table, read_frame
from petla.pipeline.outputs.frames import FrameKind, convert, share
from petla.storage.temporary import temporary_folder
from petla.storage.workspace import Workspace


class Datasets:
    """The datasets of one run, each read once.

    Args:
        ws: the project.
        digests: dataset -> digest of the version to use.
        in_place: the datasets whose working copy is that version; the others are written to `folder` first.
        folder: a folder for the time of the run.
    """

    def __init__(self, ws: Workspace, digests: dict[str, str], in_place: set[str], folder: Path) -> None:
        self._ws = ws
        self._digests = digests
        self._in_place = in_place
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self._frames: dict[str, Any] = {}

    def get(self, name: str, kind: FrameKind | None) -> Any:  # noqa: ANN401 - a frame of four libraries, or a path
        """Return a dataset as the kind of frame that a step wants; Polars if it does not say.

        Raises:
            InvalidError: it is no table and a frame is wanted.
            CorruptError: stored bytes are damaged.
        """
        path = self._find_path(name)
        if kind is FrameKind.PATH:
            return path
        if not is_table(path):
            raise InvalidError(
                f"dataset {name} ({path.name}) is no table",
                hint=f"annotate the parameter: '{name}: pathlib.Path'",
                field=name,
            )
        if name not in self._frames:
            self._frames[name] = read_frame(path, self._ws.project.data[name].format)
        return share(convert(self._frames[name], kind or FrameKind.POLARS))

    def _find_path(self, name: str) -> Path:
        from petla.data.versions import materialize

        if name not in self._paths:
            path = Path(self._ws.project.data[name].path)
            if name in self._in_place:
                self._paths[name] = self._ws.root / path
            else:
                self._paths[name] = materialize(self._ws, self._digests[name], self._folder / name / path.name)
        return self._paths[name]


@contextlib.contextmanager
def opened(ws: Workspace, digests: dict[str, str], in_place: set[str]) -> Iterator[Datasets]:
    """Hand out the datasets of a run; what had to be written for it is removed afterwards."""
    with temporary_folder(ws.objects.temporary) as folder:
        yield Datasets(ws, digests, in_place, folder)
