"""Outputs: what is kept comes back as it was."""

import datetime as dt
from collections import OrderedDict
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from petla.core.errors import InvalidError
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

    with pytest.raises(InvalidError, match="column 'o' holds Python objects"):
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


def _objects(*values: object) -> pd.DataFrame:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return pd.DataFrame({"o": pd.Series(column, dtype=object)})


@pytest.mark.parametrize(
    "frame",
    [
        _objects({"k": 1}, {"z": "q"}),
        _objects({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        _objects([], [1], None),
        _objects([1.0], [1]),
        _objects((1, 2), (3, 4)),
        _objects({1, 2}, {3}),
        _objects("a", float("nan"), None),
        _objects(True, None),
        _objects(np.int8(1), np.int8(2)),
        _objects(Decimal("1.50"), Decimal("1.5")),
        _objects(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Warsaw"))),
        _objects(dt.date(2020, 1, 1), None),
        _objects(np.array([1, 2]), np.array([3, 4])),
        pd.DataFrame({"a": pd.Series(pd.arrays.FloatingArray(np.array([np.nan, 1]), np.array([False, True])))}),
        pd.DataFrame({"c": pd.Categorical(["u"], categories=["v", "u"])}),
        pd.DataFrame({"c": pd.Categorical([1, "u"], categories=[1, "u"])}),
        pd.DataFrame({"c": pd.cut(pd.Series([1, 2, 3]), 2)}),
        pd.DataFrame({"p": pd.period_range("2020-01", periods=2, freq="M")}),
        pd.DataFrame({"s": pd.arrays.SparseArray([0, 0, 1])}),
        pd.DataFrame({"x": [1, 2]}, index=pd.Index([1, "a"], dtype=object, name=("n", 1))),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
        pd.DataFrame({"x": [1]}).set_flags(allows_duplicate_labels=False),
    ],
)
def test_pandas_values_come_back_by_type_and_content(frame: pd.DataFrame) -> None:
    again = decode(encode(frame))

    pd.testing.assert_frame_equal(again, frame, check_exact=True, check_flags=True)
    for name in frame.columns:
        assert repr(again[name].to_list()) == repr(frame[name].to_list())
        assert [type(each) for each in again[name]] == [type(each) for each in frame[name]]


def test_texts_and_numbers_that_json_cannot_write_come_back() -> None:
    for value in ("\ud800", 10**5000):
        assert decode(encode([value])) == [value]


class Celsius(pa.ExtensionType):  # type: ignore[misc]
    """A type of the project's own."""

    def __init__(self) -> None:
        super().__init__(pa.float64(), "celsius")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: object, serialized: bytes) -> "Celsius":
        del storage_type, serialized
        return cls()


def test_arrow_table_of_an_own_type_comes_back() -> None:
    table = pa.table({"a": pa.ExtensionArray.from_storage(Celsius(), pa.array([1.5]))})

    assert encode(table).format is Format.PICKLE
    assert decode(encode(table)).schema == table.schema


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**63 + 5, 7], "uint64"),
        ([-5, 7], "int64"),
        ([2**70, 7], "str"),
        ([-5, 2**63 + 5], "str"),
        ([2**63 + 5, None], "UInt64"),
    ],
)
def test_wide_whole_numbers_stay_exact_in_pandas(values: list[int | None], dtype: str) -> None:
    frame = pl.DataFrame({"id": values}, schema={"id": pl.Int128})

    column = convert(frame, FrameKind.PANDAS)["id"]

    assert str(column.dtype) == dtype
    assert [None if each is pd.NA else int(each) for each in column] == values
    assert convert(frame, FrameKind.ARROW).num_rows == 2


def test_whole_numbers_with_missing_ones_stay_exact_in_pandas() -> None:
    frame = pl.DataFrame({"id": [2**53 + 1, None], "n": [1, None]})

    converted = convert(frame, FrameKind.PANDAS)

    assert converted["id"].to_list() == [2**53 + 1, pd.NA]
    assert converted.dtypes.astype(str).to_dict() == {"id": "Int64", "n": "float64"}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (_objects(1, "a"), "column 'o' of type object cannot become a Polars column"),
        (pd.DataFrame({"a": [1], "z": [1j]}), "column 'z' of type complex128 cannot become a Polars column"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "two columns are named '1'"),
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "two columns are named 'a'"),
    ],
)
def test_column_that_cannot_be_converted_is_named(frame: object, said: str) -> None:
    with pytest.raises(InvalidError) as caught:
        convert(frame, FrameKind.POLARS)

    assert said in caught.value.message
    assert caught.value.hint


def test_sparse_columns_become_dense() -> None:
    frame = pd.get_dummies(pd.DataFrame({"a": ["x", "y"]}), sparse=True)

    assert convert(frame, FrameKind.POLARS).rows() == [(True, False), (False, True)]
