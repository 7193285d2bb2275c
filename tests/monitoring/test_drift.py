"""Measures of drift: laws of the family, published figures, false alarms."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2

from petla.monitoring.drift import CHANCE, MINIMUM_ROWS, chance_psi, jensen_shannon, measure_drift, psi

Measure = Callable[[list[int], list[int]], float]
MEASURES: list[Measure] = [psi, jensen_shannon]
COUNTS = st.lists(st.integers(0, 5_000), min_size=3, max_size=20).filter(lambda counts: sum(counts) > 0)
PAIRS = COUNTS.flatmap(
    lambda reference: st.tuples(
        st.just(reference),
        st.lists(st.integers(0, 5_000), min_size=len(reference), max_size=len(reference)).filter(any),
    )
)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
class TestEveryMeasure:
    @given(pair=PAIRS)
    def test_is_never_negative_and_leaves_its_input(self, measure: Measure, pair: tuple[list[int], list[int]]) -> None:
        reference, counts = [*pair[0]], [*pair[1]]

        assert measure(reference, counts) >= 0
        assert (reference, counts) == pair

    @given(reference=COUNTS, times=st.integers(1, 50))
    def test_is_nothing_for_equal_shares(self, measure: Measure, reference: list[int], times: int) -> None:
        assert measure([times * count for count in reference], reference) == pytest.approx(0, abs=1e-6)

    @given(pair=PAIRS, seed=st.integers(0, 1_000))
    def test_does_not_depend_on_the_order_of_bins(
        self, measure: Measure, pair: tuple[list[int], list[int]], seed: int
    ) -> None:
        order = np.random.default_rng(seed).permutation(len(pair[0]))

        turned = measure([pair[0][i] for i in order], [pair[1][i] for i in order])

        assert turned == pytest.approx(measure(*pair), abs=1e-6)

    def test_grows_with_the_shift(self, measure: Measure) -> None:
        reference = [1_000, 1_000, 1_000]

        values = [measure(reference, [1_000 + moved, 1_000, 1_000 - moved]) for moved in (0, 100, 300, 900)]

        assert values == sorted(values)
        assert values[-1] > 10 * values[1]


def test_psi_is_that_of_a_table_worked_by_hand() -> None:
    # expected 20 % in each of five grades, actual 15, 18, 20, 22, 25 %: the sum of (p - q) ln(p / q) is 0.02955
    reference, counts = [20_000] * 5, [15_000, 18_000, 20_000, 22_000, 25_000]

    assert psi(reference, counts) == pytest.approx(0.02955, abs=5e-5)


@given(pair=PAIRS)
def test_jensen_shannon_is_that_of_scipy(pair: tuple[list[int], list[int]]) -> None:
    # scipy gives NaN where rounding makes a tiny divergence negative
    assert jensen_shannon(*pair) == pytest.approx(np.nan_to_num(jensenshannon(*pair, base=2)), abs=1e-6)


def test_psi_takes_no_fright_at_bins_that_a_small_window_leaves_empty() -> None:
    reference = [100_000, 50_000, *[5] * 50]

    assert psi(reference, [67, 33, *[0] * 50]) < 0.01


@pytest.mark.parametrize("n_bins", [3, 12, 21, 52])
def test_chance_bar_is_the_quantile_of_chi_squared(n_bins: int) -> None:
    exact = chi2.ppf(1 - CHANCE, n_bins - 1) * (1 / 5_000 + 1 / 100_000)

    assert chance_psi(n_bins, 100_000, 5_000) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("rows", [100, 500, 5_000])
def test_equal_distributions_give_hardly_an_alarm(rows: int) -> None:
    chance = np.random.default_rng(7)
    shares = np.append(np.full(20, 0.0495), 0.01)
    reference = chance.multinomial(50_000, shares).tolist()

    # a limit so low that only the bar of chance keeps alarms away
    windows = [measure_drift(reference, chance.multinomial(rows, shares).tolist(), limit=0.001) for _ in range(5_000)]

    # expected: 0.5 of 5,000
    assert sum(figures.is_over for figures in windows) <= 5


def test_too_few_rows_are_not_judged() -> None:
    few = measure_drift([5_000, 5_000], [MINIMUM_ROWS - 1, 0], limit=0.25)
    little_reference = measure_drift([50, 40], [0, 5_000], limit=0.25)
    nothing = measure_drift([5_000, 5_000], [0, 0], limit=0.25)

    assert (few.limit, little_reference.limit, nothing.limit) == (None, None, None)
    assert not few.is_over
    assert few.psi > 0.25


def test_limit_of_the_project_holds_where_chance_cannot_reach_it() -> None:
    figures = measure_drift([50_000, 50_000], [3_500, 1_500], limit=0.1)

    assert figures.limit == 0.1
    assert figures.is_over


def test_other_bins_are_a_mistake_of_the_programmer() -> None:
    with pytest.raises(ValueError, match="3 bins"):
        measure_drift([1, 2], [1, 2, 3], limit=0.25)


def test_five_drifted_of_thirty_columns_are_found_and_no_other() -> None:
    """20 numbers and 10 categories; two numbers are shifted by a hundredth of their spread, which nobody minds."""
    rows, limit = 10_000, 0.05
    chance = np.random.default_rng(3)
    shifts = {0: 0.3, 1: 0.4, 2: 0.5, 3: 0.01, 4: 0.01}
    found = set()
    for column in range(20):
        reference, live = chance.normal(size=100_000), chance.normal(shifts.get(column, 0), size=rows)
        edges = np.quantile(reference, np.linspace(0, 1, 21)[1:-1])
        binned = [
            np.bincount(np.searchsorted(edges, x, side="right"), minlength=21).tolist() for x in (reference, live)
        ]
        if measure_drift(binned[0], binned[1], limit=limit).is_over:
            found.add(column)
    for column in range(20, 30):
        shares = np.array([0.4, 0.2, 0.2, 0.1, 0.1])
        moved = np.array([0.28, 0.32, 0.2, 0.1, 0.1]) if column < 22 else shares
        counts = [chance.multinomial(n, p).tolist() for n, p in ((100_000, shares), (rows, moved))]
        if measure_drift(counts[0], counts[1], limit=limit).is_over:
            found.add(column)

    assert found == {0, 1, 2, 20, 21}
