"""A remote that is a folder: large objects go around the cloud client, which would copy them twice."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from petla.core.ids import uuid7_source
from petla.storage.objects.disk.uncached import Stages

_STAGE_BYTES = 24 << 20
_STAGES = 2
_next_id = uuid7_source()


class Folder:
    """The objects of a folder.

    Args:
        path: of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages = Stages(_STAGES, _STAGE_BYTES)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of an object.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        descriptor = os.open(self._path / key, os.O_RDONLY)
        try:
            content = os.pread(descriptor, length, start)
            while len(content) < length and (more := os.pread(descriptor, length - len(content), start + len(content))):
                content += more
        finally:
            os.close(descriptor)
        return content

    def create(self, key: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object unless there is one, flushed to the disk; return whether it was written.

        Raises:
            OSError: the disk is full or may not be written.
        """
        target = self._path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f"{target.name}#{_next_id()}")
        stage = self._stages.take()
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                stage.append(parts)
                stage.write(descriptor)
            finally:
                os.close(descriptor)
            # in one step, and only if nobody was faster
            target.hardlink_to(aside)
        except FileExistsError:
            return False
        finally:
            self._stages.give_back(stage)
            with contextlib.suppress(FileNotFoundError):
                aside.unlink()
        return True
