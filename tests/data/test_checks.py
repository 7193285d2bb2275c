"""The data checks find what they are for and name the column, before and after."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from petla.core.project import CheckTable
from petla.data.checks import DataFinding, check_profile
from petla.data.profile.profiles import profile_frame

ROWS = 2_000
LIMITS = CheckTable()

Change = Callable[[pl.DataFrame], pl.DataFrame]


def make_rows(seed: int, n_rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    shares = [0.5, 0.3, 0.2]
    return pl.DataFrame(
        {
            "grade": rng.choice([0, 1, 2], n_rows, p=shares),
            "carrier": rng.choice(["AA", "UA", "DL"], n_rows, p=shares),
            "distance_km": rng.lognormal(6.8, 0.6, n_rows),
            "temperature_f": rng.normal(37, 10, n_rows),
            "rain_mm": np.where(rng.random(n_rows) < 0.9, 0.0, rng.lognormal(0, 1, n_rows)),
            "minutes": rng.integers(300, 1440, n_rows),
            "is_late": rng.random(n_rows) < 0.24,
            "tail": [f"N{number}" for number in rng.integers(0, 10**6, n_rows)],
        }
    )


def _check(change: Change, limits: CheckTable = LIMITS, n_rows: int = ROWS) -> list[DataFinding]:
    return list(check_profile(profile_frame(change(make_rows(1, n_rows))), profile_frame(make_rows(0, n_rows)), limits))


def _map(column: str, mapping: dict[object, object], rows: slice = slice(None)) -> Change:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[rows] = [mapping.get(value, value) for value in values[rows]]
        mixed = len({type(value) for value in values}) > 1
        return frame.with_columns(pl.Series(column, [str(v) for v in values] if mixed else values))

    return change


def _scale(column: str, factor: float, offset: float = 0.0) -> Change:
    return lambda frame: frame.with_columns(pl.col(column) * factor + offset)


def _set(column: str, expression: pl.Expr) -> Change:
    return lambda frame: frame.with_columns(expression.alias(column))


def _hide(column: str, share: float) -> Change:
    return lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) < share * pl.len()).then(None).otherwise(pl.col(column)).alias(column)
    )


LETTERS: dict[object, object] = {0: "A", 1: "B", 2: "C"}
HALF = slice(0, ROWS // 2)
FIFTY = pl.concat_str(pl.lit("c"), (pl.int_range(pl.len()) % 50).cast(pl.String))

BLOCKED: dict[str, tuple[Change, str, str]] = {
    "codes become letters": (_map("grade", LETTERS), "grade", "recoded"),
    "half of the codes become letters": (_map("grade", LETTERS, HALF), "grade", "recoded"),
    "letters become codes": (_map("carrier", {"AA": 0, "UA": 1, "DL": 2}), "carrier", "recoded"),
    "codes become tens": (_map("grade", {0: 0, 1: 10, 2: 20}), "grade", "scale"),
    "letters become others": (_map("carrier", {"AA": "A", "UA": "B", "DL": "C"}), "carrier", "recoded"),
    "one letter becomes another": (_map("carrier", {"DL": "Delta"}), "carrier", "recoded"),
    "part of one letter becomes another": (_map("carrier", {"DL": "Delta"}, slice(0, 700)), "carrier", "recoded"),
    "case changes": (_map("carrier", {"AA": "aa", "UA": "ua", "DL": "dl"}), "carrier", "recoded"),
    "case changes in a few rows": (_map("carrier", {"AA": "aa "}, slice(0, 100)), "carrier", "recoded"),
    "kilometres become metres": (_scale("distance_km", 1000), "distance_km", "scale"),
    "kilometres become miles": (_scale("distance_km", 1 / 1.609344), "distance_km", "scale"),
    "a hundredfold": (_scale("minutes", 100), "minutes", "scale"),
    "a thousandth": (_scale("distance_km", 0.001), "distance_km", "scale"),
    "Fahrenheit becomes Celsius": (_scale("temperature_f", 5 / 9, -160 / 9), "temperature_f", "scale"),
    "millimetres become micrometres": (_scale("rain_mm", 1000), "rain_mm", "scale"),
    "all zeros": (_scale("distance_km", 0), "distance_km", "constant"),
    "constant": (_set("minutes", pl.lit(600)), "minutes", "constant"),
    "constant category": (_set("carrier", pl.lit("AA")), "carrier", "constant"),
    "constant flag": (_set("is_late", pl.lit(False)), "is_late", "constant"),
    "3 categories become 50": (_set("carrier", FIFTY), "carrier", "explosion"),
    "categories become free text": (_set("carrier", pl.col("tail")), "carrier", "explosion"),
    "missing values rise": (_hide("distance_km", 0.3), "distance_km", "missing_values"),
    "everything is missing": (_hide("carrier", 1), "carrier", "missing_values"),
    "column is gone": (lambda frame: frame.drop("minutes"), "minutes", "missing_column"),
    "column is extra": (_set("leak", pl.col("is_late")), "leak", "extra_column"),
    "numbers become text": (_set("distance_km", pl.col("distance_km").cast(pl.String) + " km"), "distance_km", "kind"),
    "numbers become times": (_set("minutes", pl.col("minutes").cast(pl.Datetime)), "minutes", "kind"),
    "flags become text": (
        _set("is_late", pl.col("is_late").cast(pl.String)),
        "is_late",
        "recoded",
    ),
    "no rows": (lambda frame: frame.head(0), "", "empty"),
}


@pytest.mark.parametrize(("change", "column", "rule"), BLOCKED.values(), ids=BLOCKED)
def test_change_is_blocked_and_named(change: Change, column: str, rule: str) -> None:
    findings = _check(change)

    blocking = [finding for finding in findings if finding.severity == "block"]
    assert [(finding.column, finding.rule) for finding in blocking] == [(column, rule)]
    assert repr(column) in blocking[0].message or not column
    assert blocking[0].before
    assert blocking[0].after
    assert {finding.column for finding in findings} == {column}


ALLOWED: dict[str, tuple[Change, str]] = {
    "nothing": (lambda frame: frame, ""),
    "other order of rows and columns": (lambda frame: frame.reverse().select(reversed(frame.columns)), ""),
    "half of the rows": (lambda frame: frame.head(ROWS // 2), ""),
    "a warmer season": (_scale("temperature_f", 0.9, 38.7), "shift"),
    "whole numbers as floats": (_set("minutes", pl.col("minutes").cast(pl.Float64)), ""),
    "a new category in some rows": (_map("carrier", {"AA": "B6", "DL": "B6"}, slice(0, 120)), "unseen"),
    "a category that went away": (lambda frame: frame.filter(pl.col("carrier") != "DL"), "vanished"),
    "other codes": (_map("grade", {0: 1, 1: 2, 2: 3}), "unseen"),
    "a few more missing values": (_hide("distance_km", 0.11), "missing_values"),
    "a moderate spread": (_scale("distance_km", 2.0), "scale"),
}


@pytest.mark.parametrize(("change", "rule"), ALLOWED.values(), ids=ALLOWED)
def test_change_is_at_most_a_warning(change: Change, rule: str) -> None:
    findings = _check(change)

    assert {finding.rule for finding in findings} == ({rule} if rule else set())
    assert {finding.severity for finding in findings} <= {"warn"}


def test_message_says_before_and_after_in_words() -> None:
    recoded = _check(_map("grade", LETTERS))[0]
    converted = _check(_scale("temperature_f", 5 / 9, -160 / 9))[0]
    larger = _check(_scale("distance_km", 1000))[0]

    assert recoded.message == "column 'grade' held whole numbers and holds text now: it looks re-coded"
    assert (recoded.before, recoded.after) == ("whole numbers: 0, 1, 2", "text: 'A', 'B', 'C'")
    assert converted.message == "column 'temperature_f' looks converted, as from Fahrenheit to Celsius"
    assert larger.message.startswith("column 'distance_km' is about 1,000 times larger")
    assert larger.before.startswith("half of the values between 598.5 and 1,362")


def test_faults_in_several_columns_are_reported_together() -> None:
    findings = _check(lambda frame: _scale("distance_km", 1000)(frame).drop("tail").with_columns(grade=pl.lit(0)))

    assert [(f.column, f.rule) for f in findings] == [
        ("grade", "constant"),
        ("distance_km", "scale"),
        ("tail", "missing_column"),
    ]


def test_limits_come_from_the_project_file() -> None:
    doubled, ignored = _scale("minutes", 4), CheckTable(ignore=("minutes",))

    assert _check(doubled)[0].severity == "block"
    assert not _check(doubled, ignored)
    assert not [f for f in _check(doubled, CheckTable(scale_factor=5)) if f.severity == "block"]
    assert not _check(lambda frame: frame.drop("minutes"), ignored)
    assert not [f for f in _check(_hide("grade", 0.3), CheckTable(missing_rise=0.4)) if f.severity == "block"]


def test_few_rows_are_judged_for_columns_and_kinds_only() -> None:
    assert not _check(_scale("distance_km", 1000), n_rows=50)
    assert _check(_map("grade", LETTERS, slice(0, 50)), n_rows=50)[0].rule == "recoded"
    assert [f.severity for f in _check(_scale("distance_km", 0), n_rows=50)] == ["warn"]


def test_row_numbers_may_grow_with_the_table() -> None:
    short, long = (profile_frame(pl.DataFrame({"id": range(n)})) for n in (500, 50_000))

    assert check_profile(long, short, LIMITS) == ()


def test_column_that_was_empty_is_no_reference() -> None:
    empty = profile_frame(pl.DataFrame({"x": pl.Series([None] * ROWS, dtype=pl.Float64)}))
    filled = profile_frame(pl.DataFrame({"x": ["a"] * ROWS}))

    assert check_profile(filled, empty, LIMITS) == ()
    assert check_profile(empty, empty, LIMITS) == ()
