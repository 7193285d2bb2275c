"""Tables from files: one file, or a folder of files with the same columns."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from petla.core.errors import InvalidError, NotFoundError
from petla.core.project.formats import FOUND_OUT, FormatTable
from petla.data.reading.columns import column_of
from petla.data.reading.delimited.dialects import Dialect, find_torn_end
from petla.data.reading.delimited.files import DelimitedFile, Known, look_at, opened
from petla.data.reading.lines import LinesFile
from petla.data.reading.names import (
    ARROW_SUFFIXES,
    CSV_SUFFIXES,
    LINES_SUFFIXES,
    PARQUET_SUFFIXES,
    TABLE_SUFFIXES,
    is_counted,
)
from petla.data.reading.unpacking import unpacked
from petla.storage.files import reported

if TYPE_CHECKING:
    import polars as pl

_BATCH_ROWS = 100_000


class Part:
    """One file of a table, open.

    Args:
        path: of the file.
        delimited: where it is a CSV.
    """

    def __init__(self, path: Path, delimited: DelimitedFile | None) -> None:
        self.path = path
        self._delimited = delimited
        self._lines = LinesFile(path) if path.suffix.lower() in LINES_SUFFIXES else None

    @property
    def dialect(self) -> Dialect | None:
        """How it is written; None: it is no CSV."""
        return self._delimited.dialect if self._delimited else None

    def scan(self) -> "pl.LazyFrame":
        """Return its rows, unread."""
        import polars as pl

        if self._delimited is not None:
            return self._delimited.scan()
        suffix = self.path.suffix.lower()
        if suffix in PARQUET_SUFFIXES:
            return pl.scan_parquet(self.path, glob=False)
        if suffix in ARROW_SUFFIXES:
            return pl.scan_ipc(self.path, glob=False)
        return self.read().lazy()

    def schema(self) -> "pl.Schema":
        """Return what its columns hold."""
        return self._lines.schema if self._lines else self.scan().collect_schema()

    def batches(self) -> "Iterator[pl.DataFrame]":
        """Yield its rows in their order, about 100,000 at a time, and fewer where they are large.

        Raises:
            InvalidError: they unpack to far more than any file of this size should.
            polars.exceptions.PolarsError: they cannot be read.
        """
        if self._lines is not None:
            yield from self._lines.batches()
        elif self.path.suffix.lower() in PARQUET_SUFFIXES:
            yield from unpacked(self.path)
        else:
            yield from self.scan().collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True)

    def read(self) -> "pl.DataFrame":
        """Return its rows."""
        return self._lines.read() if self._lines else self.scan().collect()

    def find_flaw(self) -> str:
        """Say what is wrong with a file that can be read all the same; empty: nothing."""
        if self.dialect is None:
            return ""
        return find_torn_end(self.path, self.dialect, len(self.schema()))


def is_table(path: Path) -> bool:
    """Whether a file, or every file of a folder, is one that `read_frame` reads.

    In a folder, names that start with a dot or an underscore do not count, as engines that write folders have it.
    """
    parts = list_parts(path)
    return bool(parts) and all(part.suffix.lower() in TABLE_SUFFIXES for part in parts)


def read_frame(path: Path, given: FormatTable = FOUND_OUT) -> "pl.DataFrame":
    """Read a table from a CSV, Parquet, JSON lines or Arrow file, or from a folder of them with the same columns.

    Args:
        path: file or folder.
        given: what the project file says about CSV files.

    Raises:
        NotFoundError: there is nothing at the path.
        InvalidError: it is no table, cannot be read as one, or a file of the folder has other columns.
    """
    import polars as pl

    parts = _require_parts(path)
    given = agree(parts, given)
    frames = []
    for part in parts:
        with reading(part, given) as opened_part:
            frames.append(opened_part.read())
    _check_columns({part: frame.schema for part, frame in zip(parts, frames, strict=True)})
    if len(frames) == 1:
        return frames[0]
    _check_kinds({part: _kinds_of(frame) for part, frame in zip(parts, frames, strict=True)})
    names = [column_of(name) for name in frames[0].columns]
    return pl.concat([frame.select(names) for frame in frames], how="vertical_relaxed")


def agree(parts: Sequence[Path], given: FormatTable) -> FormatTable:
    """Return how to read the files of one table, so that no date and no code is read differently in two of them.

    Args:
        parts: the files.
        given: what the project file says.

    Raises:
        InvalidError: one of them cannot be read as a table.
    """
    delimited = [part for part in parts if part.suffix.lower() in CSV_SUFFIXES]
    if len(delimited) < 2:
        return given
    columns = [column for part in delimited for column in look(part, given).columns]
    order = next((c.order for c in columns if c.order and not c.is_order_open), None)
    codes = dict.fromkeys(column.name for column in columns if column.is_code)
    return msgspec.structs.replace(
        given, date_order=given.date_order or order or "", text=tuple(dict.fromkeys((*given.text, *codes)))
    )


def look(path: Path, given: FormatTable = FOUND_OUT) -> Known:
    """Find out how a CSV file is written and what its columns hold.

    Raises:
        InvalidError: it cannot be read as a table.
    """
    with _explained(path):
        return look_at(path, given)


def list_schemas(path: Path, given: FormatTable = FOUND_OUT) -> "dict[Path, pl.Schema]":
    """Return what each file of a table holds.

    Raises:
        NotFoundError, InvalidError: as `read_frame`.
    """
    schemas = {}
    parts = _require_parts(path)
    given = agree(parts, given)
    for part in parts:
        with reading(part, given) as opened_part:
            schemas[part] = opened_part.schema()
    _check_columns(schemas)
    return schemas


@contextlib.contextmanager
def reading(path: Path, given: FormatTable = FOUND_OUT) -> Iterator[Part]:
    """Open one file of a table, and say which it was where it cannot be read.

    Args:
        path: of the file.
        given: what the project file says, and for one of several files what `agree` returned.

    Raises:
        InvalidError: it cannot be read as a table.
    """
    with _explained(path), contextlib.ExitStack() as stack:
        is_csv = path.suffix.lower() in CSV_SUFFIXES
        yield Part(path, stack.enter_context(opened(path, given)) if is_csv else None)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    import polars as pl

    with reported(path, "read"):
        is_empty = path.stat().st_size == 0
    if is_empty:
        raise InvalidError(f"{path} is empty", hint="write the names of the columns and the rows into it")
    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InvalidError(
            f"{path} is not {error.encoding} throughout: byte {byte:#04x} is not one of its characters",
            hint="name the right encoding in [data.NAME.format]",
        ) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidError(
            f"{path} cannot be read as a table: {said}", hint="open it and see; it may have been cut off"
        ) from error


def convert_table(source: Path, target: Path) -> None:
    """Write a table again in the format that the target's name says, row by row as far as the format allows.

    Raises:
        InvalidError: the source cannot be read as a table.
    """
    import polars as pl

    try:
        with reading(source) as part:
            rows = part.read().lazy() if part.dialect else part.scan()
            suffix = target.suffix.lower()
            if suffix in PARQUET_SUFFIXES:
                rows.sink_parquet(target)
            elif suffix in ARROW_SUFFIXES:
                rows.sink_ipc(target)
            elif suffix in LINES_SUFFIXES:
                rows.sink_ndjson(target)
            else:
                rows.sink_csv(target, separator="\t" if suffix == ".tsv" else ",")
    except pl.exceptions.PolarsError as error:
        raise InvalidError(f"{source} cannot become {target.name}: {error}", hint="use Parquet") from error


def list_parts(path: Path) -> list[Path]:
    """Return the files of a table, in order."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    files = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return [path / file for file in sorted(files) if is_counted(file.as_posix())]


def _require_parts(path: Path) -> list[Path]:
    if not path.exists():
        raise NotFoundError(f"there is no file {path}", hint="correct the path")
    if not is_table(path):
        raise InvalidError(
            f"{path} is no table", hint="tables are CSV, Parquet, JSON lines or Arrow files, or folders of them"
        )
    return list_parts(path)


def _check_columns(schemas: "dict[Path, pl.Schema]") -> None:
    first = next(iter(schemas))
    for part, schema in schemas.items():
        if odd := sorted(set(schema) ^ set(schemas[first])):
            raise InvalidError(
                f"{part} and {first} do not have the same columns: only one of them has {', '.join(odd)}",
                hint="give all files of a folder the same columns",
                field=odd[0],
            )


def _kinds_of(frame: "pl.DataFrame") -> "dict[str, pl.DataType]":
    """Return the kinds of the columns that have a value."""
    return {name: kind for name, kind in frame.schema.items() if frame[name].null_count() < frame.height}


def _check_kinds(kinds_of: "dict[Path, dict[str, pl.DataType]]") -> None:
    """Whole numbers and others go together, as do columns without a value; anything else in one column is a mistake."""
    kinds: dict[str, tuple[str, Path]] = {}
    for part, schema in kinds_of.items():
        for name, dtype in schema.items():
            kind = "number" if dtype.is_numeric() else str(dtype)
            first, where = kinds.setdefault(name, (kind, part))
            if kind != first:
                raise InvalidError(
                    f"column {name!r} is {first} in {where} and {kind} in {part}",
                    hint="give each column one kind in all files of a folder",
                    field=name,
                )
