"""What only the rows can tell: keys, leakage, rows that two datasets share."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from petla.core.project import CheckTable
from petla.data.profile.profiles import profile_frame
from petla.data.rules.finding import DataFinding
from petla.data.rules.rows import scanning
from petla.data.rules.rows.keys import check_key
from petla.data.rules.rows.leakage import find_leaks, list_suspects, tell_leaks
from petla.data.rules.rows.overlap import check_overlap
from petla.data.rules.rows.scanning import Rows, hash_canonical
from tests.data.checks.tables import LIMITS, draw_flights, load_flights, load_penguins


def keep(path: Path, frame: pl.DataFrame, parts: int = 1) -> Rows:
    """Write a table, as one file or as a folder of several."""
    if parts == 1:
        frame.write_parquet(path)
        return Rows(path)
    path.mkdir()
    for number, part in enumerate(frame.iter_slices(frame.height // parts + 1)):
        part.write_parquet(path / f"{number}.parquet")
    return Rows(path)


def find_keys(rows: Rows, frame: pl.DataFrame, *key: str) -> list[DataFinding]:
    return check_key(rows, profile_frame(frame), key)


def test_repeated_and_missing_keys_are_counted_and_shown(tmp_path: Path) -> None:
    flights = draw_flights()[0].with_row_index("id")
    broken = pl.concat([flights, flights[10:13]]).with_columns(
        id=pl.when(pl.int_range(pl.len()) == 99).then(None).otherwise("id")
    )

    repeated, missing = find_keys(keep(tmp_path / "rows.parquet", broken), broken, "id")

    assert (repeated.column, repeated.rule, repeated.severity) == ("id", "key", "block")
    assert repeated.message == "the key 'id' is not unique: 0.1% (3 of 2,003) rows repeat one, such as 10, 11, 12"
    assert missing.message == "the key 'id' is missing in 0.0% (1 of 2,003) rows"


def test_key_of_two_columns_over_several_files_is_found_in_any_number_of_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flights = draw_flights()[0].with_row_index("id").with_columns(half=pl.col("id") % 2, number=pl.col("id") // 2)
    whole, twice = keep(tmp_path / "whole", flights, parts=2), pl.concat([flights, flights[7:8]])
    broken = keep(tmp_path / "broken", twice, parts=2)

    for hashes in (10**6, 1_500):
        monkeypatch.setattr(scanning, "_HASHES", hashes)

        assert find_keys(whole, flights, "half", "number") == []
        (found,) = find_keys(broken, twice, "half", "number")
        assert found.message.startswith("the key 'half' + 'number' is not unique: 0.0% (1 of 2,001) rows")


def test_long_numbers_and_lost_columns_in_keys(tmp_path: Path) -> None:
    long = pl.DataFrame({"id": [2**60 + number for number in range(200)], "shop": [1, 2] * 100})
    rows = keep(tmp_path / "rows.parquet", long)

    assert find_keys(rows, long, "id") == []
    assert find_keys(rows, long, "id", "shop") == []
    assert find_keys(rows, long, "number")[0].message == "column 'number' of the key 'number' is not there"


LATE = pl.col("late")
LEAKS = {
    "the label itself": LATE,
    "its opposite": ~LATE,
    "as words": pl.when(LATE).then(pl.lit("yes")).otherwise(pl.lit("no")),
    "as numbers": LATE.cast(pl.Int8) * 7 + 1,
    "but for one row in a thousand": LATE ^ (pl.int_range(pl.len()) % 1000 == 3),
}


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([2**63 + n for n in range(300)], dtype=pl.UInt64),
        pl.Series([2**70 - n for n in range(300)], dtype=pl.Int128),
        pl.Series([-(2**70) + n for n in range(300)], dtype=pl.Int128),
        pl.Series([1e19 * (n + 1) for n in range(300)], dtype=pl.Float64),
    ],
    ids=["beyond 2^63", "beyond 2^64", "below -2^63", "float"],
)
def test_keys_that_64_bits_do_not_hold_are_told_apart(ids: pl.Series) -> None:
    frame = pl.DataFrame({"id": ids})

    assert len(set(hash_canonical(frame).tolist())) == 300
    assert hash_canonical(frame).tolist() == hash_canonical(frame.reverse()).tolist()[::-1]


def test_key_is_the_same_in_whatever_integer_type_a_file_has_it() -> None:
    kinds = (pl.Int64, pl.UInt64, pl.Int128)
    small, long = [1, 2**60, None], [2**63 + 1, 2**63 + 2, None]

    narrow = {tuple(hash_canonical(pl.DataFrame({"id": pl.Series(small, dtype=kind)})).tolist()) for kind in kinds}
    wide = {tuple(hash_canonical(pl.DataFrame({"id": pl.Series(long, dtype=kind)})).tolist()) for kind in kinds[1:]}

    assert (len(narrow), len(wide)) == (1, 1)
    assert all(len(set(hashes)) == 3 for hashes in narrow | wide)


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_column_that_is_the_label_is_named(leak: pl.Expr, tmp_path: Path) -> None:
    flights, former = draw_flights(5_000)
    leaky = flights.with_columns(leak.alias("status"))

    suspects = list_suspects(profile_frame(leaky), "late")
    leaks = find_leaks(keep(tmp_path / "rows.parquet", leaky), "late", suspects)
    known = find_leaks(keep(tmp_path / "former.parquet", former), "late", leaks)

    (found,) = tell_leaks(leaks, known, "late", is_first=False)
    assert (found.column, found.rule, found.severity) == ("status", "leakage", "block")
    assert "column 'status' gives the label 'late' away" in found.message
    (first,) = tell_leaks(leaks, {}, "late", is_first=True)
    assert first.severity == "warn"
    assert tell_leaks(leaks, leaks, "late", is_first=False) == []


def test_quantity_and_species_that_are_told_are_named(tmp_path: Path) -> None:
    penguins = load_penguins().drop_nulls()
    leaky = penguins.with_columns(
        latin=pl.col("species") + " sp.",
        weight_lb=pl.col("body_mass_g") * 2.2046e-3,
        noise=pl.col("body_mass_g") // 100,
    )
    rows, profile = keep(tmp_path / "rows.parquet", leaky), profile_frame(leaky)

    assert set(find_leaks(rows, "species", list_suspects(profile, "species"))) == {"latin"}
    assert set(find_leaks(rows, "body_mass_g", list_suspects(profile, "body_mass_g"))) == {"weight_lb"}


@pytest.mark.parametrize("seed", range(3))
def test_honest_columns_are_no_leak(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    flights = draw_flights(1_000, seed)[0].with_columns(
        is_rare=pl.Series(rng.random(1_000) < 0.002),
        coin=pl.Series(rng.random(1_000) < 0.24),
        often=LATE & pl.Series(rng.random(1_000) < 0.95),
    )
    rare = flights.with_columns(late=pl.int_range(pl.len()) == 5, one=pl.int_range(pl.len()) == 5)

    for number, frame in enumerate((flights, rare)):
        rows = keep(tmp_path / f"{number}.parquet", frame)
        assert find_leaks(rows, "late", list_suspects(profile_frame(frame), "late")) == {}


def test_training_rows_in_the_holdout_are_counted(tmp_path: Path) -> None:
    training, holdout = draw_flights()
    leaking = pl.concat([training, holdout.head(60)])
    rows, other = (
        keep(tmp_path / "rows", leaking.drop("scheduled"), 2),
        keep(tmp_path / "o", holdout.drop("scheduled"), 2),
    )

    (found,) = check_overlap(rows, other, "holdout", 3_000, LIMITS)

    assert (found.rule, found.severity, found.after) == ("overlap", "block", "60 shared")
    assert found.message.startswith("2.9% (60 of 2,060) rows are in dataset 'holdout' as well")


def test_shared_keys_are_found_where_rows_differ(tmp_path: Path) -> None:
    training, holdout = (
        frame.with_row_index("id", offset) for frame, offset in zip(draw_flights(), (0, 1_990), strict=True)
    )
    rows, other = keep(tmp_path / "rows.parquet", training), keep(tmp_path / "other.parquet", holdout)

    (found,) = check_overlap(rows, other, "holdout", 3_000, CheckTable(key=("id",)))

    assert found.message.startswith("0.5% (10 of 2,000) keys are in dataset 'holdout' as well")


@pytest.mark.parametrize(("n_rows", "n_other"), [(100, 100), (100, 2_000), (2_000, 100), (20_000, 3_000)])
def test_clean_parts_that_repeat_rows_do_not_overlap(n_rows: int, n_other: int, tmp_path: Path) -> None:
    columns = ["carrier", "origin", "destination", "late"]
    for seed in range(5):
        flights = load_flights().sample(n_rows + n_other, seed=seed, shuffle=True).select(columns)
        rows = keep(tmp_path / f"{seed}.parquet", flights[:n_rows])
        other = keep(tmp_path / f"{seed}-other.parquet", flights[n_rows:])

        assert check_overlap(rows, other, "other", n_other, LIMITS) == []
