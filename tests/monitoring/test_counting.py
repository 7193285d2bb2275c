"""Counting: windows of an exact size, the same counts as the log gives."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.errors import CorruptError
from petla.data.profile.binning import count_values
from petla.data.profile.columns import ColumnProfile, Kind
from petla.decisions.record import Decision
from petla.monitoring.counting import count_batch, count_column, make_counter
from petla.monitoring.reference import Reference
from petla.monitoring.views import count_traffic, list_windows
from petla.monitoring.windows import Window
from petla.storage.database import writing
from petla.storage.workspace import Workspace
from tests.monitoring.rows import make_decisions, make_reference, make_workspace

REFERENCE = make_reference()


def find_reference(_model: str, _version: int) -> Reference:
    return REFERENCE


def count(ws: Workspace, *batches: Sequence[Decision]) -> tuple[Window, ...]:
    """Count batches; return the windows, oldest first."""
    counter = make_counter(ws, find_reference)
    for batch in batches:
        with writing(ws.engine) as connection:
            counter(connection, batch)
    return tuple(reversed(list_windows(ws, "delay", limit=1_000)))


@pytest.mark.parametrize("cut", [1, 499, 500, 501, 1_234])
def test_windows_hold_exactly_their_rows_however_batches_are_cut(tmp_path: Path, cut: int) -> None:
    ws, made = make_workspace(tmp_path), make_decisions(1_234)
    step = cut if cut > 1 else 100

    windows = count(ws, *[made[at : at + step] for at in range(0, len(made), step)])

    assert [(w.number, w.rows, w.is_closed) for w in windows] == [(1, 500, True), (2, 500, True), (3, 234, False)]
    expected = count_batch(REFERENCE, made[500:1_000])
    assert windows[1].counts == {name: counts.tolist() for name, counts in expected.items()}


def test_counts_add_up_to_the_rows_for_each_feature_and_the_score(tmp_path: Path) -> None:
    (window,) = count(make_workspace(tmp_path), make_decisions(300))

    assert set(window.counts) == {"wind", "carrier", "holiday", "score"}
    assert {sum(counts) for counts in window.counts.values()} == {300}


def test_versions_are_counted_apart(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    mixed = [d for pair in zip(make_decisions(700), make_decisions(700, version=2), strict=True) for d in pair]

    count(ws, mixed)

    traffic = count_traffic(ws, "delay")
    assert traffic.total == 1_400
    assert [(v.version, v.rows, v.closed_windows, v.open_rows) for v in traffic.versions] == [
        (2, 700, 1, 200),
        (1, 700, 1, 200),
    ]


def test_window_spans_the_moments_of_its_decisions(tmp_path: Path) -> None:
    made = make_decisions(300)

    (window,) = count(make_workspace(tmp_path), made[100:], made[:100])

    assert window.started_at == "2013-07-01T12:00:00.000000Z"
    assert window.ended_at == "2013-07-01T12:04:59.000000Z"


def test_nothing_is_counted_when_the_transaction_fails(tmp_path: Path) -> None:
    ws = make_workspace(tmp_path)
    counter = make_counter(ws, find_reference)

    def ship_and_die() -> None:
        with writing(ws.engine) as connection:
            counter(connection, make_decisions(600))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ship_and_die()

    assert list_windows(ws, "delay") == ()


def test_version_with_a_broken_package_is_logged_and_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ws = make_workspace(tmp_path)

    def find(_model: str, version: int) -> Reference:
        if version == 1:
            raise CorruptError("package is damaged")
        return REFERENCE

    with writing(ws.engine) as connection:
        make_counter(ws, find)(connection, [*make_decisions(100), *make_decisions(100, version=2)])

    assert [window.version for window in list_windows(ws, "delay")] == [2]
    assert caplog.messages == ["window.skipped"]


def test_window_that_was_made_larger_than_the_project_wants_now_is_closed(tmp_path: Path) -> None:
    count(make_workspace(tmp_path, window_rows=1_000), make_decisions(900))

    windows = count(make_workspace(tmp_path, window_rows=300), make_decisions(10, start=900))

    assert [(w.number, w.rows, w.is_closed) for w in windows] == [(1, 901, True), (2, 9, False)]


@given(values=st.lists(st.none() | st.floats(allow_nan=False, width=32), max_size=50))
def test_decisions_are_binned_as_the_profile_was_numbers(values: list[float | None]) -> None:
    column = ColumnProfile(name="x", kind=Kind.NUMBER, rows=0, missing=0, distinct=0, edges=(-1.5, 0.0, 2.0))

    counted = count_values(column, pl.Series(values, dtype=pl.Float64))

    assert count_column(column, values).tolist() == counted.tolist()


@pytest.mark.parametrize(
    ("kind", "values"),
    [(Kind.CATEGORY, ["AA", "DL", None, "ZZ", "AA", ""]), (Kind.BOOLEAN, [True, False, None, True])],
)
def test_decisions_are_binned_as_the_profile_was_texts(kind: Kind, values: list[object]) -> None:
    categories = ("AA", "DL") if kind is Kind.CATEGORY else ("false", "true")
    column = ColumnProfile(name="x", kind=kind, rows=0, missing=0, distinct=0, categories=categories)

    assert count_column(column, values).tolist() == count_values(column, pl.Series(values)).tolist()


def test_number_bins_are_those_of_the_profile() -> None:
    column = ColumnProfile(name="x", kind=Kind.NUMBER, rows=0, missing=0, distinct=0, edges=(0.0, 1.0))

    counts = count_column(column, [-5, -0.1, 0, 0.5, 1, 7.0, float("inf"), None, float("nan"), 10**400])

    assert counts.tolist() == [2, 2, 4, 2]


def test_text_bins_are_those_of_the_profile() -> None:
    column = ColumnProfile(name="x", kind=Kind.CATEGORY, rows=0, missing=0, distinct=0, categories=("true", "AA"))

    counts = count_column(column, [True, "AA", "AA", "ZZ", 3, None])

    assert counts.tolist() == [1, 2, 2, 1]


def test_value_of_another_kind_stops_nothing() -> None:
    column = ColumnProfile(name="x", kind=Kind.NUMBER, rows=0, missing=0, distinct=0, edges=(0.0,))

    assert count_column(column, ["storm", 1.0, [2]]).tolist() == [0, 1, 2]


def test_feature_named_score_is_counted_beside_the_score() -> None:
    field = msgspec.structs.replace(REFERENCE.signature.inputs[0], name="score")
    column = msgspec.structs.replace(REFERENCE.profile.columns[0], name="score")
    reference = Reference(
        signature=msgspec.structs.replace(REFERENCE.signature, inputs=(field,)),
        profile=msgspec.structs.replace(REFERENCE.profile, columns=(column,)),
        score=REFERENCE.score,
    )
    made = [msgspec.structs.replace(d, inputs=d.inputs[:1]) for d in make_decisions(50)]

    assert set(count_batch(reference, made)) == {"score", "score of the model"}


def test_every_decision_of_a_large_batch_is_counted_once_for_each_feature() -> None:
    fields = [msgspec.structs.replace(f, name=f"{f.name}{i}") for i in range(5) for f in REFERENCE.signature.inputs]
    columns = [msgspec.structs.replace(c, name=f"{c.name}{i}") for i in range(5) for c in REFERENCE.profile.columns]
    reference = Reference(
        signature=msgspec.structs.replace(REFERENCE.signature, inputs=tuple(fields)),
        profile=msgspec.structs.replace(REFERENCE.profile, columns=tuple(columns)),
        score=REFERENCE.score,
    )
    made = [msgspec.structs.replace(d, inputs=d.inputs * 5) for d in make_decisions(5_000)]

    counted = count_batch(reference, made)

    assert {name: int(np.sum(counts)) for name, counts in counted.items()} == dict.fromkeys(counted, 5_000)
    assert len(counted) == len(fields) + 1
