"""What a value of any type means to a model as a label."""

import math
from decimal import Decimal

import pytest

from petla.models.runtime.labels import Label, describe_unknown, encode_labels, make_reader
from petla.models.signature import Signature


def classifier(*classes: Label) -> Signature:
    task = "binary" if len(classes) == 2 else "multiclass"
    return Signature(inputs=(), target="y", task=task, classes=classes)  # type: ignore[arg-type] # one of Task


REGRESSION = Signature(inputs=(), target="y", task="regression")


@pytest.mark.parametrize(
    ("classes", "values", "expected"),
    [
        ((False, True), [True, "true", "True", " TRUE ", 1, 1.0, "1", "1.0"], True),
        ((False, True), [False, "false", 0, "0"], False),
        ((False, True), ["yes", 2, "", None, math.nan, math.inf, [1], "maybe"], None),
        ((0, 1), [1, 1.0, "1", True, "true", Decimal(1)], 1),
        (("no", "yes"), [True, 1, "true", "1", "Yes", "maybe"], None),
        (("0", "1"), [1, "1", 1.0, True], "1"),
        (("true", "false"), [True, "True", 1], "true"),
        ((1, 2), [True, "true", 3], None),
        ((0, 1, 2), [True, "true", False], None),
        ((0, 1, 2), [2, "2", 2.0, "2.0"], 2),
        (("01", "02"), [1, "1"], None),
        (("a", "b", "c"), ["b"], "b"),
        ((1.5, 2.0), ["2", 2], 2.0),
        ((2**60, 2**60 + 1), [2**60 + 1, str(2**60 + 1)], 2**60 + 1),
    ],
)
def test_value_of_another_type_is_the_class_that_it_can_only_mean(
    classes: tuple[Label, ...], values: list[object], expected: Label | None
) -> None:
    read = make_reader(classifier(*classes))

    found = [read(value) for value in values]

    assert found == [expected] * len(values)
    assert all(type(each) is type(expected) for each in found)


def test_classes_that_look_alike_are_told_apart_by_their_type_only() -> None:
    read = make_reader(classifier(1, "1", "2"))

    assert [read(1), read("1"), read(1.0), read("1.0")] == [1, "1", 1, None]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), ("3.5", 3.5), ("-1e3", -1000.0), (Decimal("2.5"), 2.5)]
    + [(value, math.nan) for value in (True, "n/a", "nan", "inf", "1_0", math.inf, None, 10**400, "")],
)
def test_label_of_a_regression_is_a_finite_number(value: object, expected: float) -> None:
    assert encode_labels(REGRESSION, [value]).tolist() == pytest.approx([expected], nan_ok=True)


def test_unusable_labels_are_described_with_an_example() -> None:
    assert describe_unknown(REGRESSION, 200, "n/a") == "200 labels are not numbers, such as 'n/a'"
    assert describe_unknown(classifier("no", "yes"), 1, True) == (
        "1 label is no class of the model ('no', 'yes'), such as True"
    )
