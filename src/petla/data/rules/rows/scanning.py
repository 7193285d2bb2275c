"""A table's rows, some at a time, as often as a rule needs them; and their hashes, the same for the same values."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.core.progress import SILENT, Progress
from petla.core.project.formats import FOUND_OUT, FormatTable
from petla.data.history.contents import located
from petla.data.history.records import DatasetVersion
from petla.data.profile.sketches import hash_rows
from petla.data.reading.columns import column_of
from petla.data.reading.tables import agree, is_table, list_schemas, reading
from petla.storage.workspace import Workspace

# hashes that one pass keeps: 64 MB; more rows take more passes
_HASHES = 8_000_000
_SEED = 0


class Rows:
    """The rows of a table of files.

    Args:
        path: file or folder.
        progress: is told of the bytes of each pass.
        given: what the project file says about CSV files.
    """

    def __init__(self, path: Path, progress: Progress = SILENT, given: FormatTable = FOUND_OUT) -> None:
        self.path = path
        self._progress = progress
        self._schemas = list_schemas(path, given)
        self._given = agree(list(self._schemas), given)
        self._kinds = _unify(list(self._schemas.values()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._kinds)

    @property
    def plain_columns(self) -> tuple[str, ...]:
        """The names of the columns whose values can be hashed: no lists and the like."""
        opaque = (pl.Binary, pl.Object)
        return tuple(name for name, kind in self._kinds.items() if not (kind.is_nested() or kind in opaque))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows in their order, about 100,000 at a time."""
        self._progress.begin("reading rows", sum(part.stat().st_size for part in self._schemas))
        names = list(self._kinds if columns is None else columns)
        for path in self._schemas:
            with reading(path, self._given) as part:
                for batch in part.batches():
                    yield batch.select(column_of(name) for name in names)
            self._progress.advance(path.stat().st_size)

    def hashes(self, columns: Sequence[str], part: int = 0, parts: int = 1) -> Iterator[NDArray[np.uint64]]:
        """Yield hashes of some columns' rows; of several parts only those that fall into one."""
        for batch in self.batches(columns):
            hashes = hash_canonical(batch)
            yield hashes if parts == 1 else hashes[(hashes >> np.uint64(7)) % np.uint64(parts) == np.uint64(part)]


@contextlib.contextmanager
def opened_rows(ws: Workspace, version: DatasetVersion, progress: Progress = SILENT) -> Iterator[Rows | None]:
    """Open a version's rows, in the working copy or, where that is another version, beside it; None: no table.

    Raises:
        NotFoundError: the version's files are not in the store.
        ConflictError: the working copy was changed while it was read.
        InvalidError: it is a broken table.
    """
    with located(ws, version, progress) as path:
        given = ws.project.data[version.dataset].format
        yield Rows(path, progress, given) if is_table(path) else None


def count_parts(n_rows: int) -> int:
    """Return how many passes keep the memory of the hashes bounded."""
    return n_rows // _HASHES + 1


def hash_canonical(frame: pl.DataFrame) -> NDArray[np.uint64]:
    """Return a hash of each row that does not depend on the kinds that a file gave its columns.

    Example:
        >>> whole, parted = pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [1.0, 2.5]})
        >>> (hash_canonical(whole) == hash_canonical(parted)).tolist()
        [True, False]
    """
    return hash_rows(frame.select(each for name, kind in frame.schema.items() for each in _canonical(name, kind)))


def _canonical(name: str, kind: pl.DataType) -> list[pl.Expr]:
    column = column_of(name)
    if kind.is_integer():
        return [_whole_of(column, kind).alias(name), pl.lit(0.0).alias(f"{name}\0")]
    if kind.is_numeric():
        # NOTE: integers stay integers: as floats, long keys would lose their last digits.
        floats = column.cast(pl.Float64)
        whole = floats.floor().cast(pl.Int64, strict=False)
        # what 64 bits do not hold is told apart by the float itself
        rest = pl.when(whole.is_null()).then(floats).otherwise(floats - floats.floor()).fill_nan(0.0).fill_null(0.0)
        return [whole.alias(name), rest.alias(f"{name}\0")]
    if kind in (pl.Date, pl.Datetime) or kind == pl.Datetime:
        return [column.cast(pl.Datetime("us")).to_physical()]
    return [column.cast(pl.String)]


def _whole_of(column: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """Return integers as 64 bits; one that does not fit as a hash of its digits."""
    whole = column.cast(pl.Int64, strict=False)
    if kind not in (pl.UInt64, pl.Int128):
        return whole
    digits = column.cast(pl.String).hash(_SEED).reinterpret(signed=True)
    return pl.when(whole.is_null() & column.is_not_null()).then(digits).otherwise(whole)


def _unify(schemas: list[pl.Schema]) -> dict[str, pl.DataType]:
    """Return the kinds of the columns; a text in one file makes it a text."""
    return {
        name: max((schema[name] for schema in schemas), key=lambda kind: (kind == pl.String, kind.is_float()))
        for name in schemas[0]
    }
