"""Tables from files: CSV and Parquet, one file or a folder of them."""

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from petla.core.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    import polars as pl

CSV_SUFFIXES = frozenset({".csv", ".tsv"})
PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})

# What people write for "nothing", beside an empty field.
# NOTE: a column that uses one of these as a value, such as NA for Namibia, belongs into Parquet.
MISSING_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null")

_SEPARATORS = ",;\t|"


def is_table(path: Path) -> bool:
    """Whether a file, or every file of a folder, is one that `read_frame` reads.

    In a folder, names that start with a dot or an underscore do not count, as engines that write folders have it.
    """
    parts = _list_parts(path)
    return bool(parts) and all(part.suffix.lower() in CSV_SUFFIXES | PARQUET_SUFFIXES for part in parts)


def read_frame(path: Path) -> "pl.DataFrame":
    """Read a table from a CSV or Parquet file, or from a folder of them whose files have the same columns.

    Raises:
        NotFoundError: there is nothing at the path.
        InvalidError: it is no table, cannot be read as one, or a file of the folder has other columns.
    """
    import polars as pl

    if not path.exists():
        raise NotFoundError(f"there is no file {path}", hint="correct the path")
    if not is_table(path):
        raise InvalidError(f"{path} is no table", hint="tables are CSV or Parquet files, or folders of them")
    parts = _list_parts(path)
    frames = [_read_part(part) for part in parts]
    for part, frame in zip(parts, frames, strict=True):
        if odd := sorted(set(frame.columns) ^ set(frames[0].columns)):
            raise InvalidError(
                f"{part} and {parts[0]} do not have the same columns: only one of them has {', '.join(odd)}",
                hint="give all files of a folder the same columns",
                field=odd[0],
            )
    if len(frames) == 1:
        return frames[0]
    _check_kinds(parts, frames)
    return pl.concat([frame.select(frames[0].columns) for frame in frames], how="vertical_relaxed")


def convert_table(source: Path, target: Path) -> None:
    """Write a table again in the format that the target's name says, row by row as far as the format allows.

    Raises:
        InvalidError: the source cannot be read as a table.
    """
    import polars as pl

    is_parquet = source.suffix.lower() in PARQUET_SUFFIXES
    rows = pl.scan_parquet(source) if is_parquet else _read_part(source).lazy()
    try:
        if target.suffix.lower() in PARQUET_SUFFIXES:
            rows.sink_parquet(target)
        else:
            rows.sink_csv(target, separator="\t" if target.suffix.lower() == ".tsv" else ",")
    except pl.exceptions.PolarsError as error:
        raise InvalidError(f"{source} cannot become {target.name}: {error}", hint="use Parquet") from error


def _list_parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() else []
    files = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    return [path / file for file in sorted(files) if not any(part[0] in "._" for part in file.parts)]


def _check_kinds(parts: list[Path], frames: "list[pl.DataFrame]") -> None:
    """Whole numbers and others go together, as do columns without a value; anything else in one column is a mistake."""
    import polars as pl

    kinds: dict[str, tuple[str, Path]] = {}
    for part, frame in zip(parts, frames, strict=True):
        for name, dtype in frame.schema.items():
            if dtype == pl.Null or frame[name].null_count() == frame.height:
                continue
            kind = "number" if dtype.is_numeric() else str(dtype)
            first, where = kinds.setdefault(name, (kind, part))
            if kind != first:
                raise InvalidError(
                    f"column {name!r} is {first} in {where} and {kind} in {part}",
                    hint="give each column one kind in all files of a folder",
                    field=name,
                )


def _read_part(path: Path) -> "pl.DataFrame":
    import polars as pl

    try:
        if path.suffix.lower() in PARQUET_SUFFIXES:
            return pl.read_parquet(path)
        return pl.read_csv(
            path,
            separator=_find_separator(path),
            null_values=list(MISSING_WORDS),
            try_parse_dates=True,
            # The kinds come from all rows: an integer column whose millionth value is a text is no integer column.
            infer_schema_length=None,
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidError(
            f"{path} cannot be read as a table: {said}", hint="open it and see; UTF-8 is needed in a CSV"
        ) from error


def _find_separator(path: Path) -> str:
    with path.open("rb") as file:
        # NOTE: Polars reads a header that is not UTF-8 all the same, as columns without a name.
        header = codecs.getincrementaldecoder("utf-8")().decode(file.readline(1 << 20))
    return max(_SEPARATORS, key=header.count)
