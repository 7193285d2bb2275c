"""JSON lines: read block by block, since what each column holds is known only once every line was seen."""

import codecs
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.errors import InvalidError
from petla.data.reading.delimited.codings import find_encoding, read_head
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
            InvalidError: a line is no JSON object; it is named.
            polars.exceptions.PolarsError: the lines do not go together.
        """
        import polars as pl

        known = pl.DataFrame()
        first = 1
        for block in self._list_blocks():
            try:
                seen = pl.read_ndjson(block, infer_schema_length=None).head(0)
            except pl.exceptions.PolarsError:
                self._refuse_bad_line(block, first)
                raise
            known = pl.concat([known, seen], how="diagonal_relaxed") if known.width else seen
            first += block.count(b"\n")
        return known.schema

    def batches(self) -> "Iterator[pl.DataFrame]":
        """Yield the rows in their order.

        Raises:
            InvalidError, polars.exceptions.PolarsError: as `schema`.
        """
        import polars as pl

        for block in self._list_blocks():
            yield pl.read_ndjson(block, schema=self.schema)

    def read(self) -> "pl.DataFrame":
        """Return all rows.

        Raises:
            InvalidError, polars.exceptions.PolarsError: as `schema`.
        """
        import polars as pl

        return pl.concat(list(self.batches()) or [pl.DataFrame(schema=self.schema)])

    def _list_blocks(self) -> Iterator[bytes]:
        """Yield whole lines, many at a time, in UTF-8."""
        rest = b""
        for block in self._list_utf8():
            whole, newline, rest_of_block = block.rpartition(b"\n")
            if newline:
                if (rest + whole).strip():
                    yield rest + whole + newline
                rest = rest_of_block
            else:
                rest += block
        if rest.strip():
            yield rest

    def _list_utf8(self) -> Iterator[bytes]:
        head = read_head(self._path, 4)
        if not head.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            with reported(self._path, "read"), self._path.open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    yield block
            return
        with reported(self._path, "read"), self._path.open(encoding=find_encoding(self._path), newline="") as text:
            while part := text.read(_BLOCK_BYTES):
                yield part.encode()

    def _refuse_bad_line(self, block: bytes, first: int) -> None:
        for number, line in enumerate(block.split(b"\n"), start=first):
            try:
                is_object = not line.strip() or isinstance(json.loads(line, parse_constant=_refuse_constant), dict)
                problem = "" if is_object else "is no JSON object"
            except (ValueError, RecursionError) as error:
                problem = f"is no JSON: {error}"
            if problem:
                raise InvalidError(
                    f"line {number} of {self._path} {problem}",
                    hint="correct the line; JSON lines have one object in each, and null for a missing value",
                )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON; write null")
