"""What people do to real columns is blocked, and named with the column, before and after."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from petla.core.project import CheckTable
from petla.data.checks import check_profile
from petla.data.profile.columns import Flaw
from petla.data.profile.profiles import profile_frame
from tests.data.checks.tables import LIMITS, compare, draw_flights, load_flights, load_penguins

Change = Callable[[pl.DataFrame], pl.DataFrame]


def in_part(share: float, column: str, expression: pl.Expr) -> Change:
    """Change a column in rows spread evenly over the table."""
    every = round(1 / share)
    is_hit = pl.int_range(pl.len()) % every == 0
    return lambda frame: frame.with_columns(pl.when(is_hit).then(expression).otherwise(pl.col(column)).alias(column))


def put(column: str, expression: pl.Expr) -> Change:
    return lambda frame: frame.with_columns(expression.alias(column))


def swap(a: str, b: str) -> Change:
    return lambda frame: frame.with_columns(pl.col(b).alias(a), pl.col(a).alias(b))


def turn_back(every: int) -> Change:
    is_hit = pl.int_range(pl.len()) % every == 5
    earlier = pl.col("scheduled") - pl.duration(days=2)
    return put("scheduled", pl.when(is_hit).then(earlier).otherwise(pl.col("scheduled")))


def leave_out_june(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("scheduled").dt.month() != 6)


MOJIBAKE = pl.col("destination") + "MÃ¼nchen"
BLOCKED: dict[str, tuple[Change, str, str, str]] = {
    "-1 for nothing": (in_part(0.1, "wind_speed_knots", pl.lit(-1.0)), "wind_speed_knots", "missing_marks", "-1 in 1"),
    "9999 for nothing": (in_part(0.05, "pressure_hpa", pl.lit(9999.0)), "pressure_hpa", "missing_marks", "9,999 in 5"),
    "0 for nothing": (in_part(0.1, "pressure_hpa", pl.lit(0.0)), "pressure_hpa", "missing_marks", "0 in 10"),
    "-1 in a few rows": (
        in_part(0.02, "wind_speed_knots", pl.lit(-1.0)),
        "wind_speed_knots",
        "missing_marks",
        "-1 in 2",
    ),
    "0 near the others": (in_part(0.3, "distance_miles", pl.lit(0.0)), "distance_miles", "missing_marks", "0 in 3"),
    "-999 for nothing": (in_part(0.5, "temperature_f", pl.lit(-999)), "temperature_f", "missing_marks", "-999 in 50"),
    "a word for nothing": (in_part(0.1, "carrier", pl.lit("n/a")), "carrier", "missing_marks", "'n/a' in 10"),
    "a word among numbers": (
        lambda f: in_part(0.1, "pressure_hpa", pl.lit("unknown"))(
            f.with_columns(pl.col("pressure_hpa").cast(pl.String))
        ),
        "pressure_hpa",
        "missing_marks",
        "'unknown' in 10",
    ),
    "all zeros": (put("distance_miles", pl.lit(0.0)), "distance_miles", "constant", "is 0 in all 2,000 rows"),
    "point shifted right": (
        in_part(0.1, "distance_miles", pl.col("distance_miles") * 100),
        "distance_miles",
        "decimal",
        "100 times larger in about 9%",
    ),
    "point shifted left in half of the rows": (
        in_part(0.5, "pressure_hpa", pl.col("pressure_hpa") / 10),
        "pressure_hpa",
        "decimal",
        "10 times smaller in about 50%",
    ),
    "thousands in a quarter of the rows": (
        in_part(0.25, "departure_minute", pl.col("departure_minute") * 1000),
        "departure_minute",
        "decimal",
        "1,000 times larger in about 2",
    ),
    "point shifted in all rows": (
        put("distance_miles", pl.col("distance_miles") * 10),
        "distance_miles",
        "scale",
        "10 times larger",
    ),
    "numbers swapped": (
        swap("pressure_hpa", "temperature_f"),
        "temperature_f",
        "swapped",
        "'temperature_f' and 'pressure_hpa' look swapped",
    ),
    "texts swapped": (swap("carrier", "origin"), "carrier", "swapped", "'carrier' and 'origin' look swapped"),
    "number and text swapped": (swap("origin", "humidity_percent"), "origin", "swapped", "'origin' and 'humidity_perc"),
    "clock goes back": (turn_back(20), "scheduled", "time_backward", "backward in time in 5.0% (100 of 2,000) rows"),
    "a month is gone": (leave_out_june, "scheduled", "time_gap", "has a gap of 3"),
    "times in UTC": (
        put("scheduled", pl.col("scheduled").dt.convert_time_zone("Asia/Tokyo")),
        "scheduled",
        "time_zone",
        "hours earlier in the day",
    ),
    "one moment in all rows": (
        put("scheduled", pl.col("scheduled").first()),
        "scheduled",
        "constant",
        "is 2013-01-01T",
    ),
    "wrong encoding": (in_part(0.1, "destination", MOJIBAKE), "destination", "encoding", "damaged by a wrong encoding"),
    "case of free text": (put("flight", pl.col("flight").str.to_lowercase()), "flight", "recoded", "'A9' is now 'a9'"),
    "case of a part of free text": (
        in_part(0.2, "flight", pl.col("flight").str.to_lowercase()),
        "flight",
        "recoded",
        "'A9' is now 'a9'",
    ),
    "case of a part of categories": (
        in_part(0.05, "carrier", pl.col("carrier").str.to_lowercase()),
        "carrier",
        "recoded",
        "'UA' is now 'ua'",
    ),
    "rows repeat": (lambda f: pl.concat([f, f.head(400)]), "", "duplicates", "16.7% (400 of 2,400)"),
}


def with_flight_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(flight=pl.col("carrier") + (pl.int_range(pl.len()) * 7).cast(pl.String))


@pytest.mark.parametrize(("change", "column", "rule", "words"), BLOCKED.values(), ids=BLOCKED)
def test_change_of_real_flights_is_blocked_and_named(change: Change, column: str, rule: str, words: str) -> None:
    fresh, reference = map(with_flight_numbers, draw_flights())

    found = compare(change(fresh), reference)

    blocking = [finding for finding in found if finding.severity == "block"]
    assert [(finding.column, finding.rule) for finding in blocking] == [(column, rule)], found
    assert repr(column) in blocking[0].message or not column
    assert words in blocking[0].message
    assert blocking[0].before
    assert blocking[0].before != blocking[0].after


@pytest.mark.parametrize("rows", [slice(None), slice(0, 120), slice(None, None, 4)])
def test_numbers_for_species_and_letters_for_numbers_are_recoded(rows: slice) -> None:
    penguins = load_penguins().sample(fraction=1, shuffle=True, seed=1)
    codes = penguins["species"].replace({"Adelie": "0", "Chinstrap": "1", "Gentoo": "2"}).to_list()
    mixed = penguins["species"].to_list()
    mixed[rows] = codes[rows]
    fresh = penguins.with_columns(species=pl.Series(mixed))

    (there,), (back,) = compare(fresh, penguins), compare(penguins, penguins.with_columns(species=pl.Series(codes)))

    assert (there.column, there.rule, there.severity) == ("species", "recoded", "block")
    assert (back.column, back.rule, back.severity) == ("species", "recoded", "block")


def test_two_penguin_measures_swapped_are_one_finding() -> None:
    penguins = load_penguins()

    (found,) = compare(swap("bill_length_mm", "flipper_length_mm")(penguins), penguins)

    assert found.rule == "swapped"
    assert "bill_length_mm: half of the values between 190 and 213" in found.after.replace("numbers: ", "").replace(
        "whole ", ""
    )


def test_times_in_summer_time_only_warn() -> None:
    fresh, reference = draw_flights(20_000)
    later = fresh.with_columns(pl.col("scheduled") + pl.duration(hours=1))

    assert {(f.rule, f.severity) for f in compare(later, reference)} <= {("time_zone", "warn")}


def test_short_gap_and_few_steps_back_warn() -> None:
    hourly = (
        pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 6, 1), "1h", eager=True).alias("at").to_frame()
    )
    is_gone = pl.col("at").is_between(pl.datetime(2024, 3, 1, 1), pl.datetime(2024, 3, 2, 2))
    back = hourly.with_columns(
        at=pl.when(pl.int_range(pl.len()) % 500 == 99).then(pl.col("at") - pl.duration(days=1)).otherwise("at")
    )

    (gap,) = compare(hourly.filter(~is_gone), hourly)
    steps = compare(back, hourly)

    assert (gap.rule, gap.before) == ("time_gap", "at most 60 minutes from one row to the next")
    assert "1.12 days" in gap.message
    assert ("time_backward", "warn") in {(f.rule, f.severity) for f in steps}


def test_day_that_stands_for_nothing_is_named() -> None:
    fresh, reference = draw_flights()
    no_day = pl.datetime(1970, 1, 1, time_unit="ms", time_zone="America/New_York")

    found = compare(in_part(0.1, "scheduled", no_day)(fresh), reference)

    assert ("scheduled", "missing_marks", "warn") in {(f.column, f.rule, f.severity) for f in found}
    assert any("1970-01-01" in f.message for f in found)


def test_file_that_was_cut_off_is_named() -> None:
    profile = profile_frame(load_penguins())
    flaw = Flaw("part-3.csv", "its last line has 2 of 6 fields and no end: the file looks cut off")
    cut = type(profile)(rows=profile.rows, columns=profile.columns, duplicates=0, flaws=(flaw,))

    (found,) = check_profile(cut, profile, LIMITS)

    assert (found.rule, found.severity) == ("truncated", "block")
    assert "part-3.csv: its last line has 2 of 6 fields" in found.message
    assert check_profile(cut, cut, LIMITS) == ()


def test_limits_of_the_project_file_let_pass() -> None:
    fresh, reference = draw_flights()
    marked = in_part(0.1, "pressure_hpa", pl.lit(9999.0))(fresh)

    assert compare(marked, reference)
    assert not [f for f in compare(marked, reference, CheckTable(mark_share=0.2)) if f.rule == "missing_marks"]
    assert not compare(turn_back(20)(fresh), reference, CheckTable(ignore=("scheduled",)))
    assert not compare(pl.concat([fresh, fresh.head(400)]), reference, CheckTable(duplicate_rise=0.5))


def test_hot_summer_has_no_mark_of_missing_values() -> None:
    winter, summer = (load_flights().filter(pl.col("scheduled").dt.month() == month) for month in (1, 7))

    assert not [f for f in compare(summer, winter) if f.rule in ("missing_marks", "decimal", "swapped", "time_gap")]


def test_calm_weeks_have_no_mark_of_missing_wind() -> None:
    weeks = load_flights().group_by(pl.col("scheduled").dt.ordinal_day() // 7, maintain_order=True)
    profiles = [profile_frame(week.select("wind_speed_knots", "wind_from_degrees")) for _, week in weeks]

    found = [f for a, b in pairwise(profiles) for f in check_profile(b, a, LIMITS) if f.rule == "missing_marks"]

    assert {finding.severity for finding in found} == {"warn"}


def test_reversed_and_shuffled_rows_are_no_clock_that_goes_back() -> None:
    fresh, reference = draw_flights()
    order = np.random.default_rng(3).permutation(fresh.height)

    assert compare(fresh.reverse(), reference) == []
    assert compare(fresh[order], reference) == []
