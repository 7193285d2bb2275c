"""The environment is what the interpreter itself says is installed."""

import re
from importlib import metadata

from petla.models.environment import list_environment, list_requirements


def test_environment_is_that_of_the_installed_distributions() -> None:
    names = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    expected = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in names.items()}

    assert list_environment() == expected


def test_requirements_are_the_libraries_of_the_model() -> None:
    assert {"numpy", "scikit-learn", "onnxruntime"} <= list_requirements().keys()
    assert "pytest" not in list_requirements()
