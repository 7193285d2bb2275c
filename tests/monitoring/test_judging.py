"""Verdicts over closed windows, of counts and of labels."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from petla.core.errors import CorruptError
from petla.data.profile.columns import ColumnProfile, Profile
from petla.data.profile.profiles import profile_series
from petla.decisions.record import Decision, Labelled, Truth
from petla.incidents.incidents import open_or_join
from petla.incidents.playbooks import playbook_of
from petla.models.signature import InputField, Signature
from petla.monitoring.counting import make_counter
from petla.monitoring.finding import Finding
from petla.monitoring.judging import NotBefore, judge_drift, judge_quality
from petla.monitoring.quality import measure_quality
from petla.monitoring.reference import Reference
from petla.monitoring.views import (
    DriftTable,
    find_span,
    latest_findings,
    list_new_alarms,
    list_quality,
    make_drift_table,
)
from petla.storage.database import writing
from petla.storage.workspace import Workspace
from tests.monitoring.rows import (
    SIGNATURE,
    make_decisions,
    make_reference,
    make_workspace,
    store_decisions,
    store_truths,
)

REFERENCE = make_reference()


def find_reference(_model: str, _version: int) -> Reference:
    return REFERENCE


def drift(ws: Workspace, made: Sequence[Decision]) -> tuple[Finding, ...]:
    """Count decisions and judge what closed."""
    with writing(ws.engine) as connection:
        make_counter(ws, find_reference)(connection, made)
    return judge_drift(ws, find_reference)


def alarms(findings: Sequence[Finding]) -> list[tuple[int, str]]:
    return [(finding.window, finding.what) for finding in findings if finding.is_alarm]


def label(ws: Workspace, made: Sequence[Decision], *, wrong: float, seed: int = 0) -> None:
    """Store decisions and, in the same order, labels of which a share differs from what was decided."""
    chance = np.random.default_rng(seed)
    store_decisions(ws, made)
    store_truths(ws, [(d, d.label if chance.random() > wrong else not d.label) for d in made])
    with writing(ws.engine) as connection:
        make_counter(ws, find_reference)(connection, made)


def test_shifted_feature_is_an_alarm_and_the_others_are_not(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)

    found = drift(ws, make_decisions(500, shift=1.5))

    assert alarms(found) == [(1, "wind")]
    assert {(f.what, f.measure) for f in found} >= {("wind", "psi"), ("wind", "js"), ("score", "psi")}


def test_windows_without_a_change_give_no_alarm(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=500, drift_limit=0.05)

    assert alarms(drift(ws, make_decisions(20_000))) == []


def test_window_is_judged_once_and_an_open_one_not_at_all(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    drift(ws, make_decisions(700))

    assert judge_drift(ws, find_reference) == ()
    assert {f.window for f in drift(ws, make_decisions(300, start=700))} == {2}


def test_ignored_feature_is_recorded_and_never_an_alarm(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, ignore=("wind",))

    found = drift(ws, make_decisions(500, shift=1.5))

    assert alarms(found) == []
    states = {feature.feature: feature.state for feature in make_drift_table(ws, "delay", 1).features}
    assert states["wind"] == "not watched"
    assert states["carrier"] == "ok"


@pytest.mark.parametrize(("shifts", "expected"), [((2, 2, 2), [3]), ((2, 0, 2), []), ((2, 2, 0), [])])
def test_alarm_waits_for_as_many_bad_windows_in_a_row_as_the_project_says(
    tmp_path: Path, shifts: tuple[int, ...], expected: list[int]
) -> None:
    ws = make_workspace(tmp_path, patience=3)
    found: list[Finding] = []

    for n, shift in enumerate(shifts):
        found += drift(ws, make_decisions(500, shift=shift, seed=n, start=500 * n))

    assert [window for window, _ in alarms(found)] == expected


def test_drift_table_shows_the_newest_window_with_its_trend(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    assert make_drift_table(ws, "delay", 1).window is None
    for n, shift in enumerate((0.0, 0.5, 1.5)):
        drift(ws, make_decisions(500, shift=shift, seed=n, start=500 * n))

    table = make_drift_table(ws, "delay", 1)

    assert (table.window, table.rows, table.started_at) == (3, 500, "2013-07-01T12:16:40.000000Z")
    wind = table.features[0]
    assert (wind.feature, wind.state) == ("wind", "alarm")
    assert list(wind.trend) == sorted(wind.trend)
    assert len(wind.trend) == 3
    assert 0 < wind.js < 1


def test_alarms_are_listed_from_the_last_one_known(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    for n in range(2):
        drift(ws, make_decisions(500, shift=1.5, seed=n, start=500 * n))

    first, second = list_new_alarms(ws, "delay", 1, "drift", after=0)

    assert list_new_alarms(ws, "delay", 1, "drift", after=first.id) == (second,)
    assert find_span(ws, second) == ("2013-07-01T12:08:20.000000Z", "2013-07-01T12:16:39.000000Z")
    assert latest_findings(ws, "delay", 1, "drift")[0] == second


def test_quality_below_its_limit_is_an_alarm(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, quality_limit=0.8)

    label(ws, made := make_decisions(500), wrong=0.3)
    found = judge_quality(ws, find_reference)

    (window,) = list_quality(ws, "delay")
    assert alarms(found) == [(1, "accuracy")]
    assert window.rows == 500
    chance = np.random.default_rng(0)
    assert window.metrics["accuracy"] == pytest.approx(np.mean([chance.random() > 0.3 for _ in made]))
    assert set(window.metrics) >= {"accuracy", "auc", "log_loss", "base_rate"}


def test_quality_at_its_limit_or_without_one_is_none(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, quality_limit=None)
    label(ws, make_decisions(500), wrong=0.3)

    assert alarms(judge_quality(ws, find_reference)) == []


def test_metric_where_less_is_better_is_an_alarm_above_its_limit(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, quality_metric="log_loss", quality_limit=0.1)
    label(ws, make_decisions(500), wrong=0.3)

    assert alarms(judge_quality(ws, find_reference)) == [(1, "log_loss")]


def test_quality_windows_hold_exactly_their_labels_in_the_order_of_arrival(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    label(ws, make_decisions(1_200), wrong=0.1)

    judge_quality(ws, find_reference)
    again = judge_quality(ws, find_reference)

    assert [(w.number, w.rows, w.last_feedback) for w in list_quality(ws, "delay")] == [(2, 500, 1_000), (1, 500, 500)]
    assert again == ()


def test_labels_that_cannot_be_enough_are_not_read_again(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    label(ws, make_decisions(450), wrong=0.1)
    waits: NotBefore = {}

    judge_quality(ws, find_reference, waits)
    assert waits == {("delay", 1): 500}
    label(ws, make_decisions(50, start=450), wrong=0.1)

    assert {finding.window for finding in judge_quality(ws, find_reference, waits)} == {1}


def test_corrected_label_counts_once_with_its_last_truth(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    made = make_decisions(500)
    store_truths(ws, [(d, not d.label) for d in made])
    label(ws, made, wrong=0.0)

    judge_quality(ws, find_reference)

    (window,) = list_quality(ws, "delay")
    assert window.rows == 500
    assert window.metrics["accuracy"] == 1


def test_truth_of_a_regression_that_is_no_number_is_left_out() -> None:
    signature = Signature(inputs=(), target="minutes", task="regression")
    truths: list[Truth] = [4.0, "late", True, 6]
    rows = [
        Labelled(feedback_seq=n, decision_seq=n, at="2013-07-01", label=5.0, score=5.0, truth=truth)
        for n, truth in enumerate(truths)
    ]

    found = measure_quality(signature, rows)
    assert (found.metrics, found.unusable) == ({"mae": 1.0, "rmse": 1.0, "r2": 0.0, "base_rate": 5.0}, 2)
    lost = measure_quality(signature, rows[1:3])
    assert lost.metrics == {}
    assert lost.absent["mae"] == "2 labels are not numbers, such as 'late'"


def test_version_with_a_broken_package_keeps_no_other_waiting(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    with writing(ws.engine) as connection:
        make_counter(ws, find_reference)(connection, [*make_decisions(500), *make_decisions(500, version=2)])

    def find(_model: str, version: int) -> Reference:
        if version == 1:
            raise CorruptError("package is damaged")
        return REFERENCE

    assert {finding.version for finding in judge_drift(ws, find)} == {2}


def label_with(ws: Workspace, truths: Sequence[Truth]) -> tuple[Finding, ...]:
    """Store decisions with these truths and judge their quality."""
    store_decisions(ws, made := make_decisions(len(truths)))
    store_truths(ws, list(zip(made, truths, strict=True)))
    with writing(ws.engine) as connection:
        make_counter(ws, find_reference)(connection, made)
    return judge_quality(ws, find_reference)


def test_most_labels_that_are_no_class_are_an_alarm_and_no_figure(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=200, quality_limit=0.5)

    (finding,) = label_with(ws, ["maybe"] * 150 + [False] * 50)

    (window,) = list_quality(ws, "delay")
    assert (finding.kind, finding.value, finding.limit, finding.is_alarm) == ("labels", 0.75, 0.5, True)
    assert window.metrics == {}
    assert window.absent["accuracy"] == "150 labels are no class of the model (False, True), such as 'maybe'"
    incident = open_or_join(ws, list_new_alarms(ws, "delay", 1, "labels", after=0))
    assert incident is not None
    assert incident.title == "delay:1 gets labels that cannot be used: 75% of 200, limit 0.5"
    assert "retraining" in playbook_of(incident.kind).automatic


def test_some_labels_that_are_no_class_are_left_out(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=200)
    decided = [decision.label for decision in make_decisions(200)]

    found = label_with(ws, ["maybe", *decided[1:]])

    (window,) = list_quality(ws, "delay")
    assert (window.metrics["accuracy"], window.unusable) == (1.0, 1)
    assert alarms(found) == []


def test_window_of_one_class_says_why_it_has_no_auc(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=200, quality_metric="auc", quality_limit=0.9)

    label_with(ws, [False] * 200)

    (window,) = list_quality(ws, "delay")
    assert window.absent == {
        "auc": "not enough data: one class only",
        "recall": "not enough data: no label is positive",
    }


def test_figure_of_labels_that_is_not_finite_is_absent() -> None:
    signature = Signature(inputs=(), target="minutes", task="regression")
    rows = [
        Labelled(feedback_seq=n, decision_seq=n, at="2013-07-01", label=5.0, score=5.0, truth=truth)
        for n, truth in enumerate([1e308, 1e308, -1e307])
    ]

    found = measure_quality(signature, rows)

    assert all(np.isfinite(value) for value in found.metrics.values())
    assert found.absent["rmse"] == "the figure is not a finite number"


def judge_columns(ws: Workspace, column: ColumnProfile, values: Sequence[object]) -> DriftTable:
    """Count decisions of one feature, judge them, and return the table."""
    field = InputField(column.name, column.kind, is_nullable=True)
    signature = msgspec.structs.replace(SIGNATURE, inputs=(field,))
    profile = Profile(rows=column.rows, columns=(column,))
    reference = Reference(signature=signature, profile=profile, score=REFERENCE.score)
    made = [
        msgspec.structs.replace(decision, inputs=(value,))
        for decision, value in zip(make_decisions(len(values)), values, strict=True)
    ]
    with writing(ws.engine) as connection:
        make_counter(ws, lambda _model, _version: reference)(connection, made)
    judge_drift(ws, lambda _model, _version: reference)
    return make_drift_table(ws, "delay", 1)


MOMENTS = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(3_000)]


@pytest.mark.parametrize(
    ("known", "values", "note"),
    [
        (pl.Series("x", [f"u{n}" for n in range(3_000)]), ["?"] * 200, "every value is unique"),
        (pl.Series("x", [f"u{n % 1_500}" for n in range(9_000)]), ["?"] * 200, "1,500 different values are too many"),
        (pl.Series("x", MOMENTS), ["2037-01-01T00:00:00Z"] * 200, "points in time are not compared"),
    ],
)
def test_feature_that_cannot_be_watched_is_never_fine(
    tmp_path: Path, known: pl.Series, values: list[object], note: str
) -> None:
    ws = make_workspace(tmp_path, window_rows=200)

    found = {each.feature: each for each in judge_columns(ws, profile_series(known), values).features}["x"]

    assert (found.state, found.limit, found.note) == ("not watched", None, f"not watched: {note}")


def test_unwatched_feature_that_stops_coming_is_an_alarm(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=200)

    table = judge_columns(ws, profile_series(pl.Series("x", [f"u{n}" for n in range(3_000)])), [None] * 200)

    assert table.features[0].state == "alarm"


def test_values_that_training_never_had_are_an_alarm_of_their_own(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=200)
    column = profile_series(pl.Series("x", [f"c{n % 500}" for n in range(3_000)]))

    table = judge_columns(ws, column, ["NOWHERE"] * 200)

    assert (table.features[0].feature, table.features[0].state, table.features[0].unknown) == ("x", "alarm", 1.0)
    incident = open_or_join(ws, list_new_alarms(ws, "delay", 1, "drift", after=0))
    assert incident is not None


def test_rare_values_that_training_had_are_known(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path, window_rows=500)
    column = profile_series(pl.Series("x", [f"c{n % 500}" for n in range(3_000)]))

    table = judge_columns(ws, column, [f"c{n}" for n in range(500)])

    assert {each.feature: (each.state, each.unknown) for each in table.features}["x"] == ("ok", None)
