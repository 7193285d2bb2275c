"""Any span of the decision log as a file: Parquet, CSV or JSON lines, page by page."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from petla.core.errors import InvalidError, NotFoundError
from petla.decisions import records
from petla.decisions.record import LoggedDecision, Wanted
from petla.storage.database import reading
from petla.storage.files import reported
from petla.storage.workspace import Workspace

# of the fields of an exported decision, as docs/decision-log.md has them
SCHEMA = 1

_LEFT_OUT = ("feedback", "shadows")
_NUMBERS = {"schema": "int32", "seq": "int64", "version": "int32", "score": "float64", "latency_us": "int64"}
# of any form in the log, so texts in a table
_JSON = frozenset(("data", "inputs", "flags", "label", "explanation", "truth"))
FIELDS = ("schema", *(name for name in LoggedDecision.__struct_fields__ if name not in _LEFT_OUT))

_Write = Callable[[list[LoggedDecision]], None]


def export_span(ws: Workspace, wanted: Wanted, target: Path) -> int:
    """Write the decisions that are meant, oldest first; memory is bounded by one page of them.

    The file has its name only when it is complete.

    Args:
        ws: the project.
        wanted: which decisions.
        target: the file to write: .parquet, .csv or .jsonl.

    Returns:
        The number of decisions written.

    Raises:
        InvalidError: the file's name says no known form.
        NotFoundError: the folder that it is to be in does not exist.
        UnavailableError: the file cannot be written, or the database cannot be read.
    """
    open_writer = _WRITERS.get(target.suffix)
    if open_writer is None:
        raise InvalidError(f"cannot write {target.name}", hint=f"name a file {' or '.join(_WRITERS)}", field="target")
    if not target.parent.is_dir():
        hint = f"make it with 'mkdir -p {shlex.quote(str(target.parent))}', or name another one"
        raise NotFoundError(
            f"there is no folder {target.parent} to write {target.name} into", hint=hint, field="target"
        )
    n_rows = 0
    temporary = target.with_name(f".{target.name}.part")
    with reported(target), contextlib.ExitStack() as held:
        held.callback(temporary.unlink, missing_ok=True)
        with open_writer(temporary) as write, reading(ws.engine) as connection:
            for page in records.list_pages(connection, ws.name, wanted):
                write(page)
                n_rows += len(page)
        temporary.replace(target)
    return n_rows


@contextlib.contextmanager
def _open_lines(path: Path) -> Iterator[_Write]:
    encode = msgspec.json.encode
    with path.open("wb") as file:
        yield lambda page: file.writelines(encode(_values_of(decision)) + b"\n" for decision in page)


@contextlib.contextmanager
def _open_parquet(path: Path) -> Iterator[_Write]:
    from pyarrow.parquet import ParquetWriter

    schema = _arrow_schema().with_metadata({"petla.decisions.schema": str(SCHEMA)})
    with ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda page: writer.write_table(_to_table(page))


@contextlib.contextmanager
def _open_csv(path: Path) -> Iterator[_Write]:
    from pyarrow.csv import CSVWriter

    with CSVWriter(str(path), _arrow_schema()) as writer:
        yield lambda page: writer.write_table(_to_table(page))


_WRITERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[_Write]]] = {
    ".parquet": _open_parquet,
    ".csv": _open_csv,
    ".jsonl": _open_lines,
}


def _values_of(decision: LoggedDecision) -> dict[str, Any]:
    return {"schema": SCHEMA} | {name: getattr(decision, name) for name in FIELDS[1:]}


def _to_table(page: list[LoggedDecision]) -> Any:  # noqa: ANN401 - pyarrow's table
    import pyarrow as pa

    columns: dict[str, list[Any]] = {"schema": [SCHEMA] * len(page)}
    for name in FIELDS[1:]:
        values = [getattr(decision, name) for decision in page]
        columns[name] = [_to_json(value) for value in values] if name in _JSON else values
    return pa.table(columns, schema=_arrow_schema())


def _to_json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _arrow_schema() -> Any:  # noqa: ANN401 - pyarrow's schema
    import pyarrow as pa

    return pa.schema([(name, getattr(pa, _NUMBERS[name])() if name in _NUMBERS else pa.string()) for name in FIELDS])
