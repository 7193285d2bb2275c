"""CSV files as frames: whole, or some rows at a time.

All rows are looked at once as texts, so that the kind of a column is that of all of its values. The table library
reads a plain file as it is; any other one is written again first, beside the system's other temporary files.
"""

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.errors import InvalidError
from petla.core.project.formats import FOUND_OUT, FormatTable
from petla.data.reading.delimited.cleaning import is_plain, write_clean
from petla.data.reading.delimited.dialects import Dialect, find_dialect
from petla.data.reading.delimited.headers import MISSING_WORDS
from petla.storage.files import reported

if TYPE_CHECKING:
    import polars as pl

    from petla.data.reading.delimited.kinds import ColumnFormat

_BATCH_ROWS = 100_000
# files of which it is remembered how they are written
_REMEMBERED = 1_000


class Known(msgspec.Struct, frozen=True):
    """What was found out about a file."""

    dialect: Dialect
    # whether the table library reads it as it is
    is_plain: bool
    columns: "tuple[ColumnFormat, ...]"


@contextlib.contextmanager
def opened(path: Path, given: FormatTable = FOUND_OUT) -> "Iterator[DelimitedFile]":
    """Open a CSV file.

    Args:
        path: of the file.
        given: what the project file says about it.

    Raises:
        InvalidError: it is no text, or a line cannot be read; the line is named.
        UnavailableError: it cannot be read.
    """
    known = look_at(path, given)
    if known.is_plain:
        yield DelimitedFile(path, known)
        return
    with _cleaned(path, known.dialect) as clean:
        yield DelimitedFile(clean, known)


def look_at(path: Path, given: FormatTable = FOUND_OUT) -> Known:
    """Find out how a CSV file is written and what its columns hold; a file that did not change is not read again.

    Raises:
        InvalidError, UnavailableError: as `opened`.
    """
    with reported(path, "read"):
        stat = path.stat()
    return _look_at(path, given, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


class DelimitedFile:
    """A CSV file that the table library reads right.

    Args:
        path: of the file, or of one with the same rows.
        known: how it is written.
    """

    def __init__(self, path: Path, known: Known) -> None:
        self._path = path
        self._known = known

    @property
    def dialect(self) -> Dialect:
        """How the file is written."""
        return self._known.dialect

    def scan(self) -> "pl.LazyFrame":
        """Return the rows, unread."""
        texts = scan_texts(self._path, self._known.dialect, is_clean=not self._known.is_plain)
        return texts.select(column.express() for column in self._known.columns)


def scan_texts(path: Path, dialect: Dialect, *, is_clean: bool) -> "pl.LazyFrame":
    """Return the rows as texts, unread.

    Args:
        path: of the file.
        dialect: how it is written.
        is_clean: it is one that `write_clean` wrote.
    """
    import polars as pl

    return pl.scan_csv(
        path,
        separator="," if is_clean else dialect.separator,
        quote_char='"' if is_clean else dialect.quote,
        has_header=dialect.head.header_line is not None,
        null_values=list(MISSING_WORDS),
        infer_schema=False,
        glob=False,
    )


@functools.lru_cache(_REMEMBERED)
def _look_at(path: Path, given: FormatTable, _: tuple[int, ...]) -> Known:
    import polars as pl

    dialect = find_dialect(path, given)
    if is_plain(path, dialect):
        with contextlib.suppress(pl.exceptions.PolarsError):
            return Known(dialect, True, _find_columns(path, dialect, given, is_clean=False))
    # NOTE: also what the library refuses, since this one says in which line, and why
    with _cleaned(path, dialect) as clean:
        return Known(dialect, False, _find_columns(clean, dialect, given, is_clean=True))


@contextlib.contextmanager
def _cleaned(path: Path, dialect: Dialect) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="petla-") as folder:
        clean = Path(folder) / "clean.csv"
        write_clean(path, dialect, clean)
        yield clean


def _find_columns(path: Path, dialect: Dialect, given: FormatTable, *, is_clean: bool) -> "tuple[ColumnFormat, ...]":
    from petla.data.reading.delimited.kinds import ColumnFormat, find_formats

    texts = scan_texts(path, dialect, is_clean=is_clean)
    names = texts.collect_schema().names()
    if lost := [name for name in given.text if name not in names]:
        raise InvalidError(
            f"{path} has no column {lost[0]!r}, which format.text names",
            hint=f"its columns are {', '.join(names[:20])}",
            field="format.text",
        )
    found = find_formats(texts.collect_batches(chunk_size=_BATCH_ROWS), given, dialect.separator)
    return found or tuple(ColumnFormat(name=name) for name in names)
