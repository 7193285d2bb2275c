"""Ids: model references and decision ids, the latter compared with the standard library's reading of UUIDs."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.errors import InvalidError
from petla.core.ids import ModelRef, parse_model_ref, uuid7_batches, uuid7_source


@given(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), st.none() | st.integers(1, 999_999_999))
def test_model_ref_is_read_as_it_is_written(name: str, version: int | None) -> None:
    ref = ModelRef(name, version)

    assert parse_model_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    ["", ":3", "delay:", "delay:0", "delay:-1", "delay:1.5", "delay:x", "delay:٣", "delay:3:4", "a:" + "9" * 5000],
)
def test_text_that_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_model_ref(text)

    assert caught.value.field == "model"


def test_decision_id_is_a_uuid_of_version_7_with_the_time() -> None:
    make = uuid7_source(now_ns=lambda: 1_372_680_000_123_456_789)

    read = uuid.UUID(make())

    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert read.int >> 80 == 1_372_680_000_123


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
def test_decision_ids_rise_whatever_the_clock_does(moments_ns: list[int]) -> None:
    moments = iter(moments_ns)
    make = uuid7_source(now_ns=lambda: next(moments))

    made = [make() for _ in moments_ns]

    assert made == sorted(set(made))
    assert all(str(uuid.UUID(each)) == each and uuid.UUID(each).version == 7 for each in made)


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=6))
def test_decision_ids_of_batches_rise_as_well(counts: list[int]) -> None:
    make = uuid7_batches(now_ns=lambda: 1_372_680_000_123_456_789)

    made = [each for count in counts for each in make(count)]

    assert len(made) == sum(counts)
    assert made == sorted(set(made))
    assert all(str(uuid.UUID(each)) == each and uuid.UUID(each).version == 7 for each in made)


def test_decision_ids_of_two_sources_at_one_moment_differ() -> None:
    sources = [uuid7_source(now_ns=lambda: 10**18) for _ in range(2)]

    made = [make() for make in sources for _ in range(5_000)]

    assert len(set(made)) == 10_000


def test_random_bytes_are_drawn_in_pools_and_none_twice() -> None:
    drawn: list[int] = []

    def draw(size: int) -> bytes:
        drawn.append(size)
        return len(drawn).to_bytes(1, "big") * size

    make = uuid7_source(random_bytes=draw)
    ends = {make()[24:] for _ in range(3_000)}

    assert len(drawn) == 3
    assert ends == {"010101010101", "020202020202", "030303030303"}
