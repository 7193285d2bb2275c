"""Scores become labels in the model's own words."""

import msgspec
import numpy as np
import pytest

from petla.core.project import AnswerTable
from petla.models.package import Package
from petla.models.runtime.decide import decide
from petla.models.signature import Signature
from tests.models.test_package import PACKAGE


def package_with(signature: Signature, threshold: float = 0.5) -> Package:
    return msgspec.structs.replace(PACKAGE, signature=signature, answer=AnswerTable(threshold=threshold))


@pytest.mark.parametrize(("threshold", "labels"), [(0.5, [False, True, True]), (0.6, [False, False, True])])
def test_binary_is_decided_by_the_threshold(threshold: float, labels: list[bool]) -> None:
    signature = Signature(inputs=(), target="late", task="binary", classes=(False, True))
    scores = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])

    decided, score = decide(package_with(signature, threshold), scores)

    assert decided == labels
    assert score.tolist() == [0.4, 0.5, 0.9]


def test_multiclass_is_the_likeliest_class_with_its_probability() -> None:
    signature = Signature(inputs=(), target="late", task="multiclass", classes=("a", "b", "c"))

    decided, score = decide(package_with(signature), np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]))

    assert decided == ["b", "c"]
    assert score.tolist() == [0.7, 0.7]


def test_regression_is_the_number() -> None:
    signature = Signature(inputs=(), target="late", task="regression")

    decided, score = decide(package_with(signature), np.array([3.5, -1.0]))

    assert decided == [3.5, -1.0]
    assert score.tolist() == decided
