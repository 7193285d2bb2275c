"""Timestamps: read as pandas reads them, and written in one form."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.models.conversion.timestamps import (
    Form,
    TimestampType,
    normalize_timestamp,
    parse_type,
    read_timestamp,
    write_timestamp,
)

_zones: Any = st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# what nanoseconds hold
_datetimes = st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1), timezones=_zones)  # noqa: DTZ001 - with and without
_units = st.sampled_from(["s", "ms", "us", "ns"])
_types = st.builds(TimestampType, st.just(Form.DATETIME), _units, st.sampled_from(["", "UTC", "Europe/Warsaw"]))


@given(at=_datetimes, more_ns=st.integers(0, 999), kind=_types, mark=st.sampled_from("T t"))
def test_count_is_that_of_pandas(at: datetime, more_ns: int, kind: TimestampType, mark: str) -> None:
    text, offset = at.isoformat(timespec="microseconds")[:26] + f"{more_ns:03}", at.strftime("%z")
    whole = text.replace("T", mark) + offset

    expected = pd.Timestamp(text + offset)
    expected = expected.tz_localize("UTC") if expected.tzinfo is None else expected.tz_convert("UTC")
    per_unit = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
    assert read_timestamp(whole, kind) == expected.value // per_unit


@given(at=_datetimes, kind=_types)
def test_canonical_form_means_the_same_and_stays(at: datetime, kind: TimestampType) -> None:
    count = read_timestamp(at.isoformat(), kind)
    text = write_timestamp(count, kind)

    assert read_timestamp(text, kind) == count
    assert normalize_timestamp(text, kind) == text
    assert text.endswith("Z") == bool(kind.zone)


@given(kind=_types | st.sampled_from([TimestampType(Form.DATE), TimestampType(Form.TIME)]))
def test_type_is_read_as_it_was_written(kind: TimestampType) -> None:
    assert parse_type(str(kind)) == kind


@pytest.mark.parametrize("text", ["", "float64", "datetime", "datetime[ps]", "datetime[us, ]", "datetime[us"])
def test_other_types_are_not_known(text: str) -> None:
    assert parse_type(text) is None


@given(text=st.text(max_size=30) | st.from_regex(r"[0-9T:.,Zz+ -]{1,30}", fullmatch=True), kind=st.none() | _types)
def test_whatever_is_sent_is_read_or_refused(text: str, kind: TimestampType | None) -> None:
    try:
        normalize_timestamp(text, kind)
    except ValueError:
        return
    assert text[:4].isdigit()
