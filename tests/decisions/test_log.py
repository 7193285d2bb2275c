"""Reading the log, and making training data of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from sqlalchemy import event

from petla.core.errors import InvalidError, NotFoundError
from petla.data.profile.columns import Kind
from petla.decisions.export import export_labelled
from petla.decisions.log import (
    count_decisions,
    count_labelled,
    get_decision,
    list_decisions,
    list_labelled,
    newest_feedback,
)
from petla.decisions.record import Wanted
from petla.decisions.shipper import ship
from petla.models.conversion.features import list_rows
from petla.models.package import ONNX_FILE, store_package
from petla.models.signature import InputField
from petla.storage.workspace import Workspace
from tests.decisions.logged import make_decision, make_feedback, spool
from tests.deployments.tiny import MODEL, add_version, make_onnx, make_package, open_shop, register


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    """Six decisions, the last two by version 2; labels about 4, 1 (wrong at first) and an unknown one."""
    ws = open_shop(tmp_path)
    add_version(ws)
    add_version(ws, -3.0)
    versions = (1, 1, 1, 1, 2, 2)
    spool(ws, [make_decision(i, version=version) for i, version in enumerate(versions)])
    spool(ws, [make_feedback(4, True), make_feedback(1, False), make_feedback(77, True), make_feedback(1, 1)])
    ship(ws)
    return ws


def test_newest_decisions_come_first(shop: Workspace) -> None:
    assert [decision.id for decision in list_decisions(shop, Wanted(model=MODEL), limit=2)] == ["id-5", "id-4"]
    assert list_decisions(shop, Wanted(model="another")) == []


def test_decision_shows_the_newest_truth(shop: Workspace) -> None:
    assert get_decision(shop, "id-1").truth == 1
    assert get_decision(shop, "id-0").truth is None


def test_unknown_decision_is_not_found(shop: Workspace) -> None:
    with pytest.raises(NotFoundError, match="'id-9' is not in the log"):
        get_decision(shop, "id-9")


def test_counts_go_by_model_and_version(shop: Workspace) -> None:
    assert count_decisions(shop) == 6
    assert count_decisions(shop, MODEL, 2) == 2
    assert count_decisions(shop, "another") == 0


def test_labels_are_counted_by_decision(shop: Workspace) -> None:
    assert newest_feedback(shop) == 4
    assert count_labelled(shop, MODEL) == 2
    assert count_labelled(shop, MODEL, after_feedback=1) == 1
    assert count_labelled(shop, MODEL, after_feedback=4) == 0


def test_counting_labels_ends_where_they_are_enough(shop: Workspace) -> None:
    assert count_labelled(shop, MODEL, limit=1) == 1
    assert count_labelled(shop, MODEL, limit=9) == 2


@pytest.mark.parametrize(
    "read",
    [
        list_decisions,
        newest_feedback,
        lambda ws: list_decisions(ws, Wanted(model=MODEL)),
        lambda ws: count_labelled(ws, MODEL, after_feedback=3),
    ],
)
def test_newest_rows_are_found_without_sorting(shop: Workspace, read: Callable[[Workspace], object]) -> None:
    asked: list[tuple[str, Any]] = []
    event.listen(shop.engine, "before_cursor_execute", lambda *each: asked.append((each[2], each[3])))

    read(shop)

    asked = [each for each in asked if each[0].startswith("SELECT")]
    with shop.engine.connect() as connection:
        steps = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0][0]}", asked[0][1])]
    assert any("_by_model" in step or "_by_project" in step for step in steps)
    assert not any("ORDER BY" in step or "SCAN decisions" in step or "SCAN feedback" in step for step in steps)


def test_labelled_decisions_come_in_the_order_of_their_labels(shop: Workspace) -> None:
    (first,) = list_labelled(shop, MODEL, 1)

    assert (first.feedback_seq, first.decision_seq, first.truth, first.label) == (4, 2, 1, False)
    assert list_labelled(shop, MODEL, 1, after_feedback=4) == []
    assert [each.decision_seq for each in list_labelled(shop, MODEL, 2)] == [5]


def test_export_has_inputs_and_truth_in_the_order_of_decisions(shop: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "fresh.parquet"

    assert export_labelled(shop, MODEL, target, rows=10) == 2

    frame = pl.read_parquet(target)
    assert frame.schema == {"amount": pl.Float64, "items": pl.Int64, "country": pl.String, "is_fraud": pl.Boolean}
    assert frame.rows() == [(1.5, None, "pl", True), (4.5, 4, "pl", True)]


def test_export_takes_the_newest_rows(shop: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "fresh.parquet"

    assert export_labelled(shop, MODEL, target, rows=1) == 1
    assert pl.read_parquet(target)["amount"].to_list() == [4.5]


def test_export_is_typed_like_the_dataset(shop: Workspace, tmp_path: Path) -> None:
    columns = {"is_fraud": pl.Int8, "amount": pl.Float32, "items": pl.Int32, "country": pl.String}
    (tmp_path / "data").mkdir()
    pl.DataFrame(schema=columns).write_parquet(tmp_path / "data" / "orders.parquet")
    target = tmp_path / "fresh.parquet"

    export_labelled(shop, MODEL, target, rows=10)

    assert dict(pl.read_parquet(target).schema) == columns
    assert pl.read_parquet(target)["is_fraud"].to_list() == [1, 1]


def test_export_leaves_out_what_is_no_class(shop: Workspace, tmp_path: Path) -> None:
    spool(shop, [make_feedback(0, "perhaps"), make_feedback(2, False)])
    ship(shop)
    target = tmp_path / "fresh.parquet"

    assert export_labelled(shop, MODEL, target, rows=10) == 3
    assert pl.read_parquet(target)["is_fraud"].to_list() == [True, False, True]


def test_export_writes_csv_as_well(shop: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "fresh.csv"

    export_labelled(shop, MODEL, target, rows=10)

    assert pl.read_csv(target)["items"].to_list() == [None, 4]


def test_export_refuses_other_files(shop: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"fresh\.xlsx"):
        export_labelled(shop, MODEL, tmp_path / "fresh.xlsx", rows=10)


def test_export_of_a_model_without_versions_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no version"):
        export_labelled(open_shop(tmp_path), MODEL, tmp_path / "fresh.parquet", rows=10)


def test_export_converts_each_row_by_itself_and_leaves_out_what_does_not_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ws = open_shop(tmp_path)
    kinds = {"at": (Kind.TIMESTAMP, "datetime[us]"), "day": (Kind.TIMESTAMP, "date"), "n": (Kind.INTEGER, "int8")}
    inputs = tuple(InputField(name, kind, is_nullable=True, dtype=dtype) for name, (kind, dtype) in kinds.items())
    package = make_package()
    package = msgspec.structs.replace(package, signature=msgspec.structs.replace(package.signature, inputs=inputs))
    register(ws, package, store_package(ws, package, {ONNX_FILE: make_onnx(-4.0)}))
    columns: dict[str, Any] = {"at": pl.Datetime("us"), "day": pl.Date, "n": pl.Int8, "is_fraud": pl.Boolean}
    (tmp_path / "data").mkdir()
    pl.DataFrame(schema=columns).write_parquet(tmp_path / "data" / "orders.parquet")
    # as the log of an earlier release may hold them
    rows: list[tuple[Any, ...]] = [
        ("2026-03-01T15:00:00", "2026-03-01", 1),
        ("2026-03-01T17:00:00+02:00", "2026-03-01T00:00:00", -128),
        ("14.08.2024 00:00", "2026-03-01", 1),
        ("2026-03-01T15:00:00.123456789Z", None, None),
        ("2026-03-01", "2026-03-01", 1000),
        (None, "2026-03-01T12:00:00", 1),
    ]
    spool(ws, [msgspec.structs.replace(make_decision(i), inputs=row) for i, row in enumerate(rows)])
    spool(ws, [make_feedback(i) for i in range(len(rows))])
    ship(ws)
    target = tmp_path / "fresh.parquet"

    assert export_labelled(ws, MODEL, target, rows=10) == 3

    frame = pl.read_parquet(target)
    assert dict(frame.schema) == columns
    assert frame.select(pl.col("at").dt.to_string("iso"), pl.col("day").dt.to_string("iso"), "n").rows() == [
        ("2026-03-01 15:00:00.000000", "2026-03-01", 1),
        ("2026-03-01 15:00:00.000000", "2026-03-01", -128),
        ("2026-03-01 15:00:00.123456", None, None),
    ]
    (said,) = [each for each in caplog.records if each.message == "export.left_out"]
    assert (said.__dict__["rows"], said.__dict__["decision"], said.__dict__["field"]) == (3, "id-2", "at")


def test_export_has_the_types_of_the_signature_where_no_file_says_them(tmp_path: Path) -> None:
    ws = open_shop(tmp_path)
    types = ("date", "time", "datetime[ns]", "datetime[us, Europe/Warsaw]", "")
    inputs = tuple(InputField(f"f{i}", Kind.TIMESTAMP, is_nullable=True, dtype=dtype) for i, dtype in enumerate(types))
    package = make_package()
    package = msgspec.structs.replace(package, signature=msgspec.structs.replace(package.signature, inputs=inputs))
    register(ws, package, store_package(ws, package, {ONNX_FILE: make_onnx(-4.0)}))
    row = ("2026-03-01", "15:00:00", "2026-03-01T15:00:00.123456789", "2026-03-01T15:00:00Z", "2026-03-01T15:00:00")
    spool(ws, [msgspec.structs.replace(make_decision(0), inputs=row)])
    spool(ws, [make_feedback(0)])
    ship(ws)
    target = tmp_path / "fresh.parquet"

    assert export_labelled(ws, MODEL, target, rows=10) == 1

    frame = pl.read_parquet(target).drop("is_fraud")
    expected = [pl.Date(), pl.Time(), pl.Datetime("ns"), pl.Datetime("us", "Europe/Warsaw"), pl.Datetime("us")]
    assert list(frame.schema.values()) == expected
    assert list_rows(frame, package.signature) == [row]
