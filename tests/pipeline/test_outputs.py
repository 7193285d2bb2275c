"""Outputs: what is kept comes back as it was."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

from petla.pipeline.outputs.formats import Format, decode, encode
from petla.pipeline.outputs.frames import FrameKind, convert, find_kind

FRAME = pl.DataFrame(
    {"n": [1, 2, None], "x": [0.5, float("nan"), None], "t": ["a", None, "ż"], "b": [True, False, None]},
).with_columns(c=pl.col("t").cast(pl.Categorical), d=pl.date(2013, 1, 1), m=pl.datetime(2013, 1, 1, time_zone="UTC"))
PANDAS = pd.DataFrame(
    {
        "n": [1, 2, 3],
        "x": [0.5, None, 1.0],
        "t": ["a", None, "ż"],
        "c": pd.Categorical(["u", "v", "u"], categories=["v", "u", "w"]),
        "m": pd.to_datetime(["2013-01-01", "2013-02-01", "NaT"]),
        "i": pd.array([1, None, 3], dtype="Int64"),
    }
)


@pytest.mark.parametrize(
    ("value", "kept_as"),
    [
        ({"a": [1, 2.5, "ż", None, True], "b": {"c": float("inf")}}, Format.JSON),
        (2**70, Format.JSON),
        ("text", Format.JSON),
        (b"\x00\xff", Format.BYTES),
        ((1, 2), Format.PICKLE),
        ({1: "a"}, Format.PICKLE),
        (OrderedDict(a=1), Format.PICKLE),
        ({"x": np.float64(1.5)}, Format.PICKLE),
    ],
)
def test_value_comes_back_with_its_type(value: object, kept_as: Format) -> None:
    encoded = encode(value)

    again = decode(encoded)

    assert encoded.format is kept_as
    assert again == value
    assert type(again) is type(value)


def test_polars_frames_come_back() -> None:
    eager, lazy = decode(encode(FRAME)), decode(encode(FRAME.lazy()))

    assert encode(FRAME).format is Format.POLARS
    assert eager.equals(FRAME)
    assert eager.schema == FRAME.schema
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(FRAME)


def test_polars_frame_of_python_objects_cannot_be_kept() -> None:
    frame = pl.DataFrame({"o": [object, int]}, schema={"o": pl.Object})

    with pytest.raises(pl.exceptions.PolarsError, match="Object"):
        encode(frame)


def test_arrow_table_comes_back() -> None:
    table = FRAME.drop("x").to_arrow()

    assert decode(encode(table)).equals(table)
    assert encode(table).format is Format.ARROW


@pytest.mark.parametrize(
    ("frame", "kept_as"),
    [
        (PANDAS, Format.PANDAS),
        (PANDAS.iloc[::-1], Format.PANDAS),
        (PANDAS.set_index("n"), Format.PANDAS),
        (PANDAS.set_index("t"), Format.PANDAS),
        (PANDAS.set_index(["n", "x"]), Format.PANDAS),
        (PANDAS.set_index("m"), Format.PANDAS),
        (pd.DataFrame({"o": [{"a": 1}, (2,), "three"]}), Format.PICKLE),
        (pd.DataFrame({"o": np.array(["a", "b"], dtype=object)}), Format.PANDAS),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), Format.PICKLE),
        (pd.DataFrame({0: [1], 1: [2]}), Format.PICKLE),
        (pd.DataFrame({"x": [1.0]}, index=pd.date_range("2013-01-01", periods=1, freq="D")), Format.PICKLE),
    ],
    ids=[
        "plain",
        "reversed",
        "index",
        "texts as index",
        "two indexes",
        "times",
        "objects",
        "texts",
        "double",
        "numbers",
        "frequency",
    ],
)
def test_pandas_frame_comes_back(frame: pd.DataFrame, kept_as: Format) -> None:
    encoded = encode(frame)

    pd.testing.assert_frame_equal(decode(encoded), frame)
    assert encoded.format is kept_as


def test_estimator_comes_back() -> None:
    fitted = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])

    assert decode(encode(fitted)).predict([[2.0]]) == pytest.approx([4.0])


@pytest.mark.parametrize("kind", [FrameKind.POLARS, FrameKind.LAZY, FrameKind.PANDAS, FrameKind.ARROW])
@pytest.mark.parametrize("start", [FrameKind.POLARS, FrameKind.LAZY, FrameKind.PANDAS, FrameKind.ARROW])
def test_every_frame_becomes_every_other(start: FrameKind, kind: FrameKind) -> None:
    frame = pl.DataFrame({"n": [1, 2], "t": ["a", "b"]})
    value: Any = convert(frame, start)

    converted = convert(value, kind)

    assert find_kind(value) is start
    assert find_kind(converted) is kind
    assert convert(converted, FrameKind.POLARS).equals(frame)


def test_figures_are_the_finite_numbers_of_a_dict_whatever_else_it_holds() -> None:
    assert encode({"auc": np.float32(0.5), "n": 3, "bad": float("nan")}).figures == {"auc": 0.5, "n": 3.0}
    assert encode({"auc": 0.5, "name": "x", "curve": np.zeros(3), "rows": 10**400}).figures == {"auc": 0.5}
    assert encode({"is_good": True}).figures == {}
