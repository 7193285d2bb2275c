"""CSV files as frames: whole, or some rows at a time.

The kinds of the columns come from the first rows; where a later row is of another kind, all rows are looked at once,
and reading begins again.
"""

import codecs
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from petla.data.reading.dialects import UTF8, Dialect, find_dialect

if TYPE_CHECKING:
    import polars as pl

# What people write for "nothing", beside an empty field.
# NOTE: a column that uses one of these as a value, such as NA for Namibia, belongs into Parquet.
MISSING_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null")

_SAMPLE_ROWS = 10_000
_BATCH_ROWS = 100_000


@contextlib.contextmanager
def opened(path: Path) -> Iterator["DelimitedFile"]:
    """Open a CSV file; one that is not UTF-8 is written again as such, beside the system's other temporary files.

    Raises:
        InvalidError: it is no text.
        UnavailableError: it cannot be read.
    """
    dialect = find_dialect(path)
    if dialect.encoding in UTF8:
        yield DelimitedFile(path, dialect)
        return
    with tempfile.TemporaryDirectory(prefix="petla-") as folder:
        recoded = Path(folder) / path.name
        with path.open("rb") as source, recoded.open("wb") as target:
            reader = codecs.getreader(dialect.encoding)(source)
            shutil.copyfileobj(reader, codecs.getwriter("utf-8")(target), 1 << 20)
        yield DelimitedFile(recoded, dialect)


class DelimitedFile:
    """A CSV file in UTF-8, and what its columns hold.

    Args:
        path: of the file.
        dialect: how it is written.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        self.dialect = dialect
        # kinds that the first rows did not show
        self._known: dict[str, pl.DataType] = {}

    def scan(self) -> "pl.LazyFrame":
        """Return the rows, unread; columns without a value in the first rows are looked at whole."""
        rows = self._scan()
        if not self._known:
            head = rows.head(_SAMPLE_ROWS).collect()
            empty = [name for name in head.columns if head[name].null_count() == head.height]
            if empty and head.height == _SAMPLE_ROWS:
                self._look_at_all(empty)
                rows = self._scan()
        return rows

    def read(self) -> "pl.DataFrame":
        """Return all rows.

        Raises:
            polars.exceptions.PolarsError: they cannot be read.
        """
        import polars as pl

        try:
            return self.scan().collect()
        except pl.exceptions.ComputeError:
            self._look_at_all()
            return self._scan().collect()

    def check_kinds(self) -> None:
        """Look at all rows once, so that none of them is a surprise later."""
        self._look_at_all()

    def _scan(self) -> "pl.LazyFrame":
        return _scan(self.path, self.dialect, schema_overrides=dict(self._known), try_parse_dates=True)

    def _look_at_all(self, names: list[str] | None = None) -> None:
        """Find the kind of each column from all of its rows, as text."""
        import polars as pl

        sampled = self._scan().collect_schema()
        texts = _scan(self.path, self.dialect, infer_schema=False)
        unsure = names or [name for name, kind in sampled.items() if kind != pl.String]
        possible = {name: _possible_kinds(sampled[name]) for name in unsure}
        for batch in texts.select(unsure).collect_batches(chunk_size=_BATCH_ROWS):
            for name, kinds in possible.items():
                kinds[:] = [kind for kind in kinds if _fits(batch[name], kind)]
        self._known |= {name: next(iter(kinds), pl.String()) for name, kinds in possible.items()}


def _scan(path: Path, dialect: Dialect, **options: object) -> "pl.LazyFrame":
    import polars as pl

    return pl.scan_csv(
        path,
        separator=dialect.separator,
        quote_char=dialect.quote,
        null_values=list(MISSING_WORDS),
        infer_schema_length=_SAMPLE_ROWS,
        **options,  # type: ignore[arg-type]
    )


def _possible_kinds(sampled: "pl.DataType") -> "list[pl.DataType]":
    """What a column may be, the narrowest first; every text fits the last, which goes without saying."""
    import polars as pl

    if sampled.is_temporal():
        return [sampled]
    if sampled == pl.Boolean:
        return [pl.Boolean()]
    return [pl.Int64(), pl.Float64()]


def _fits(texts: "pl.Series", kind: "pl.DataType") -> bool:
    import polars as pl

    if kind == pl.Boolean:
        return bool(texts.is_in(["true", "false"]).all())
    if kind.is_temporal():
        cast = texts.str.strptime(kind, strict=False)  # type: ignore[arg-type] # temporal, as asked above
        return cast.null_count() == texts.null_count()
    return texts.cast(kind, strict=False).null_count() == texts.null_count()
