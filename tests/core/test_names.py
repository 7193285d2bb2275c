"""Names that were mistyped, and moments that were given without a zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.clock import from_text, to_text
from petla.core.names import nearest, suggest


def test_nearest_name_is_suggested() -> None:
    assert nearest("treshold", ["label", "threshold"]) == "threshold"
    assert suggest("treshold", ["label", "threshold"]) == "did you mean 'threshold'?"


def test_without_a_near_name_all_are_listed() -> None:
    assert nearest("xyz", ["label", "threshold"]) is None
    assert suggest("xyz", ["threshold", "label"]) == "known: label, threshold"
    assert suggest("xyz", []) == "there is none yet"


@given(st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)), min_size=1))  # noqa: DTZ001 - the zone stands beside
def test_moments_sort_as_texts_and_come_back(moments: list[datetime]) -> None:
    texts = [to_text(moment) for moment in moments]

    assert [from_text(text) for text in texts] == moments
    assert [from_text(text) for text in sorted(texts)] == sorted(moments)


def test_moment_is_written_in_utc() -> None:
    warsaw = timezone(timedelta(hours=2))

    assert to_text(datetime(2013, 7, 1, 12, tzinfo=warsaw)) == "2013-07-01T10:00:00.000000Z"


def test_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        to_text(datetime(2013, 7, 1))  # noqa: DTZ001 - the mistake that is meant
