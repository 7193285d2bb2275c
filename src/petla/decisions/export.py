"""Labelled decisions as training data: what was scored, with what turned out to be true in the place of the target."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from petla.core.errors import InvalidError, NotFoundError
from petla.data.profile.columns import Kind
from petla.decisions.feedback import records
from petla.decisions.record import DIGEST, LabelledInputs
from petla.models import registry
from petla.models.conversion.dtypes import arrow_type_of, to_arrow_times, type_of_arrow
from petla.models.conversion.timestamps import parse_type, read_timestamp
from petla.models.runtime.labels import make_reader
from petla.models.signature import InputField, Signature, decode_picture
from petla.storage.database import reading
from petla.storage.files import reported
from petla.storage.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

# PyArrow's errors are these as well
_UNFIT = (ValueError, TypeError, ArithmeticError, NotImplementedError)

logger = logging.getLogger(__name__)


def export_labelled(ws: Workspace, model: str, target: Path, *, rows: int) -> int:
    """Write the newest labelled decisions of a model, of all its versions, in the order of the decisions.

    Columns are the inputs of the signature, typed as in the dataset that retraining makes versions of, then the target.
    Every value is converted by itself to its column's type, a timestamp by the rule of `models.conversion.timestamps`.
    A row with a value that its column does not hold, as old logs have, is left out, counted and logged. A row whose
    label is no class of the model is left out. Memory is bounded by one page of rows.

    Args:
        ws: the project.
        model: whose decisions.
        target: the file to write, Parquet or CSV by its suffix.
        rows: at most so many.

    Returns:
        The number of rows written.

    Raises:
        NotFoundError: the model has no version.
        UnavailableError: the file cannot be written.
    """
    signature = _signature_of(ws, model)
    schema = _schema_of(signature, _stored_schema(ws, model))
    n_written = 0
    unfit = _Unfit()
    with reported(target), _open(target, schema) as writer, reading(ws.engine) as connection:
        for page in records.list_newest_labelled(connection, ws.name, model, rows):
            table = _make_table(page, signature, schema, unfit)
            writer.write_table(table)
            n_written += table.num_rows
    if unfit.rows:
        said = {"model": model, "rows": unfit.rows, "decision": unfit.decision, "field": unfit.field}
        logger.warning("export.left_out", extra=said)
    return n_written


class _Unfit:
    """Rows that were left out because a value does not fit its column."""

    def __init__(self) -> None:
        self.rows = 0
        # the first of them
        self.decision = ""
        self.field = ""

    def note(self, decision: str, field: str) -> None:
        if not self.rows:
            self.decision, self.field = decision, field
        self.rows += 1


def _make_table(page: Sequence[LabelledInputs], signature: Signature, schema: "pa.Schema", unfit: _Unfit) -> "pa.Table":
    import pyarrow as pa

    read = make_reader(signature)
    kept = [(each, label) for each in page if (label := read(each.truth)) is not None]
    values = {
        field.name: [_restore(field, row.inputs.get(field.name)) for row, _ in kept] for field in signature.inputs
    }
    values[signature.target] = [label for _, label in kept]
    columns = [_to_column(values[field.name], field.type) for field in schema]
    odd: dict[int, str] = {}
    for field, (_, places) in zip(schema, columns, strict=True):
        odd = dict.fromkeys(places, field.name) | odd
    for place in sorted(odd):
        unfit.note(kept[place][0].id, odd[place])
    fitting = pa.array([place not in odd for place in range(len(kept))], type=pa.bool_())
    return pa.table([array for array, _ in columns], schema=schema).filter(fitting)


class _Writer(Protocol):
    """Parquet's and CSV's writer."""

    def write_table(self, table: Any) -> None: ...  # noqa: ANN401
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


def _open(target: Path, schema: "pa.Schema") -> _Writer:
    target.parent.mkdir(parents=True, exist_ok=True)
    writer: _Writer
    if target.suffix == ".csv":
        from pyarrow.csv import CSVWriter

        writer = CSVWriter(str(target), schema)
    elif target.suffix == ".parquet":
        from pyarrow.parquet import ParquetWriter

        writer = ParquetWriter(str(target), schema)
    else:
        raise InvalidError(f"cannot write {target.name}", hint="name a .parquet or a .csv file", field="target")
    return writer


def _signature_of(ws: Workspace, model: str) -> Signature:
    version = registry.find_champion(ws, model) or next(iter(registry.list_versions(ws, model, limit=1)), None)
    if version is None:
        raise NotFoundError(f"model {model} has no version", hint=f"make one with 'petla run --model {model}'")
    return version.certificate.signature


def _stored_schema(ws: Workspace, model: str) -> Mapping[str, Any]:
    """Return the types of the dataset's columns, where its file says them."""
    table = ws.project.models.get(model)
    if table is None or not table.retrain.dataset:
        return {}
    path = ws.root / ws.project.data[table.retrain.dataset].path
    if path.suffix != ".parquet" or not path.is_file():
        return {}
    from pyarrow.parquet import read_schema

    return {field.name: field.type for field in read_schema(path)}


def _schema_of(signature: Signature, stored: Mapping[str, Any]) -> "pa.Schema":
    import pyarrow as pa

    types = {
        Kind.NUMBER: pa.float64(),
        Kind.INTEGER: pa.int64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.CATEGORY: pa.string(),
        Kind.TEXT: pa.string(),
        Kind.IMAGE: pa.binary(),
    }
    fields: dict[str, Any] = {}
    for field in signature.inputs:
        match field.kind:
            case Kind.TENSOR:
                fields[field.name] = _tensor_type(field)
            case Kind.TIMESTAMP:
                fields[field.name] = arrow_type_of(parse_type(field.dtype))
            case _:
                fields[field.name] = types[field.kind]
    fields[signature.target] = pa.array(signature.classes).type if signature.classes else pa.float64()
    return pa.schema([(name, stored.get(name, kind)) for name, kind in fields.items()])


def _tensor_type(field: InputField) -> Any:  # noqa: ANN401 - pyarrow's own type
    import pyarrow as pa

    kind = pa.from_numpy_dtype(field.dtype)
    for _ in field.shape:
        kind = pa.list_(kind)
    return kind


def _restore(field: InputField, value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a value as training had it; None for what was too large to be recorded whole."""
    if field.kind not in (Kind.IMAGE, Kind.TENSOR) or value is None:
        return value
    if isinstance(value, str) and value.startswith(DIGEST):
        return None
    return decode_picture(value) if field.kind is Kind.IMAGE else value


def _to_column(values: list[Any], kind: Any) -> tuple[Any, list[int]]:  # noqa: ANN401 - pyarrow's own types
    """Return values as a column, null in the place of those that it does not hold, and the places of these."""
    try:
        return _to_array(values, kind), []
    except _UNFIT:
        odd = [place for place, value in enumerate(values) if not _fits(value, kind)]
        known = set(odd)
        return _to_array([None if place in known else value for place, value in enumerate(values)], kind), odd


def _fits(value: Any, kind: Any) -> bool:  # noqa: ANN401
    try:
        _to_array([value], kind)
    except _UNFIT:
        return False
    return True


def _to_array(values: list[Any], kind: Any) -> Any:  # noqa: ANN401 - pyarrow's own types
    import pyarrow as pa

    if pa.types.is_temporal(kind):
        stored = type_of_arrow(kind)
        return to_arrow_times([None if value is None else read_timestamp(value, stored) for value in values], kind)
    natural = pa.array(values)
    return natural if natural.type == kind else natural.cast(kind)
