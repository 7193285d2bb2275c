"""JSON lines: read block by block, since what each column holds is known only once every line was seen."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from petla.storage.files import reported

if TYPE_CHECKING:
    import polars as pl

_BLOCK_BYTES = 16 << 20


class LinesFile:
    """A file of JSON lines.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def schema(self) -> "pl.Schema":
        """What each column holds, so that every line fits; a column that some lines lack is there.

        Raises:
            polars.exceptions.PolarsError: a line is no JSON object, or the lines do not go together.
        """
        import polars as pl

        known = pl.DataFrame()
        for block in self._list_blocks():
            seen = pl.read_ndjson(block, infer_schema_length=None).head(0)
            known = pl.concat([known, seen], how="diagonal_relaxed") if known.width else seen
        return known.schema

    def batches(self) -> "Iterator[pl.DataFrame]":
        """Yield the rows in their order.

        Raises:
            polars.exceptions.PolarsError: as `schema`.
        """
        import polars as pl

        for block in self._list_blocks():
            yield pl.read_ndjson(block, schema=self.schema)

    def _list_blocks(self) -> Iterator[bytes]:
        """Yield whole lines, many at a time."""
        rest = b""
        with reported(self._path, "read"), self._path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                whole, newline, rest_of_block = block.rpartition(b"\n")
                if newline:
                    yield rest + whole + newline
                    rest = rest_of_block
                else:
                    rest += block
        if rest.strip():
            yield rest
