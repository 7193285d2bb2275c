"""The formats outputs are kept in: Arrow for frames, JSON for plain values, a pickle for everything else.

What was decoded equals what was encoded, by type and content: a frame whose index, columns, values or extras Arrow
would not bring back exactly is pickled.
"""

import io
import json
import math
from enum import StrEnum
from numbers import Real
from typing import Any

import msgspec

from petla.core.errors import InvalidError, UnavailableError
from petla.pipeline.outputs.frames import FrameKind, find_kind
from petla.pipeline.outputs.likeness import are_frames_alike


class Format(StrEnum):
    """How an output's bytes are to be read."""

    JSON = "json"
    BYTES = "bytes"
    POLARS = "polars"
    LAZY = "lazy"
    PANDAS = "pandas"
    ARROW = "arrow"
    # loaded only with the project's own signature
    PICKLE = "pickle"


class Encoded(msgspec.Struct, frozen=True):
    """An output as bytes."""

    format: Format
    content: bytes
    # the finite numbers of a dict
    figures: dict[str, float] = {}


def encode(value: Any) -> Encoded:  # noqa: ANN401 - whatever a step returns
    """Write what a step returned.

    Raises:
        InvalidError: it is a Polars frame with a column of Python objects.
        UnavailableError: it must be pickled and cloudpickle is not installed.
        Exception: whatever the value's own code raises when it is pickled.
    """
    figures = _list_figures(value)
    if type(value) is bytes:
        return Encoded(Format.BYTES, value)
    if is_plain(value) and (text := _write_json(value)) is not None:
        return Encoded(Format.JSON, text, figures)
    content = _encode_frame(value)
    if content is not None:
        kind = find_kind(value)
        return Encoded(Format(str(kind)), content)
    return Encoded(Format.PICKLE, _pickle(value), figures)


def decode(encoded: Encoded) -> Any:  # noqa: ANN401 - whatever a step returned
    """Read what `encode` wrote. NOTE: a pickle runs code; verify its signature first."""
    match encoded.format:
        case Format.BYTES:
            return encoded.content
        case Format.JSON:
            return json.loads(encoded.content)
        case Format.PICKLE:
            import pickle

            return pickle.loads(encoded.content)  # noqa: S301 - signed by this project
        case Format.POLARS | Format.LAZY:
            import polars as pl

            frame = pl.read_ipc(encoded.content)
            return frame.lazy() if encoded.format is Format.LAZY else frame
        case Format.PANDAS | Format.ARROW:
            import pyarrow as pa

            table = pa.ipc.open_stream(encoded.content).read_all()
            return table.to_pandas() if encoded.format is Format.PANDAS else table


def is_plain(value: object) -> bool:
    """Whether JSON brings a value back exactly, types included."""
    kind = type(value)
    if isinstance(value, dict):
        return kind is dict and all(type(key) is str and is_plain(each) for key, each in value.items())
    if isinstance(value, list):
        return kind is list and all(is_plain(each) for each in value)
    return value is None or kind in (bool, int, float, str)


def _list_figures(value: Any) -> dict[str, float]:  # noqa: ANN401 - whatever a step returns
    """Return the finite numbers of a dict, whatever else it holds; nothing for any other value."""
    if type(value) is not dict:
        return {}
    found = {key: _find_number(each) for key, each in value.items() if isinstance(key, str)}
    return {key: number for key, number in found.items() if number is not None}


def _find_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _encode_frame(value: Any) -> bytes | None:  # noqa: ANN401 - frames of four libraries
    match find_kind(value):
        case FrameKind.POLARS:
            return _write_polars(value)
        case FrameKind.LAZY:
            return _write_polars(value.collect())
        case FrameKind.PANDAS:
            return _write_pandas(value)
        case FrameKind.ARROW:
            return _write_arrow(value)
        case _:
            return None


def _write_json(value: object) -> bytes | None:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except ValueError:  # half of a surrogate pair, or a number of more digits than Python writes
        return None


def _write_polars(frame: Any) -> bytes | None:  # noqa: ANN401 - polars is not loaded yet
    import polars as pl

    objects = [name for name, dtype in frame.schema.items() if _holds_objects(dtype)]
    if objects:
        raise InvalidError(
            f"column {objects[0]!r} holds Python objects (polars.Object), which cannot be kept",
            hint="give the column a type of Polars, or return the objects in a list or a dict",
            field=objects[0],
        )
    buffer = io.BytesIO()
    try:
        frame.write_ipc(buffer)
        again = pl.read_ipc(buffer.getvalue(), n_rows=0)
    except pl.exceptions.PolarsError:  # a type that the file format has not
        return None
    return buffer.getvalue() if again.schema == frame.schema else None


def _holds_objects(dtype: Any) -> bool:  # noqa: ANN401 - polars is not loaded yet
    import polars as pl

    inner = [field.dtype for field in getattr(dtype, "fields", [])] or [getattr(dtype, "inner", None)]
    return dtype == pl.Object or any(_holds_objects(each) for each in inner if each is not None)


def _write_pandas(frame: Any) -> bytes | None:  # noqa: ANN401 - pandas is not loaded yet
    import pyarrow as pa

    # Arrow makes strings of other names.
    if not all(isinstance(name, str) for name in frame.columns):
        return None
    try:
        table = pa.Table.from_pandas(frame)
        again = table.to_pandas()
    except (pa.ArrowException, ValueError, TypeError, NotImplementedError):
        return None
    return _write_arrow(table) if are_frames_alike(frame, again) else None


def _write_arrow(table: Any) -> bytes | None:  # noqa: ANN401 - pyarrow ships no types
    import pyarrow as pa

    # A type of the project's own is known only to a process that has registered it.
    if any("extension<" in str(kind) for kind in table.schema.types):
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _pickle(value: object) -> bytes:
    try:
        import cloudpickle
    except ImportError as error:
        raise UnavailableError(
            f"a step returned a {type(value).__qualname__}, and cloudpickle, which keeps it, is not installed",
            hint="pip install 'petla[train]'",
        ) from error
    content: bytes = cloudpickle.dumps(value)
    return content
