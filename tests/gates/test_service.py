"""Latency and dirty rows, each of which can fail."""

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from petla.core.errors import UserCodeError
from petla.data.profile.columns import Kind
from petla.gates.service import check_dirty_rows, check_latency
from petla.models.conversion.dirty_rows import list_dirty_rows
from petla.models.signature import InputField, Row, Signature
from petla.serving.doors.schema import Schema

SIGNATURE = Signature(
    inputs=(
        InputField("wind", Kind.NUMBER, True),
        InputField("hour", Kind.INTEGER, False),
        InputField("is_holiday", Kind.BOOLEAN, False),
        InputField("carrier", Kind.CATEGORY, True),
        InputField("note", Kind.TEXT, False),
        InputField("at", Kind.TIMESTAMP, False),
    ),
    target="late",
    task="binary",
    classes=(False, True),
)
ROWS: list[Row] = [(None, 1, False, "AA", "x", "2013-01-01"), (5.0, 12, True, "AA", "", "2013-01-01")]


class Scripted:
    """A runtime whose answer a function gives: what no real model does on demand."""

    is_fast = True

    def __init__(self, answer: object, delay_s: float = 0.0) -> None:
        self.answer = answer
        self.delay_s = delay_s
        self.seen: list[Row] = []

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.seen.extend(rows)
        if self.delay_s:
            end = time.perf_counter() + self.delay_s
            while time.perf_counter() < end:
                pass
        value = self.answer(rows[0]) if callable(self.answer) else self.answer
        return np.array([value])

    def close(self) -> None:
        """Nothing is held."""


def test_dirty_rows_cover_what_the_signature_allows() -> None:
    rows = dict(list_dirty_rows(SIGNATURE, ROWS[1:2]))

    assert rows["wind = null"] == (None, *ROWS[1][1:])
    assert "hour = null" not in rows
    assert rows["wind = -1e+30"][0] == -1e30
    assert rows["carrier = 'never seen before'"][3] == "never seen before"
    assert rows["carrier = ''"][3] == ""
    assert rows["every nullable field null"] == (None, 12, True, None, "", "2013-01-01")


def test_dirty_rows_are_what_the_endpoint_hands_on() -> None:
    types = {
        Kind.TIMESTAMP: ("", "date", "time", "datetime[ns]", "datetime[ms]", "datetime[us, Europe/Warsaw]"),
        Kind.INTEGER: ("", "int8", "uint8", "uint64"),
        Kind.NUMBER: ("", "float16", "float32"),
    }
    fields = [(kind, dtype) for kind, dtypes in types.items() for dtype in dtypes]
    inputs = tuple(InputField(f"f{i}", kind, False, dtype) for i, (kind, dtype) in enumerate(fields))
    signature = Signature(inputs=inputs, target="y", task="regression")
    names = [field.name for field in inputs]
    first, last = [row for what, row in list_dirty_rows(signature, [(None,) * len(names)]) if "at once" in what]
    rows = [row for what, row in list_dirty_rows(signature, [first]) if what != "every nullable field null"]

    assert Schema(signature).take_records([dict(zip(names, row, strict=True)) for row in rows]) == rows
    assert first[:6] == (
        "1900-01-01T00:00:00",
        "1900-01-01",
        "00:00:00",
        *["1900-01-01T00:00:00"] * 2,
        "1900-01-01T00:00:00Z",
    )
    assert last[7] == -128
    assert {row[3] for row in rows} >= {"2013-07-01T12:00:00", "2013-07-01T06:30:00.123456789"}


def test_answered_dirty_rows_pass_and_start_from_a_whole_row() -> None:
    runtime = Scripted([0.25, 0.75])

    check = check_dirty_rows(runtime, SIGNATURE, ROWS)

    assert check.passed
    assert check.figures == {"rows": float(len(runtime.seen)), "failed": 0.0}
    assert all(row[1] != 1 for row in runtime.seen)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [([0.5, float("nan")], "no finite number"), ([0.9, 0.9], "are none"), ([-0.5, 1.5], "are none")],
)
def test_scores_out_of_range_are_named(answer: list[float], fault: str) -> None:
    check = check_dirty_rows(Scripted(lambda row: answer if row[3] is None else [0.5, 0.5]), SIGNATURE, ROWS)

    assert not check.passed
    assert "carrier = null: " in check.message
    assert fault in check.message


def test_model_that_raises_is_named_with_its_field() -> None:
    def refuse(row: Row) -> list[float]:
        if row[3] == "never seen before":
            raise UserCodeError("Found unknown categories")
        return [0.5, 0.5]

    check = check_dirty_rows(Scripted(refuse), SIGNATURE, ROWS)

    assert not check.passed
    assert check.message == (
        f"1 of {int(check.figures['rows'])} dirty rows are not answered: "
        "carrier = 'never seen before': Found unknown categories"
    )


def test_many_faults_are_counted_not_listed() -> None:
    check = check_dirty_rows(Scripted([float("inf"), 0.0]), SIGNATURE, ROWS)

    assert check.figures["failed"] == check.figures["rows"]
    assert check.message.endswith(f"and {int(check.figures['rows']) - 5} more")


def test_latency_is_timed_over_single_rows() -> None:
    runtime = Scripted([0.5, 0.5])

    check = check_latency(runtime, ROWS, limit_ms=50)

    assert check.passed
    assert check.figures["rows"] == 500
    assert check.figures["p50_ms"] <= check.figures["p99_ms"]


def test_slow_model_is_refused() -> None:
    check = check_latency(Scripted([0.5, 0.5], delay_s=0.001), ROWS, limit_ms=0.5)

    assert not check.passed
    assert "at most 0.5 ms is demanded" in check.message
