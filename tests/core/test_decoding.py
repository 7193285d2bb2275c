"""Decoding of tables, on a struct of the test's own."""

import msgspec

from petla.core.decoding import decode_table, describe_allowed
from petla.core.errors import Fault


class Inner(msgspec.Struct, frozen=True):
    size: int


class Outer(msgspec.Struct, frozen=True):
    name: str
    inner: Inner | None = None
    each: dict[str, Inner] = {}

    def __post_init__(self) -> None:
        if self.name == "taken":
            raise ValueError("the name is taken")


def test_tables_become_structs() -> None:
    raw = {"name": "a", "inner": {"size": 1}, "each": {"x": {"size": 2}}}

    assert decode_table(Outer, raw) == (Outer("a", Inner(1), {"x": Inner(2)}), [])


def test_faults_of_all_depths_come_at_once() -> None:
    value, faults = decode_table(Outer, {"inner": {"sise": 1}, "each": {"x": {"size": "2"}, "y": 3}}, "top")

    assert value is None
    assert faults == [
        Fault("top.name", "is missing; it must be a text"),
        Fault("top.inner.sise", "is an unknown key", "did you mean 'size'?"),
        Fault("top.inner.size", "is missing; it must be a whole number"),
        Fault("top.each.x.size", "is '2', but must be a whole number"),
        Fault("top.each.y", "is 3, but must be a table"),
    ]


def test_rule_of_the_struct_itself_is_a_fault() -> None:
    assert decode_table(Outer, {"name": "taken"}, "top") == (None, [Fault("top", "the name is taken")])


def test_value_that_is_no_table_is_a_fault() -> None:
    assert decode_table(Outer, [1], "top") == (None, [Fault("top", "is [1], but must be a table")])
    assert decode_table(Outer, {"name": "a", "each": 1})[1] == [Fault("each", "is 1, but must be a table of tables")]


def test_what_is_allowed_is_said_in_words() -> None:
    assert describe_allowed(tuple[str, ...]) == "a list, each item a text"
    assert describe_allowed(dict[str, int]) == "a table"
    assert describe_allowed(float | None) == "a number"
