"""Kinds of frames, and the way from one to the other."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from petla.core.errors import InvalidError, UnavailableError
from petla.pipeline.outputs.columns import from_arrow, from_pandas, to_arrow, to_pandas


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
        InvalidError: a column cannot be converted; names it.
    """
    have = find_kind(value)
    if have in (None, FrameKind.PATH, kind) or kind in (None, FrameKind.PATH):
        return value
    frame = _to_polars(value, have)
    match kind:
        case FrameKind.PANDAS:
            require_pandas()
            return to_pandas(frame)
        case FrameKind.ARROW:
            return to_arrow(frame)
        case FrameKind.LAZY:
            return frame.lazy()
        case _:
            return frame


@contextlib.contextmanager
def blaming(step: str) -> Iterator[None]:
    """Let a refusal of a column name the step that returned the table.

    Raises:
        InvalidError: that refusal.
    """
    try:
        yield
    except InvalidError as error:
        raise InvalidError(f"the table of step {step}: {error.message}", hint=error.hint, field=step) from error


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
    match have:
        case FrameKind.PANDAS:
            return from_pandas(value)
        case FrameKind.ARROW:
            return from_arrow(value)
        case FrameKind.LAZY:
            return value.collect()
        case _:
            return value
