"""Kinds of frames, and the way from one to the other."""

from enum import StrEnum
from typing import Any

from petla.core.errors import UnavailableError


class FrameKind(StrEnum):
    """How a function wants its table."""

    POLARS = "polars"
    LAZY = "lazy"
    PANDAS = "pandas"
    ARROW = "arrow"
    # the file or folder itself
    PATH = "path"


KIND_OF_ANNOTATION = {
    "polars.DataFrame": FrameKind.POLARS,
    "polars.LazyFrame": FrameKind.LAZY,
    "pandas.DataFrame": FrameKind.PANDAS,
    "pyarrow.Table": FrameKind.ARROW,
    "pyarrow.lib.Table": FrameKind.ARROW,
    "pathlib.Path": FrameKind.PATH,
}


def find_kind(value: object) -> FrameKind | None:
    """Return what kind of frame a value is; None for anything else, subclasses of frames included."""
    kind = type(value)
    return KIND_OF_ANNOTATION.get(f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}")


def convert(value: Any, kind: FrameKind | None) -> Any:  # noqa: ANN401 - frames of four libraries
    """Turn a frame into another kind; what is no frame, or wanted as it is, stays as it is.

    Raises:
        UnavailableError: pandas is wanted and not installed.
    """
    have = find_kind(value)
    if have in (None, FrameKind.PATH, kind) or kind in (None, FrameKind.PATH):
        return value
    frame = _to_polars(value, have)
    match kind:
        case FrameKind.PANDAS:
            require_pandas()
            return value.to_pandas() if have is FrameKind.ARROW else frame.to_pandas()
        case FrameKind.ARROW:
            return frame.to_arrow()
        case FrameKind.LAZY:
            return frame.lazy()
        case _:
            return frame


def share(value: Any) -> Any:  # noqa: ANN401 - frames of four libraries
    """Return a frame that its receiver may change in place without anybody else seeing it.

    Polars and pandas 3 copy on write, so this costs nothing until then.
    """
    match find_kind(value):
        case FrameKind.POLARS:
            return value.clone()
        case FrameKind.PANDAS:
            import pandas as pd

            return value.copy(deep=int(pd.__version__.partition(".")[0]) < 3)
        case _:
            return value


def require_pandas() -> None:
    """Make sure that pandas can be imported.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import pandas as pd  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "a step wants a pandas.DataFrame and pandas is not installed",
            hint="pip install 'petla[train]', or annotate the parameter with polars.DataFrame",
        ) from error


def _to_polars(value: Any, have: FrameKind | None) -> Any:  # noqa: ANN401 - frames of four libraries
    import polars as pl

    match have:
        case FrameKind.PANDAS:
            return _from_pandas(value)
        case FrameKind.ARROW:
            return pl.from_arrow(value)
        case FrameKind.LAZY:
            return value.collect()
        case _:
            return value


def _from_pandas(frame: Any) -> Any:  # noqa: ANN401 - pandas is not loaded yet
    """Columns of NumPy arrays of one shape become Polars' arrays; Arrow takes those of one axis only, and as lists."""
    import polars as pl

    arrays = {name: series for name in frame.columns if (series := _stack(str(name), frame[name])) is not None}
    if not arrays:
        return pl.from_pandas(frame)
    plain = [name for name in frame.columns if name not in arrays]
    rest = pl.from_pandas(frame[plain]) if plain else pl.DataFrame()
    return rest.with_columns(list(arrays.values())).select(map(str, frame.columns))


def _stack(name: str, column: Any) -> Any:  # noqa: ANN401
    import numpy as np
    import polars as pl

    values = column.to_list() if column.dtype == object else []
    found = [value for value in values if isinstance(value, np.ndarray)]
    is_alike = len({(value.shape, value.dtype) for value in found}) == 1 and found[0].ndim > 0
    if not is_alike or any(value is not None for value in values if not isinstance(value, np.ndarray)):
        return None
    if len(found) == len(values):
        return pl.Series(name, np.stack(values))
    kind = pl.Series(found[0].ravel()).dtype
    lists = [None if value is None else value.tolist() for value in values]
    return pl.Series(name, lists, dtype=pl.Array(kind, found[0].shape))
