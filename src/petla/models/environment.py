"""The environment that a model is made in: every installed distribution with its version."""

from importlib import metadata

# what a package may need to be loaded again
_LIBRARIES = frozenset(
    {"cloudpickle", "numpy", "onnx", "onnxruntime", "pandas", "polars", "pyarrow", "scikit-learn", "scipy", "skl2onnx"}
)


def list_environment() -> dict[str, str]:
    """Return distribution -> version, in order of the names."""
    found = {each.metadata["Name"]: each.version for each in metadata.distributions() if each.metadata["Name"]}
    return dict(sorted(found.items()))


def list_requirements() -> dict[str, str]:
    """Return the same for the libraries that packages are made with."""
    return {name: version for name, version in list_environment().items() if name.lower() in _LIBRARIES}
