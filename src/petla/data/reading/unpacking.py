"""Parquet files in bounded memory: few bytes on the disk may be many rows of long values."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.errors import InvalidError

if TYPE_CHECKING:
    import polars as pl

_BATCH_ROWS = 100_000
_BATCH_BYTES = 64 << 20
# one column of one row group: it has to be unpacked in one piece
_COLUMN_BYTES = 1 << 30
# a file that unpacks to more, and to a thousand times its size, is no table that anybody wrote
_TOTAL_BYTES = 16 << 30
_FACTOR = 1_000


def unpacked(path: Path) -> "Iterator[pl.DataFrame]":
    """Yield the rows of a Parquet file in their order, so many at a time that they take about 64 MiB.

    Raises:
        InvalidError: it unpacks to far more than a file of its size should.
        polars.exceptions.PolarsError: it cannot be read.
    """
    import polars as pl

    _refuse_large_columns(path)
    total, limit = 0, max(_TOTAL_BYTES, _FACTOR * path.stat().st_size)
    for batch in pl.scan_parquet(path, glob=False).collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
        size = count_bytes(batch)
        total += size
        if total > limit:
            raise _refuse(path, f"unpacks to more than {limit >> 30} GiB")
        step = min(_BATCH_ROWS, batch.height * _BATCH_BYTES // max(size, 1))
        if not step and batch.height:
            raise _refuse(path, f"has rows of {size // batch.height >> 20} MiB")
        yield from batch.iter_slices(step) if batch.height else (batch,)


def count_bytes(frame: "pl.DataFrame") -> int:
    """Return the bytes of all values, also of those that share them until something is done with them."""
    import polars as pl

    size = int(frame.estimated_size())
    for values in frame.get_columns():
        if isinstance(values.dtype, pl.Categorical | pl.Enum):
            size += int(values.rename("values").cat.len_bytes().sum() or 0)
    return size


def _refuse_large_columns(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path)
    except (pa.ArrowException, OSError):
        # the table library says what is wrong
        return
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            column = group.column(index)
            if column.total_uncompressed_size > _COLUMN_BYTES:
                size = column.total_uncompressed_size / (1 << 30)
                raise _refuse(path, f"has {size:.1f} GiB of column {column.path_in_schema!r} in one row group")


def _refuse(path: Path, what: str) -> InvalidError:
    limit = f"{_COLUMN_BYTES >> 30} GiB"
    return InvalidError(
        f"{path} {what}", hint=f"write it with row groups of at most {limit} for each column, or drop the long values"
    )
