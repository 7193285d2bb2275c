"""Conditions: what they mean, beside Python's own meaning; what they refuse; and null."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petla.core.expressions import ExpressionError, Holds, compile_expression

FIELDS: dict[str, Holds] = {
    "amount": "number",
    "items": "number",
    "country": "text",
    "is_new": "boolean",
    "a b": "text",
}
NAMES = ("amount", "items", "country", "is_new")


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("amount > 10000 and country == 'XX'", (10001.0, 1, "XX", True, ""), True),
        ("amount > 10000 and country == 'XX'", (10001.0, 1, "pl", True, ""), False),
        ("0 < amount <= 5", (5, 1, "pl", True, ""), True),
        ("amount / items > 100", (1000, 0, "pl", True, ""), False),
        ("-amount < 0 and not is_new", (1, 0, "pl", False, ""), True),
        ("is_new", (1, 0, "pl", True, ""), True),
        ("country in ('pl', 'de') or country not in ['fr']", (1, 0, "fr", True, ""), False),
        ("field('a b') == 'x'", (1, 0, "", True, "x"), True),
        ("score > 0.5", (1, 0, "", True, ""), True),
        ("amount > 1", (None, 0, "", True, ""), False),
        ("not amount > 1", (None, 0, "", True, ""), True),
        ("amount != 1", (None, 0, "", True, ""), False),
        ("amount + items > 1", (None, 5, "", True, ""), False),
        ("amount == None", (None, 0, "", True, ""), True),
        ("amount is not None", (None, 0, "", True, ""), False),
        ("country not in ('x',)", (1, 0, None, True, ""), False),
    ],
)
def test_condition_is_true_or_false(text: str, row: tuple[Any, ...], expected: bool) -> None:
    assert compile_expression(text, FIELDS)(row, 0.9) is expected


_atoms = st.sampled_from(
    ["amount > 3", "items == 2", "country == 'pl'", "is_new", "amount * 2 < items + 5", "country in ('pl', 'de')"]
)
_texts = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, inner).map("({0[0]}) and ({0[1]})".format),
        st.tuples(inner, inner).map("({0[0]}) or ({0[1]})".format),
    ),
    max_leaves=6,
)


@given(_texts, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from(["pl", "de", "fr"]), st.booleans())
def test_without_null_it_means_what_python_means(
    text: str, amount: int, items: int, country: str, is_new: bool
) -> None:
    row = (amount, items, country, is_new, "")

    expected = eval(text, dict(zip(NAMES, row, strict=False)))  # noqa: S307 - the text is made above

    assert compile_expression(text, FIELDS)(row, 0.0) is bool(expected)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("__import__('os').system('x')", "is not understood"),
        ("amount.real > 1", "'amount.real' is not understood"),
        ("(lambda: 1)()", "is not understood"),
        ("[x for x in country]", "is not understood"),
        ("amount ** 99 > 1", "is not understood"),
        ("amount >", "at character"),
        ("", "at character"),
        ("(" * 500, "at character"),
        ("amount" + "+1" * 600, "at most 1000"),
        ("amout > 1", "at character 1: the model has no input 'amout'; it has amount, items"),
        ("amount > 'x'", "a number and a text have no order"),
        ("amount == 'x'", "a number is compared with a text"),
        ("country + 1 > 2", "'country' is a text, and must be a number"),
        ("amount", "the whole is a number"),
        ("amount and is_new", "'amount' is a number, and must be true or false"),
        ("amount > None", "None has no order"),
        ("amount is 3", "'is' goes with None only"),
        ("country in 'pl'", "'in' goes with a list of values"),
        ("amount in ('pl', 3)", "a number is looked for among values with a text"),
    ],
)
def test_mistake_is_named(text: str, mistake: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, FIELDS)

    assert mistake in str(caught.value)


def test_every_mistake_is_named_with_its_place() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("amout > 1 and country > 3", FIELDS)

    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == ["at character 1", "at character 15"]


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_a_mistake(text: str) -> None:
    try:
        test = compile_expression(text, FIELDS)
    except ExpressionError:
        return
    assert test((1.0, None, "pl", True, "x"), 0.5) in (True, False)
