"""A holdout that training has seen is refused; rows that repeat by their nature are none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from petla.gates.apart import check_apart
from petla.models.registry import get_version
from petla.models.states import State
from petla.pipeline.plan import RunRequest
from tests.gates.examples import PIPELINE, Silence, open_project


def make_rows(n_rows: int, *, is_coarse: bool = False, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    if is_coarse:
        columns = {"month": draw.integers(1, 13, n_rows), "carrier": draw.choice(list("ABCDEFGH"), n_rows)}
        return pl.DataFrame(columns | {"late": draw.random(n_rows) < 0.2})
    return pl.DataFrame({"x": draw.normal(size=n_rows), "late": draw.random(n_rows) < 0.2})


def test_rows_apart_pass() -> None:
    check = check_apart(make_rows(900), make_rows(300, seed=1), 0.01)

    assert check.passed
    assert "0.0% (0 of 300) holdout rows are in the training rows as well" in check.message


@pytest.mark.parametrize("n_shared", [15, 300])
def test_rows_that_training_saw_are_refused(n_shared: int) -> None:
    training, fresh = make_rows(900), make_rows(300 - n_shared, seed=1)
    holdout = pl.concat([fresh, training.sample(n_shared, seed=1)]).select("late", "x")

    check = check_apart(training, holdout, 0.01)

    assert not check.passed
    assert f"({n_shared} of 300) holdout rows" in check.message


@pytest.mark.parametrize("sizes", [(300, 100), (100, 300), (5_000, 200), (2_000, 2_000)])
def test_rows_that_repeat_anyway_pass(sizes: tuple[int, int]) -> None:
    for seed in range(20):
        rows = make_rows(sum(sizes), is_coarse=True, seed=seed).sample(fraction=1.0, shuffle=True, seed=seed)
        assert check_apart(rows.head(sizes[0]), rows.tail(sizes[1]), 0.01).passed


def test_tables_that_share_nothing_pass() -> None:
    assert check_apart(pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}), 0.0).passed


def test_a_run_whose_holdout_was_trained_on_is_rejected(tmp_path: Path) -> None:
    from petla.gates.training import train

    ws = open_project(tmp_path)
    code = PIPELINE.replace("rows.tail(300)", "rows.head(400).tail(300)")
    (ws.root / "pipeline.py").write_text(code, encoding="utf-8")

    result = train(ws, "delay", RunRequest(), Silence())

    refused = {check.name: check.message for check in result.verdict.checks if not check.passed}
    assert list(refused) == ["holdout"]
    assert "66.7% (200 of 300) holdout rows" in refused["holdout"]
    assert get_version(ws, "delay", result.version).state is State.REJECTED
