"""Profiles of large tables: close to those of the whole, whatever the parts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from petla.data.profile.columns import Kind, Profile
from petla.data.profile.profiles import profile_frame
from petla.data.profile.streaming import TableSketch, profile_path

N_ROWS = 200_000


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    draw = np.random.default_rng(3)
    town = draw.choice(["Łódź", "Kraków", "n/a"], N_ROWS, p=[0.6, 0.399, 0.001])
    times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 12, 31), "1m", eager=True)[:N_ROWS]
    return pl.DataFrame(
        {
            "id": np.arange(N_ROWS),
            "amount": pl.Series(draw.gamma(2, 50, N_ROWS)).set(pl.Series(draw.random(N_ROWS) < 0.1), None),
            "mark": np.where(draw.random(N_ROWS) < 0.02, 9999, draw.integers(0, 100, N_ROWS)),
            "town": town,
            "text": [f"Flight {number:06}" for number in range(N_ROWS)],
            "flag": draw.random(N_ROWS) < 0.3,
            "at": times,
        }
    )


def sketch(frame: pl.DataFrame, n_parts: int, exact_cells: int) -> Profile:
    """Profile parts on their own, each in batches, and merge them."""
    total = TableSketch(exact_cells=exact_cells)
    size = -(-frame.height // n_parts)
    for start in range(0, frame.height, size):
        part = TableSketch(exact_cells=exact_cells)
        for batch in frame.slice(start, size).iter_slices(17_000):
            part.update(batch)
        total.merge(part)
    return total.finish()


@pytest.mark.parametrize("n_parts", [1, 4])
def test_small_enough_is_exact(frame: pl.DataFrame, n_parts: int) -> None:
    assert sketch(frame, n_parts, exact_cells=10_000_000) == profile_frame(frame)


@pytest.mark.parametrize("n_parts", [1, 3, 7])
def test_large_is_close_and_what_is_counted_is_exact(frame: pl.DataFrame, n_parts: int) -> None:
    exact, close = profile_frame(frame), sketch(frame, n_parts, exact_cells=200_000)

    assert close.rows == exact.rows
    for column, near in zip(exact.columns, close.columns, strict=True):
        assert (near.name, near.kind, near.missing) == (column.name, column.kind, column.missing)
        assert (near.minimum, near.maximum) == (column.minimum, column.maximum)
        assert near.mean == pytest.approx(column.mean)
        assert near.sd == pytest.approx(column.sd)
        assert near.distinct == pytest.approx(column.distinct, rel=0.03)
        assert sum(near.counts) == sum(column.counts) == N_ROWS
        assert not near.is_exact
        if not column.kind.is_numeric:
            assert (near.categories, near.counts) == (column.categories, column.counts)
        assert (near.length_minimum, near.length_maximum) == (column.length_minimum, column.length_maximum)
        assert (near.blanks, near.damaged) == (column.blanks, column.damaged)
        assert (near.earliest, near.latest, near.hours) == (column.earliest, column.latest, column.hours)
        assert (near.backward, near.step_maximum_s) == (column.backward, column.step_maximum_s)
    amounts = frame["amount"].drop_nulls().sort().to_numpy()
    near_amount = close.find("amount")
    assert near_amount is not None
    ranks = np.searchsorted(amounts, near_amount.quantiles) / amounts.size
    assert np.abs(ranks - np.linspace(0, 1, 21)).max() < 0.015
    top = dict(close.find("mark").top)  # type: ignore[union-attr]
    assert top[9999.0] == pytest.approx(4_000, rel=0.15)


def test_what_texts_and_times_are_like() -> None:
    words = ["n/a", "B744", "a321", "Å‚Ã³dÅº", "  unknown ", None]  # noqa: RUF001
    times = pl.Series(["2024-01-01T10:00", "2024-01-01T11:00", "2024-01-01T10:30", "2024-01-03T00:00", None, None])
    profile = profile_frame(pl.DataFrame({"word": words, "at": times.str.to_datetime()}))

    word, at = profile.columns
    assert (word.length_minimum, word.length_maximum) == (3, 10)
    assert word.blanks == (("  unknown ", 1), ("n/a", 1))
    assert word.damaged == 1
    assert dict(word.patterns)["A9"] == 1
    assert (at.earliest, at.latest) == ("2024-01-01T10:00:00", "2024-01-03T00:00:00")
    assert (at.backward, at.step_maximum_s, at.step_median_s) == (1, 37.5 * 3600, 3600)
    assert (at.hours[0], at.hours[10], at.hours[11]) == (1, 2, 1)


def test_repeated_rows_are_counted(frame: pl.DataFrame) -> None:
    twice = pl.concat([frame, frame.head(50_000)])

    assert profile_frame(twice).duplicates == 50_000
    assert sketch(twice, 2, exact_cells=10_000).duplicates == pytest.approx(50_000, rel=0.05)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "arrow"])
def test_file_gives_the_profile_of_its_rows(tmp_path: Path, frame: pl.DataFrame, suffix: str) -> None:
    few = frame.head(5_000).drop("at")
    writers = {"csv": few.write_csv, "parquet": few.write_parquet, "jsonl": few.write_ndjson, "arrow": few.write_ipc}
    writers[suffix](tmp_path / f"t.{suffix}")  # type: ignore[operator]

    profile = profile_path(tmp_path / f"t.{suffix}")

    assert profile is not None
    assert (profile.rows, profile.flaws) == (5_000, ())
    assert profile.find("amount") == profile_frame(few).find("amount")
    assert profile.separator == ("," if suffix == "csv" else "")


def test_late_surprise_in_a_csv_changes_the_kind(tmp_path: Path) -> None:
    rows = [f"{n},x" for n in range(150_000)] + ["many,x"]
    (tmp_path / "t.csv").write_text("\n".join(["n,word", *rows, ""]))

    profile = profile_path(tmp_path / "t.csv")

    assert profile is not None
    assert [column.kind for column in profile.columns] == [Kind.TEXT, Kind.CATEGORY]
    assert profile.rows == 150_001


def test_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    pl.DataFrame({"n": [1, 2]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"n": [0.5]}).write_parquet(tmp_path / "2.parquet")
    (tmp_path / "_SUCCESS").write_text("")

    profile = profile_path(tmp_path)

    assert profile is not None
    assert (profile.rows, profile.columns[0].kind) == (3, Kind.NUMBER)


def test_images_are_measured(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    sharp = draw.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    (tmp_path / "cats").mkdir()
    Image.fromarray(sharp).save(tmp_path / "cats" / "a b.png")
    Image.fromarray(np.full((30, 30), 10, dtype=np.uint8)).save(tmp_path / "dark.jpg")
    (tmp_path / "torn.png").write_bytes((tmp_path / "cats" / "a b.png").read_bytes()[:200])
    (tmp_path / "text.gif").write_text("no image")

    profile = profile_path(tmp_path)

    assert profile is not None
    assert (profile.of, profile.rows) == ("images", 2)
    assert sorted(flaw.path for flaw in profile.flaws) == ["text.gif", "torn.png"]
    columns = {column.name: column for column in profile.columns}
    assert (columns["width"].minimum, columns["width"].maximum) == (30, 60)
    assert columns["channels"].maximum == 3
    assert columns["format"].categories == ("JPEG", "PNG")
    assert columns["brightness"].minimum == pytest.approx(10, abs=1)
    assert columns["sharpness"].minimum == 0.0
    assert (columns["sharpness"].maximum or 0) > 1000


def test_cut_off_file_is_a_flaw(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3")

    profile = profile_path(tmp_path / "t.csv")

    assert profile is not None
    assert "cut off" in profile.flaws[0].what
