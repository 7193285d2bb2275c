"""What each column of a CSV file holds, from all of its own values: never from those of another column."""

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec
import polars as pl

from petla.core.project.formats import DateOrder, FormatTable
from petla.data.reading.columns import column_of
from petla.data.reading.delimited.headers import MISSING_WORDS

_BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")
# the largest whole number up to which a float holds every one
_EXACT = 2**53
_LEADING_ZERO = r"^[+-]?0[0-9]"
# digits, e, digits: an identifier rather than a number, unless its neighbours are no whole numbers
_BARE_EXPONENT = r"^[0-9]+[eE][0-9]+$"
_LONG_INTEGER = r"^[+-]?[0-9]{16,}$"
_SPACES = " \u00a0\u202f'"
_COMMA = rf"^[+-]?(?:0|[1-9][0-9]{{0,2}}(?:[.{_SPACES}][0-9]{{3}})+|[1-9][0-9]*)?(?:,[0-9]+)?$"
_ENGLISH = r"^[+-]?(?:0|[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]*)?(?:\.[0-9]+)?$"
_MOMENT = re.compile(
    r"(\d{1,4})([-/.])\d{1,2}\2(\d{1,4})(?:([ T])\d{1,2}:\d{2}(:\d{2}(?:[.]\d+)?)?( ?(?:Z|[+-]\d{2}:?(?:\d{2})?))?)?"
)
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}(?:\.\d+)?)?")


class CellKind(StrEnum):
    """What the texts of a column mean."""

    TEXT = "text"
    BOOLEAN = "boolean"
    INT64 = "int64"
    UINT64 = "uint64"
    INT128 = "int128"
    FLOAT = "float"
    # 1.234,50
    COMMA = "decimal comma"
    # 1,234.50
    ENGLISH = "thousands comma"
    DATE = "date"
    MOMENT = "timestamp"
    TIME = "time"


_GROUPED = (CellKind.COMMA, CellKind.ENGLISH)
_TYPES: dict[CellKind, pl.DataType] = {
    CellKind.TEXT: pl.String(),
    CellKind.INT64: pl.Int64(),
    CellKind.UINT64: pl.UInt64(),
    CellKind.INT128: pl.Int128(),
    CellKind.FLOAT: pl.Float64(),
}


class ColumnFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How the texts of a column become values."""

    name: str
    kind: CellKind = CellKind.TEXT
    # of points in time
    format: str = ""
    # spaces around the values
    is_padded: bool = False
    # whole numbers with leading zeros, which are kept
    is_code: bool = False
    # dates with the day or the month first
    order: DateOrder | None = None
    # no value says which of both
    is_order_open: bool = False

    def express(self) -> pl.Expr:
        """Return the values, from the texts."""
        texts = column_of(self.name)
        if self.is_padded:
            stripped = texts.str.strip_chars()
            texts = pl.when(~stripped.is_in(MISSING_WORDS)).then(stripped).alias(self.name)
        if self.kind in _TYPES:
            return texts.cast(_TYPES[self.kind])
        return self._express_numbers(texts) if self.kind in _GROUPED else self._express_others(texts)

    def _express_numbers(self, texts: pl.Expr) -> pl.Expr:
        if self.kind is CellKind.COMMA:
            texts = texts.str.replace_all(f"[.{_SPACES}]", "").str.replace(",", ".", literal=True)
        return texts.str.replace_all(",", "", literal=True).cast(pl.Float64)

    def _express_others(self, texts: pl.Expr) -> pl.Expr:
        match self.kind:
            case CellKind.BOOLEAN:
                return texts.is_in(["true", "True", "TRUE"])
            case CellKind.DATE:
                return texts.str.to_date(self.format)
            case CellKind.TIME:
                return texts.str.to_time(self.format)
            case _:
                return texts.str.to_datetime(self.format, time_unit="us")


def find_formats(batches: Iterable[pl.DataFrame], given: FormatTable, separator: str) -> tuple[ColumnFormat, ...]:
    """Find out from all rows how the texts of each column become values.

    Args:
        batches: the rows as texts; missing values are null.
        given: what is known already.
        separator: of the fields; numbers with a decimal comma hardly stand between commas.
    """
    guesses: dict[str, _Guess] = {}
    for batch in batches:
        for texts in batch.get_columns():
            if texts.name not in guesses:
                guesses[texts.name] = _Guess(given, separator, is_text=texts.name in given.text)
            # NOTE: the library takes some names for patterns, in methods of one column as well
            guesses[texts.name].update(texts.rename("texts"))
    return _agree([guess.finish(name) for name, guess in guesses.items()], given)


def _agree(columns: list[ColumnFormat], given: FormatTable) -> tuple[ColumnFormat, ...]:
    """Read dates that leave the order open as the project file says, else as the other dates, else days first."""
    decided = next((column.order for column in columns if column.order and not column.is_order_open), None)
    order: DateOrder = given.date_order or decided or "dmy"
    return tuple(
        msgspec.structs.replace(c, format=_ordered(c.format, order), order=order) if c.is_order_open else c
        for c in columns
    )


def _ordered(form: str, order: DateOrder) -> str:
    return form if order == "dmy" else re.sub(r"%d(.)%m", r"%m\1%d", form)


class _Guess:
    """What one column may be, after the values seen so far."""

    def __init__(self, given: FormatTable, separator: str, *, is_text: bool) -> None:
        self._given = given
        self._is_comma_last = separator != ","
        self._numbers: list[CellKind] = []
        self._formats: list[str] = []
        self._is_boolean = self._is_time = False
        self._is_begun = self._is_text = is_text
        self._is_padded = self._is_code = False
        self._lowest = self._highest = 0
        self._has_point = self._has_exponent = self._has_comma = self._has_bare = self._is_all_plus = False

    def update(self, texts: pl.Series) -> None:
        """Take in the next values."""
        values = texts.drop_nulls() if not self._is_text else texts.head(0)
        if values.is_empty():
            return
        is_first = not self._is_begun
        if is_first:
            self._begin(values)
        before = self._numbers[:], self._formats[:], self._is_boolean
        if self._narrow(values):
            return
        stripped = values.str.strip_chars()
        stripped = stripped.filter(~stripped.is_in(MISSING_WORDS))
        if is_first:
            self._begin(stripped)
        else:
            self._numbers, self._formats, self._is_boolean = before
        self._is_padded = not self._is_code and self._narrow(stripped)
        self._is_text = not self._is_padded

    def _begin(self, values: pl.Series) -> None:
        """Decide from the first value which family the column may be of."""
        self._is_begun = True
        if values.is_empty():
            return
        first = values[0]
        self._is_boolean = first in _BOOLEANS
        self._is_all_plus = True
        is_comma = self._given.decimal == ","
        self._numbers = [CellKind.INT64] + [CellKind.FLOAT] * (not is_comma)
        grouped = [CellKind.COMMA] * (self._given.decimal != ".") + [CellKind.ENGLISH] * (not is_comma)
        self._numbers += grouped if self._is_comma_last else grouped[::-1]
        if found := _TIME.fullmatch(first):
            self._is_time = True
            self._formats = ["%H:%M:%S%.f" if found[1] else "%H:%M"]
        elif moment := _MOMENT.fullmatch(first):
            self._formats = _list_formats(moment)

    def _narrow(self, values: pl.Series) -> bool:
        """Drop what the values are not; whether anything but text is left."""
        if values.is_empty():
            return True
        if self._is_boolean:
            self._is_boolean = bool(values.is_in(_BOOLEANS).all())
            return self._is_boolean
        if self._formats:
            self._formats = [form for form in self._formats if _reads(values, form, is_time=self._is_time)]
            return bool(self._formats)
        while self._numbers and not self._fits(values, self._numbers[0]):
            del self._numbers[0]
        return bool(self._numbers)

    def _fits(self, values: pl.Series, kind: CellKind) -> bool:
        if self._is_code:
            return False
        if kind is CellKind.INT64:
            return self._fits_integer(values)
        if kind is CellKind.FLOAT:
            return self._fits_float(values)
        # what came before were whole numbers, or numbers with a point
        if self._has_exponent or (kind is CellKind.COMMA and self._has_point):
            return False
        is_fit = bool(values.str.contains(_COMMA if kind is CellKind.COMMA else _ENGLISH).all())
        self._has_comma = self._has_comma or (is_fit and bool(values.str.contains(",", literal=True).any()))
        return is_fit and self._has_comma

    def _fits_integer(self, values: pl.Series) -> bool:
        numbers = values.cast(pl.Int64, strict=False)
        if numbers.null_count():
            numbers = values.cast(pl.Int128, strict=False)
        if self._has_leading_zeros(values):
            return False
        if not self._is_padded or self._is_all_plus:
            self._is_all_plus = self._is_all_plus and bool(values.str.starts_with("+").all())
        present = numbers.drop_nulls()
        self._lowest = min(self._lowest, int(present.min() or 0))  # type: ignore[arg-type]
        self._highest = max(self._highest, int(present.max() or 0))  # type: ignore[arg-type]
        return not numbers.null_count()

    def _fits_float(self, values: pl.Series) -> bool:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() or self._has_leading_zeros(values):
            return False
        if values.str.contains("[eE]").any():
            self._has_exponent = True
            self._has_bare = self._has_bare or bool(values.str.contains(_BARE_EXPONENT).any())
        self._has_point = self._has_point or bool(values.str.contains(r"\.|[eE][+-]").any())
        is_long = values.filter(values.str.contains(_LONG_INTEGER))
        is_exact = is_long.is_empty() or bool((is_long.cast(pl.Float64).abs() <= _EXACT).all())
        return is_exact and self._lowest >= -_EXACT and self._highest <= _EXACT and bool(numbers.is_finite().any())

    def _has_leading_zeros(self, values: pl.Series) -> bool:
        # NOTE: a look at the first character is much cheaper, and enough for most columns
        starts = values.filter(values.str.starts_with("0") | values.str.starts_with("-") | values.str.starts_with("+"))
        self._is_code = self._is_code or bool(starts.str.contains(_LEADING_ZERO).any())
        return self._is_code

    def finish(self, name: str) -> ColumnFormat:
        """Return what the column is."""
        if self._is_text or not self._is_begun:
            return ColumnFormat(name=name, is_code=self._is_code)
        if self._is_boolean:
            return ColumnFormat(name=name, kind=CellKind.BOOLEAN, is_padded=self._is_padded)
        if self._formats:
            return self._finish_moment(name)
        return ColumnFormat(name=name, kind=self._finish_number(), is_padded=self._is_padded, is_code=self._is_code)

    def _finish_moment(self, name: str) -> ColumnFormat:
        form = self._formats[0]
        kind = CellKind.TIME if self._is_time else CellKind.MOMENT if "%H" in form else CellKind.DATE
        order: DateOrder | None = {"%d": "dmy", "%m": "mdy"}.get(form[:2]) if form[2:3] != "." else None  # type: ignore[assignment]
        is_open = len(self._formats) > 1
        return ColumnFormat(
            name=name, kind=kind, format=form, order=order, is_order_open=is_open, is_padded=self._is_padded
        )

    def _finish_number(self) -> CellKind:
        kind = self._numbers[0] if self._numbers else CellKind.TEXT
        if kind is CellKind.FLOAT:
            return CellKind.TEXT if self._has_bare and not self._has_point else kind
        if kind is not CellKind.INT64:
            return kind
        if self._is_all_plus:
            # telephone numbers
            return CellKind.TEXT
        if self._lowest >= -(2**63) and self._highest < 2**63:
            return kind
        return CellKind.UINT64 if self._lowest >= 0 and self._highest < 2**64 else CellKind.INT128


def _list_formats(moment: "re.Match[str]") -> list[str]:
    """Return the formats that a point in time may be written in, days before months."""
    first, mark, last, between, seconds, zone = moment.groups()
    time = f"{between}%H:%M{':%S%.f' if seconds else ''}" if between else ""
    # NOTE: the library wants the space before the zone as well
    time += (" " if zone and zone.startswith(" ") else "") + ("%#z" if zone else "")
    if len(first) == 4:
        return [f"%Y{mark}%m{mark}%d{time}"]
    if len(last) != 4:
        return []
    days_first = f"%d{mark}%m{mark}%Y{time}"
    # with points, days come first wherever they are written so
    return [days_first] if mark == "." else [days_first, _ordered(days_first, "mdy")]


def _reads(values: pl.Series, form: str, *, is_time: bool) -> bool:
    if is_time:
        return not values.str.to_time(form, strict=False).null_count()
    if "%H" in form:
        return not values.str.to_datetime(form, strict=False, time_unit="us").null_count()
    return not values.str.to_date(form, strict=False).null_count()
