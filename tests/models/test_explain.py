"""Effects of single values on a score."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from petla.core.project import ModelTable
from petla.models.package import load_package
from petla.models.runtime import explain as explaining
from petla.models.runtime.explain import explain, find_typical
from petla.models.runtime.running import open_runtime
from petla.models.signature import Row
from petla.storage.workspace import Workspace
from tests.models.examples import open_workspace, package, train, train_regression


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def test_effect_is_the_difference_to_a_typical_value(ws: Workspace) -> None:
    trained = train(LogisticRegression())
    loaded = load_package(ws.objects, ws.keys, package(ws, trained).digest)
    runtime = open_runtime(loaded, ws.objects)
    typical = find_typical(loaded)
    row = (typical[0], 22, 40.0, *typical[3:])

    (effects,) = explain(loaded, runtime, [row], typical)

    by_name = dict(zip((field.name for field in loaded.signature.inputs), np.array(effects, float), strict=True))
    without_wind = runtime.score([(*row[:2], typical[2], *row[3:])])[0, 1]
    assert by_name["wind"] == pytest.approx(runtime.score([row])[0, 1] - without_wind)
    assert by_name["hour"] > 0
    assert by_name["wind"] > 0
    assert [by_name[name] for name in ("distance", "is_holiday", "carrier", "origin")] == [0, 0, 0, 0]


def test_typical_values_are_medians_and_the_most_frequent(ws: Workspace) -> None:
    trained = train()
    loaded = load_package(ws.objects, ws.keys, package(ws, trained).digest)

    distance, hour, wind, is_holiday, carrier, origin = find_typical(loaded)

    rows = trained.training
    assert distance == pytest.approx(rows["distance"].median(), rel=0.01)
    assert (type(hour), hour) == (int, round(rows["hour"].median()))
    assert wind == pytest.approx(rows["wind"].median(), rel=0.01)
    assert is_holiday is False
    assert (carrier, origin) == (rows["carrier"].mode()[0], rows["origin"].mode()[0])


def test_several_rows_of_a_regression_are_explained_alike(ws: Workspace) -> None:
    made = package(ws, train_regression(), ModelTable(target="late", task="regression"))
    loaded = load_package(ws.objects, ws.keys, made.digest)
    runtime = open_runtime(loaded, ws.objects)
    typical = find_typical(loaded)
    rows = [(1200.0, 9, 3.5, True, "B6", "JFK"), (800.0, 20, 12.0, False, "AA", "EWR")]

    together = explain(loaded, runtime, rows, typical)

    assert len({len(effects) for effects in together}) == 1
    for row, effects in zip(rows, together, strict=True):
        (alone,) = explain(loaded, runtime, [row], typical)
        np.testing.assert_allclose(np.array(alone, float), np.array(effects, float), rtol=1e-4, atol=1e-5)


def test_input_of_which_nothing_is_typical_is_left_alone(ws: Workspace) -> None:
    loaded = load_package(ws.objects, ws.keys, package(ws, train()).digest)
    runtime = open_runtime(loaded, ws.objects)
    typical = find_typical(loaded)
    row = (1200.0, 22, 40.0, True, "B6", "JFK")

    (all_of_them,) = explain(loaded, runtime, [row], typical)
    (known,) = explain(loaded, runtime, [row], (*typical[:2], None, *typical[3:]))
    (nothing,) = explain(loaded, runtime, [row], (None,) * 6)

    assert known == (*all_of_them[:2], None, *all_of_them[3:])
    assert nothing == (None,) * 6


def test_long_runs_are_divided_and_say_the_same(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_package(ws.objects, ws.keys, package(ws, train()).digest)
    runtime = open_runtime(loaded, ws.objects)
    typical = find_typical(loaded)
    rows = [(100.0 * i, i, 2.0 * i, True, "B6", "JFK") for i in range(7)]
    together = explain(loaded, runtime, rows, typical)

    monkeypatch.setattr(explaining, "_RUN_VALUES", 50)

    assert explain(loaded, runtime, rows, typical) == together


def test_effect_is_that_on_the_decided_class(ws: Workspace) -> None:
    class ByHour:
        """A stand-in with three classes: the hour is in their shares."""

        is_fast = True

        def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            hours = np.array([row[1] for row in rows], dtype=np.float64) / 100
            return np.stack([0.3 - hours / 2, 0.3 - hours / 2, 0.4 + hours], axis=1)

        def close(self) -> None:
            """Nothing to give back."""

    loaded = load_package(ws.objects, ws.keys, package(ws, train()).digest)
    signature = replace(loaded.signature, task="multiclass", classes=("early", "usual", "late"))
    typical = (None, 12, None, None, None, None)

    (effects,) = explain(replace(loaded, signature=signature), ByHour(), [(1.0, 22, 1.0, True, "B6", "JFK")], typical)

    assert effects[1] == pytest.approx(0.1)
    assert effects[:1] + effects[2:] == (None,) * 5
