"""From tables to rows: what a model's inputs look like, one value after the other, as a request carries them."""

from typing import TYPE_CHECKING, Any

from petla.core.errors import InvalidError
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature

if TYPE_CHECKING:
    import polars as pl

    from petla.data.profile.columns import Profile


def make_fields(profile: "Profile", target: str) -> tuple[InputField, ...]:
    """Return the fields of a request: the columns of the training rows in their order, without the target.

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
    fields = tuple(InputField(c.name, c.kind, c.missing > 0) for c in profile.columns if c.name != target)
    if not fields:
        raise InvalidError(f"the training rows have no column beside the target {target!r}", field="training")
    return fields


def list_rows(frame: "pl.DataFrame", signature: Signature) -> list[Row]:
    """Return a table's inputs as rows: numbers, booleans, texts; moments as ISO 8601; missing as None.

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
        elif column.dtype.is_float():
            column = column.fill_nan(None)
        elif column.dtype.is_decimal():
            column = column.cast(pl.Float64)
        elif isinstance(column.dtype, pl.Categorical | pl.Enum):
            column = column.cast(pl.String)
        columns.append(column)
    _require_plain(columns)
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


def _to_iso(column: "pl.Series") -> "pl.Series":
    import polars as pl

    values = [None if value is None else value.isoformat() for value in column.to_list()]
    return pl.Series(column.name, values, dtype=pl.String)


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
