"""From tables to rows: what a model's inputs look like, one value after the other, as a request carries them."""

from typing import TYPE_CHECKING, Any

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.conversion.dtypes import name_dtype, type_of_polars
from petla.models.conversion.timestamps import write_timestamp
from petla.models.signature import InputField, Row, Signature

if TYPE_CHECKING:
    import polars as pl

    from petla.data.profile.columns import ColumnProfile, Profile

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")


def make_fields(frame: "pl.DataFrame", profile: "Profile", target: str) -> tuple[InputField, ...]:
    """Return the fields of a request: the columns of the training rows in their order, without the target.

    A column of arrays of one shape is a tensor, one of bytes that all begin as a picture does are pictures.

    Raises:
        InvalidError: the target is missing, or nothing else is there.
    """
    if profile.find(target) is None:
        known = ", ".join(column.name for column in profile.columns)
        raise InvalidError(
            f"the training rows have no column {target!r}, which the model predicts",
            hint=f"let the step return it as well, or correct 'target'; it has: {known}",
            field="target",
        )
    fields = tuple(_make_field(frame.get_column(c.name), c) for c in profile.columns if c.name != target)
    if not fields:
        raise InvalidError(f"the training rows have no column beside the target {target!r}", field="training")
    return fields


def list_rows(frame: "pl.DataFrame", signature: Signature) -> list[Row]:
    """Return a table's inputs as rows: numbers, booleans, texts; timestamps in their canonical form; missing as None.

    Raises:
        InvalidError: columns are missing, or hold what no request can carry.
    """
    import polars as pl

    require_columns(frame, [field.name for field in signature.inputs])
    columns: list[pl.Series] = []
    for field in signature.inputs:
        column = frame.get_column(field.name)
        if field.kind is Kind.TIMESTAMP:
            column = _to_iso(column)
        elif field.kind is Kind.IMAGE:
            column = _to_base64(column)
        elif field.kind is Kind.TENSOR:
            _require_numbers(column)
        elif column.dtype.is_float():
            column = column.fill_nan(None)
        elif column.dtype.is_decimal():
            column = column.cast(pl.Float64)
        elif isinstance(column.dtype, pl.Categorical | pl.Enum):
            column = column.cast(pl.String)
        columns.append(column)
    _require_plain([c for c, field in zip(columns, signature.inputs, strict=True) if field.kind is not Kind.TENSOR])
    return pl.DataFrame(columns).rows()


def list_truths(frame: "pl.DataFrame", target: str) -> list[Any]:
    """Return a table's target as Python values."""
    import polars as pl

    require_columns(frame, [target])
    column = frame.get_column(target)
    return (column.cast(pl.String) if isinstance(column.dtype, pl.Categorical | pl.Enum) else column).to_list()


def require_columns(frame: "pl.DataFrame", names: list[str]) -> None:
    """Accept only a table that has these columns.

    Raises:
        InvalidError: it lacks some; all are named.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InvalidError(
            f"the rows have no column {', '.join(map(repr, missing))}",
            hint="let the step that returns them keep these columns",
            field=missing[0],
        )


def to_arrays(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Turn columns of lists of numbers that all have one length into arrays."""
    import polars as pl

    found = []
    for column in frame.get_columns():
        if isinstance(column.dtype, pl.List) and isinstance(column.dtype.inner, pl.DataType):
            lengths = column.list.len().drop_nulls().unique()
            if len(lengths) == 1 and lengths[0] and column.dtype.inner.is_numeric():
                found.append(column.cast(pl.Array(column.dtype.inner, lengths[0])))
    return frame.with_columns(found)


def _make_field(column: "pl.Series", profile: "ColumnProfile") -> InputField:
    import polars as pl

    is_nullable = profile.missing > 0
    dtype = column.dtype
    if isinstance(dtype, pl.Array):
        numbers = column.head(0).to_numpy().dtype
        if numbers.kind in "biuf":
            return InputField(profile.name, Kind.TENSOR, is_nullable, numbers.name, dtype.shape)
    if dtype == pl.Binary and all(_is_picture(value) for value in column.drop_nulls()):
        return InputField(profile.name, Kind.IMAGE, is_nullable)
    return InputField(profile.name, profile.kind, is_nullable, name_dtype(dtype))


def _is_picture(content: bytes) -> bool:
    """Whether bytes begin as one of the formats that serving takes: PNG, JPEG, GIF, BMP, WebP."""
    return content.startswith(_MAGIC) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def _to_base64(column: "pl.Series") -> "pl.Series":
    return column.bin.encode("base64")


def _require_numbers(column: "pl.Series") -> None:
    import numpy as np

    values = column.drop_nulls().to_numpy()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidError(
            f"{column.name} has arrays with values that are no finite numbers, which no request can carry",
            hint="fill them in the step that returns these rows",
            field=column.name,
        )


def _to_iso(column: "pl.Series") -> "pl.Series":
    import polars as pl

    kind = type_of_polars(column.dtype)
    counts = column.to_physical().to_list()
    texts = [None if count is None else write_timestamp(count, kind) for count in counts]
    return pl.Series(column.name, texts, dtype=pl.String)


def _require_plain(columns: list["pl.Series"]) -> None:
    import polars as pl

    strange = [
        f"{column.name} ({column.dtype})"
        for column in columns
        if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String, pl.Null))
    ]
    if strange:
        raise InvalidError(
            f"no request can carry {', '.join(strange)}",
            hint="turn these columns into numbers, texts or moments in the step that returns the training rows",
            field="training",
        )
