"""Expectations: what the project file says must hold for a column, whatever the versions before were like.

Most of them are answered by the profile; the rest reads the rows once.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from petla.core.errors import InvalidError
from petla.core.project import ExpectationTable
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.reading.columns import column_of
from petla.data.rules.finding import DataFinding, count_present, show_number, show_share, show_values
from petla.data.rules.kinds import describe
from petla.data.rules.measurements import list_codes
from petla.data.rules.rows.keys import count_repeats, is_surely_unique
from petla.data.rules.rows.scanning import Rows

_SHOWN = 5
_ALLOWED = {"number": {Kind.NUMBER, Kind.INTEGER}, "text": {Kind.TEXT, Kind.CATEGORY}}

Expectations = Mapping[str, ExpectationTable]


def check_columns(profile: Profile, expected: Expectations) -> list[DataFinding]:
    """Return what the profile says against the expectations."""
    findings: list[DataFinding] = []
    for name, wanted in expected.items():
        column = profile.find(name)
        if column is None:
            findings.append(_finding(name, f"column {name!r} is expected and is not there", "a column", "not there"))
        else:
            findings.extend(_check_profile(column, wanted))
    return findings


def list_open(profile: Profile, expected: Expectations) -> list[str]:
    """Return the columns with expectations that only the rows can answer."""
    return [
        name
        for name, wanted in expected.items()
        if (column := profile.find(name)) is not None
        and (wanted.pattern or _is_unsure(profile, column, wanted) or (wanted.categories and _values(column) is None))
    ]


def check_rows(rows: Rows, profile: Profile, expected: Expectations) -> list[DataFinding]:
    """Return what the rows say against the expectations that the profile leaves open."""
    findings: list[DataFinding] = []
    for name in list_open(profile, expected):
        column, wanted = profile.find(name), expected[name]
        if column is None or name not in rows.plain_columns:
            continue
        if wanted.categories and _values(column) is None:
            told = f"none but {show_values([str(value) for value in wanted.categories])}"
            findings.extend(_count_odd(rows, column, _is_allowed(column, wanted), "values that are not allowed", told))
        if wanted.pattern:
            matches = column_of(name).cast(pl.String).str.contains(f"^(?:{wanted.pattern})$")
            findings.extend(_count_odd(rows, column, matches, "values of another shape", f"all like {wanted.pattern}"))
        if _is_unsure(profile, column, wanted):
            findings.extend(_check_unique(rows, column))
    return findings


def _check_profile(column: ColumnProfile, wanted: ExpectationTable) -> Iterator[DataFinding]:
    name = column.name
    if wanted.missing_share is not None and column.missing_share > wanted.missing_share:
        share = show_share(column.missing, column.rows)
        message = f"column {name!r} is missing in {share} rows, more than the {wanted.missing_share:.1%} expected"
        yield _finding(name, message, f"at most {wanted.missing_share:.1%} missing", f"missing in {share}")
    if count_present(column) == 0:
        return
    if wanted.kind and column.kind not in _ALLOWED.get(wanted.kind, {Kind(wanted.kind)}):
        message = f"column {name!r} is expected to hold {wanted.kind} and holds {describe(column)}"
        yield _finding(name, message, wanted.kind, describe(column))
        return
    yield from _check_range(column, wanted)
    values = _values(column)
    if wanted.categories and values is not None:
        allowed = {str(value) for value in wanted.categories}
        odd = [value for value in values if value not in allowed]
        if odd:
            told = f"none but {show_values([str(value) for value in wanted.categories])}"
            message = f"column {name!r} has values that are not allowed: {show_values(odd)}"
            yield _finding(name, message, told, show_values(list(values)))


def _check_range(column: ColumnProfile, wanted: ExpectationTable) -> Iterator[DataFinding]:
    name = column.name
    if wanted.minimum is not None and column.minimum is not None and column.minimum < wanted.minimum:
        least, limit = show_number(column.minimum), show_number(wanted.minimum)
        message = f"column {name!r} has values down to {least}, below the {limit} expected"
        yield _finding(name, message, f"at least {limit}", f"down to {least}")
    if wanted.maximum is not None and column.maximum is not None and column.maximum > wanted.maximum:
        most, limit = show_number(column.maximum), show_number(wanted.maximum)
        message = f"column {name!r} has values up to {most}, above the {limit} expected"
        yield _finding(name, message, f"at most {limit}", f"up to {most}")


def _values(column: ColumnProfile) -> tuple[str, ...] | None:
    """Return all values of a column as text; None: the profile does not list them all."""
    if column.kind.is_numeric:
        codes = list_codes(column) if column.is_exact else ()
        return tuple(f"{code:.15g}" for code in codes) or None
    if not column.categories or column.distinct > len(column.categories):
        return None
    return tuple(name for name, count in zip(column.categories, column.counts, strict=False) if count)


def _is_unsure(profile: Profile, column: ColumnProfile, wanted: ExpectationTable) -> bool:
    return wanted.unique and not is_surely_unique(profile, (column.name,))


def _is_allowed(column: ColumnProfile, wanted: ExpectationTable) -> pl.Expr:
    values = column_of(column.name)
    if column.kind.is_numeric:
        numbers = [float(value) for value in wanted.categories if _is_number(value)]
        return values.cast(pl.Float64).is_in(numbers)
    return values.cast(pl.String).is_in([str(value) for value in wanted.categories])


def _is_number(value: str | int) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _count_odd(rows: Rows, column: ColumnProfile, is_fine: pl.Expr, what: str, before: str) -> Iterator[DataFinding]:
    n_odd, shown = 0, dict[str, None]()
    for batch in rows.batches([column.name]):
        try:
            odd = batch.filter(column_of(column.name).is_not_null() & ~is_fine)[column.name]
        except pl.exceptions.ComputeError as error:
            raise InvalidError(
                f"column {column.name!r}: the pattern cannot be used: {str(error).splitlines()[0]}",
                hint="write it without looking around and back references",
                field=f"columns.{column.name}.pattern",
            ) from error
        n_odd += len(odd)
        if len(shown) < _SHOWN:
            shown |= dict.fromkeys(map(str, odd.unique(maintain_order=True).head(_SHOWN)))
    if n_odd:
        share, examples = show_share(n_odd, count_present(column)), show_values(list(shown)[:_SHOWN])
        yield _finding(column.name, f"column {column.name!r} has {what} in {share} rows: {examples}", before, examples)


def _check_unique(rows: Rows, column: ColumnProfile) -> Iterator[DataFinding]:
    found = count_repeats(rows, [column.name], column.rows)
    # what is missing is no value that comes twice
    n_repeated = found.repeated - max(found.missing - 1, 0)
    if n_repeated:
        share = show_share(n_repeated, count_present(column))
        message = f"column {column.name!r} is expected to be unique and repeats {', '.join(found.examples)} in {share}"
        yield _finding(column.name, f"{message} rows", "each value once", f"{n_repeated:,} repeated")


def _finding(column: str, message: str, before: str, after: str) -> DataFinding:
    return DataFinding(column=column, rule="expectation", severity="block", message=message, before=before, after=after)
