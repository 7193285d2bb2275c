"""Models that answer with the value that they were given, of every stored type, in each of the three libraries."""

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from petla.core.project import ModelTable, decode_project
from petla.core.settings import Settings
from petla.data.profile.columns import Kind
from petla.models.package import Package, load_package
from petla.models.packaging import Trained, package_model
from petla.models.runtime.running import Runtime, open_runtime
from petla.pipeline.outputs.frames import FrameKind, convert
from petla.storage.workspace import Workspace

PROJECT = """
[project]
name = "echo"

[models.echo]
target = "y"
task = "regression"
"""
NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - a column without a zone
FRAME = pl.DataFrame(
    {
        # its number says which value is answered
        "which": list(range(14)),
        "at": [NOON] * 14,
        "at_ms": pl.Series([NOON] * 14, dtype=pl.Datetime("ms")),
        "at_ns": pl.Series([NOON] * 14, dtype=pl.Datetime("ns")),
        "zoned": pl.Series([NOON] * 14, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Europe/Warsaw"),
        "maybe_at": [NOON, None] * 7,
        "day": [date(2026, 3, 1)] * 14,
        "clock": [time(12)] * 14,
        "tiny": pl.Series([1] * 14, dtype=pl.Int8),
        "byte": pl.Series([1] * 14, dtype=pl.UInt8),
        "whole": [1] * 14,
        "ratio": pl.Series([0.5] * 14, dtype=pl.Float32),
        "number": [0.5, None] * 7,
        "flag": [True, False] * 7,
        "y": [0.5] * 14,
    }
)
COLUMNS = [name for name in FRAME.columns if name not in ("which", "y")]
# a value of every column
ROW: dict[str, Any] = {
    "which": 0,
    **dict.fromkeys(("at", "at_ms", "at_ns", "zoned", "maybe_at"), "2026-03-01T12:00:00"),
    "day": "2026-03-01",
    "clock": "12:00:00",
    **dict.fromkeys(("tiny", "byte", "whole"), 1),
    **dict.fromkeys(("ratio", "number"), 0.5),
    "flag": True,
}


def make_echo() -> Any:  # noqa: ANN401 - a class that travels in its pickle
    """Return a regression whose answer is a value of the row: nanoseconds since noon, the number, -1 for null."""

    class Echo:
        def predict(self, table: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a table of any library
            frame = table.to_pandas() if hasattr(table, "to_pandas") else table
            chosen = [COLUMNS[int(which) % len(COLUMNS)] for which in frame["which"]]
            return np.array([to_number(frame[name].iloc[i]) for i, name in enumerate(chosen)])

    def to_number(value: Any) -> float:  # noqa: ANN401
        import datetime as dt

        import pandas as pd

        if value is None or value is pd.NaT or value != value:  # noqa: PLR0124 - NaN alone is not equal to itself
            return -1.0
        if isinstance(value, dt.time):
            return ((value.hour - 12) * 3600 + value.minute * 60 + value.second) * 1e9 + value.microsecond * 1e3
        if isinstance(value, dt.date):
            at = pd.Timestamp(value)
            at = at.tz_localize("UTC") if at.tzinfo is None else at.tz_convert("UTC")
            return float(at.as_unit("ns").value - pd.Timestamp("2026-03-01T12:00:00Z").as_unit("ns").value)
        if not isinstance(value, bool | int | float | np.number | np.bool_):
            raise TypeError(f"{value!r} is not what training had")
        return float(value)

    return Echo()


def package_echo(folder: Path, kind: FrameKind) -> tuple[Package, Runtime]:
    """Package the model that was trained on tables of a library, and start it."""
    ws = Workspace(folder, decode_project(PROJECT), Settings(actor="ada"))
    table = convert(FRAME, kind)
    if kind is FrameKind.PANDAS:
        # pandas has no type for dates; as timestamps they would have a time of day
        table["day"] = table["day"].dt.date
    packaged = package_model(
        ws,
        "echo",
        ModelTable(target="y", task="regression"),
        Trained(estimator=make_echo(), training=table, holdout=table),
    )
    package = load_package(ws.objects, ws.keys, packaged.digest)
    assert package.kind == "python"
    assert {field.name: field.kind for field in package.signature.inputs}["at"] is Kind.TIMESTAMP
    return package, open_runtime(package, ws.objects)
