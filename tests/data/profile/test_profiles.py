"""Profiles against what NumPy and Polars say of the same columns, and counts along them."""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petla.data.profile.binning import count_values
from petla.data.profile.columns import ColumnProfile, Kind, Profile
from petla.data.profile.profiles import profile_frame, profile_numbers
from petla.monitoring.drift import psi

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
NUMBERS = st.lists(
    st.one_of(st.none(), FINITE, st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])), max_size=80
)


def _profile(name: str, values: pl.Series) -> ColumnProfile:
    column = profile_frame(values.rename(name).to_frame()).find(name)
    assert column is not None
    return column


def test_numbers_agree_with_numpy() -> None:
    values = np.random.default_rng(0).lognormal(size=10_000)

    column = _profile("x", pl.Series(values))

    assert column.kind is Kind.NUMBER
    assert (column.minimum, column.maximum) == (values.min(), values.max())
    assert column.mean == pytest.approx(values.mean())
    assert column.sd == pytest.approx(values.std())
    expected = np.quantile(values, np.linspace(0, 1, 21), method="nearest")
    assert column.quantiles == pytest.approx(expected.tolist())
    # 20 bins of 500; an edge is a value that occurs, and the rank of a quantile is rounded
    assert column.counts == pytest.approx([500] * 20 + [0], abs=1)


@pytest.mark.parametrize(
    ("values", "kind", "distinct", "missing"),
    [
        (pl.Series([1, 2, 2, None]), Kind.INTEGER, 2, 1),
        (pl.Series([1.0, math.nan, None]), Kind.NUMBER, 1, 2),
        (pl.Series([1, 2], dtype=pl.UInt8), Kind.INTEGER, 2, 0),
        (pl.Series(["1.5", "2.5"]).cast(pl.Decimal(10, 2)), Kind.NUMBER, 2, 0),
        (pl.Series([True, None, True]), Kind.BOOLEAN, 1, 1),
        (pl.Series(["a", "b", None, "a"]), Kind.CATEGORY, 2, 1),
        (pl.Series(["a", "b", "a"], dtype=pl.Categorical), Kind.CATEGORY, 2, 0),
        (pl.Series([f"name {i}" for i in range(100)]), Kind.TEXT, 100, 0),
        (pl.Series([datetime(2013, 1, 1, tzinfo=UTC), None]), Kind.TIMESTAMP, 1, 1),
        (pl.Series([[1], [2]]), Kind.TEXT, 2, 0),
        (pl.Series([None, None]), Kind.CATEGORY, 0, 2),
    ],
)
def test_kinds_distinct_and_missing(values: pl.Series, kind: Kind, distinct: int, missing: int) -> None:
    column = _profile("x", values)

    assert (column.kind, column.distinct, column.missing, column.rows) == (kind, distinct, missing, len(values))


def test_few_numbers_have_a_bin_each() -> None:
    column = _profile("x", pl.Series([1, 1, 2, 5]))

    assert column.counts == (0, 2, 1, 1, 0, 0)
    assert count_values(column, pl.Series([0, 1, 2, 3, 5, 6, None])).tolist() == [1, 1, 2, 1, 1, 1]


def test_constant_column_tells_its_value_from_any_other() -> None:
    column = _profile("x", pl.Series([5.0] * 10))

    assert count_values(column, pl.Series([4.0, 5.0, 5.1])).tolist() == [1, 1, 1, 0]


def test_column_without_values_has_no_statistics() -> None:
    column = _profile("x", pl.Series([None, math.nan], dtype=pl.Float64))

    assert (column.mean, column.quantiles, column.edges, column.counts) == (None, (), (), (0, 2))


def test_infinite_values_are_counted_and_not_averaged() -> None:
    column = _profile("x", pl.Series([math.inf, -math.inf, 1.0, 3.0]))

    assert (column.minimum, column.maximum, column.mean, column.missing) == (1.0, 3.0, 2.0, 0)
    assert sum(column.counts) == 4


def test_fifty_most_frequent_categories_are_kept_whatever_the_order_of_rows() -> None:
    words = [f"w{i:02}" for i in range(60) for _ in range(2 + i % 3)]
    shuffled = np.random.default_rng(0).permutation(words).tolist()

    column, again = _profile("x", pl.Series(words)), _profile("x", pl.Series(shuffled))

    assert column == again
    assert (len(column.categories), column.distinct, column.categories[0]) == (50, 60, "w02")
    assert sum(column.counts) == len(words)


def test_empty_table_has_empty_profile() -> None:
    assert profile_frame(pl.DataFrame()) == Profile(rows=0, columns=(), duplicates=0)
    assert profile_frame(pl.DataFrame({"x": [], "y": []})).rows == 0


def test_column_may_have_the_name_of_a_statistic() -> None:
    assert _profile("count", pl.Series(["a", "a"])).categories == ("a",)
    assert _profile("value", pl.Series(["a", "a"])).categories == ("a",)


@settings(deadline=None, max_examples=60)
@given(NUMBERS, NUMBERS)
def test_counts_keep_their_laws(first: list[float | None], second: list[float | None]) -> None:
    series = pl.Series("x", first, dtype=pl.Float64)
    more = pl.Series("x", second, dtype=pl.Float64)
    column = _profile("x", series)

    assert len(column.counts) == len(column.edges) + 2
    assert list(column.edges) == sorted(set(column.edges))
    assert count_values(column, series).tolist() == list(column.counts)
    both = count_values(column, pl.concat([series, more]))
    assert both.tolist() == (count_values(column, series) + count_values(column, more)).tolist()
    assert msgspec.json.decode(msgspec.json.encode(column), type=ColumnProfile) == column


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=60))
def test_counts_of_categories_keep_their_laws(values: list[str | None]) -> None:
    series = pl.Series("x", values, dtype=pl.String)
    column = _profile("x", series)

    assert len(column.counts) == len(column.categories) + 2
    assert count_values(column, series).tolist() == list(column.counts)
    assert sum(column.counts) == len(values)


def test_values_of_another_kind_are_counted_as_what_they_can_be() -> None:
    number = _profile("x", pl.Series([1.0, 2.0]))
    flag = _profile("x", pl.Series([True, False]))
    code = _profile("x", pl.Series(["1", "2"]))

    assert count_values(number, pl.Series(["1", "2", "x"])).tolist() == [0, 1, 1, 0, 1]
    assert count_values(flag, pl.Series([1, 0, 1])).tolist() == [1, 2, 0, 0]
    assert count_values(code, pl.Series([1, 2, 3])).tolist() == [1, 1, 1, 0]


def test_scores_are_profiled_like_a_column() -> None:
    scores = np.random.default_rng(0).random(1_000)

    assert profile_numbers("score", scores) == _profile("score", pl.Series(scores))


def test_input_stays_as_it_was() -> None:
    values = np.array([3.0, 1.0, 2.0])
    frame = pl.DataFrame({"x": values})

    profile_frame(frame)
    profile_numbers("x", values)

    assert values.tolist() == frame["x"].to_list() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("share", "heavy", "others", "shifted"),
    [
        (0.97, 0.0, (1.0, 50.0), (1.0, 50.0)),
        (0.92, 0.0, (1.0, 50.0), (1.0, 50.0)),
        (0.97, 50.0, (0.0, 100.0), (51.0, 100.0)),
        (0.97, 50.0, (0.0, 49.0), (60.0, 70.0)),
        (0.97, 0.0, (1.0, 50.0), (-9.0, -1.0)),
        (0.08, 0.0, (1.0, 50.0), (0.0, 0.0)),
    ],
)
def test_value_that_most_rows_have_is_told_from_all_others(
    share: float, heavy: float, others: tuple[float, float], shifted: tuple[float, float]
) -> None:
    chance = np.random.default_rng(0)
    values = np.where(chance.random(4_000) < share, heavy, chance.uniform(*others, 4_000))
    column = profile_numbers("refund", values)

    counts = count_values(column, pl.Series(chance.uniform(*shifted, 1_000)))

    assert psi(column.counts, counts) > 1
    assert len(column.edges) <= 19
    assert list(column.edges) == sorted(set(column.edges))
    assert count_values(column, pl.Series(values)).tolist() == list(column.counts)


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([1_700_000_000_000_000_000 + i for i in range(400)]),
        pl.Series([2**53 + i for i in range(400)]),
        pl.Series([-(2**60) - i for i in range(400)]),
        pl.Series([2**63 + i for i in range(400)], dtype=pl.UInt64),
        pl.Series([10**30 + i for i in range(400)], dtype=pl.Int128),
        pl.Series([f"{10**17 + i}.25" for i in range(400)]).cast(pl.Decimal(38, 2)),
    ],
    ids=lambda ids: str(ids.dtype),
)
def test_whole_numbers_too_large_for_a_float_are_counted_as_they_are(ids: pl.Series) -> None:
    column = _profile("id", ids)
    twice = _profile("id", pl.concat([ids, ids.head(1)]))

    assert (column.distinct, column.top) == (400, ())
    assert (twice.distinct, [count for _, count in twice.top]) == (400, [2])
