"""MLflow's scoring protocol: `/invocations`, and what its servers answer beside it.

The model is the only one that serves, the one of the header `x-petla-model`, or the one in `/invocations/{model}`.
`predictions` are the labels; with `{"params": {"columns": true}}` objects with every word of the answer, with a list
of words those alone.

Source: MLflow documentation, "Deploy MLflow Model as a Local Inference Server", accepted inputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

import petla
from petla.core.errors import Fault, InvalidError, NotFoundError
from petla.models.signature import Row
from petla.serving.doors.asking import ask, take_body
from petla.serving.doors.door import Answer, Visit, answer_json, answer_text, join_faults
from petla.serving.doors.inputs.texts import read_csv
from petla.serving.doors.responses import Headers, Problem
from petla.serving.doors.standards.columns import choose_outputs, to_outputs
from petla.serving.doors.standards.lenient import read_known
from petla.serving.path.request import Answered
from petla.serving.path.service import Service
from petla.serving.plane import Plane

PATH = "/invocations"
MODEL_HEADER = b"x-petla-model"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_CODES = {400: "BAD_REQUEST", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}


def write_invocations_error(status: int, problem: Problem, faults: Sequence[Fault]) -> tuple[int, bytes]:
    """Write a refusal as MLflow does. What the client did wrong is 400."""
    shown = 400 if status == 422 else status
    content = {"error_code": _CODES.get(shown, "BAD_REQUEST"), "message": join_faults(problem, faults)}
    return shown, msgspec.json.encode(content)


async def say_version(_plane: Plane, _visit: Visit) -> Answer:
    """Answer `GET /version`."""
    return answer_text(petla.__version__.encode())


async def answer_invocations(plane: Plane, visit: Visit) -> Answer:
    """Answer `POST /invocations`.

    Raises:
        NotFoundError: no such model serves.
        InvalidError: the request is wrong, or it does not say which of several models is meant.
        UnavailableError: as `Lane.answer`.
    """
    service = _choose_service(plane, visit)
    visit.metrics = service.metrics
    rows, columns = await take_body(len(visit.body), lambda: _take(service, visit))
    marks: Headers = []
    answer: bytes = await ask(service, rows, visit.call, _make_write(service, columns), marks=marks)
    status, body, headers = answer_json(answer)
    return status, body, [*headers, *marks]


def _choose_service(plane: Plane, visit: Visit) -> Service:
    model = visit.path.removeprefix(PATH).strip("/") or visit.headers.get(MODEL_HEADER, b"").decode("latin-1")
    if model:
        return plane.get_service(model)
    known = [*plane.services, *plane.failing]
    if len(known) == 1:
        return plane.get_service(known[0])
    if not known:
        raise NotFoundError("no model is served", hint="petla deploy MODEL:VERSION")
    raise InvalidError(
        f"{len(known)} models are served, and the request does not say which is meant",
        hint=f"ask {PATH}/MODEL, or send the header {MODEL_HEADER.decode()}",
        field=MODEL_HEADER.decode(),
    )


def _take(service: Service, visit: Visit) -> tuple[list[Row], Any]:
    """Return the rows, and which columns are asked for."""
    kind = visit.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind == b"text/csv":
        return service.schema.take_table(*read_csv(visit.body, service.champion.loaded.package.signature)), None
    return _read_body(service, visit.body)


def _read_body(service: Service, body: bytes) -> tuple[list[Row], Any]:
    content = read_known(body)
    given = [form for form in FORMS if isinstance(content, dict) and form in content]
    if len(given) != 1:
        raise InvalidError(f"the body must have exactly one of the keys {', '.join(FORMS)}", hint="send one of them")
    form, params = given[0], content.get("params") or {}
    if not isinstance(params, dict):
        raise InvalidError("params is no object", field="params")
    data = content[form]
    names = [field.name for field in service.champion.loaded.package.signature.inputs]
    if form == "dataframe_split":
        return service.schema.take_records(_join_split(data)), params.get("columns")
    if form == "inputs" and isinstance(data, dict):
        columns = _list_columns(data)
        return service.schema.take_columns(columns, len(next(iter(columns.values())))), params.get("columns")
    records = _require_rows(form, data)
    if form != "dataframe_records":
        records = [_name(row, names) for row in records]
    return service.schema.take_records(records), params.get("columns")


def _require_rows(form: str, data: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(data, list) or not data:
        raise InvalidError(f"{form} must be a list with a row at least", field=form)
    return data


def _join_split(data: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    columns = data.get("columns") if isinstance(data, dict) else None
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise InvalidError("dataframe_split must have 'columns', a list of names", field="dataframe_split.columns")
    rows = _require_rows("dataframe_split.data", data.get("data"))
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise InvalidError(
                f"dataframe_split.data[{index}] must be a list of {len(columns)} values",
                field=f"dataframe_split.data[{index}]",
            )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _list_columns(data: dict[str, Any]) -> dict[str, list[Any]]:
    columns = {name: values if isinstance(values, list) else [values] for name, values in data.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise InvalidError("inputs must be lists of one length, with a row at least", field="inputs")
    return columns


def _name(row: Any, names: list[str]) -> Any:  # noqa: ANN401 - any JSON value
    """Return a row that is a list as an object, in the order of the signature; a lone input needs no list."""
    if isinstance(row, dict):
        return row
    if len(names) == 1 and not (isinstance(row, list) and len(row) == 1):
        return {names[0]: row}
    if isinstance(row, list) and len(row) == len(names):
        return dict(zip(names, row, strict=True))
    raise InvalidError(f"a row must be an object, or a list of {len(names)} values in the order {', '.join(names)}")


def _make_write(service: Service, columns: Any) -> Callable[[Answered], bytes]:  # noqa: ANN401 - any JSON value
    if columns in (None, False):
        return lambda answered: msgspec.json.encode({"predictions": answered.labels})
    words, signature = service.champion.words, service.champion.loaded.package.signature
    names = [] if columns is True else columns
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidError("params.columns must be true, or a list of words of the answer", field="params.columns")
    choose = choose_outputs(names, signature, words)

    def write(answered: Answered) -> bytes:
        outputs = choose(to_outputs(answered, words))
        values = zip(*(tensor.values for tensor in outputs), strict=True)
        keys = [tensor.name for tensor in outputs]
        return msgspec.json.encode({"predictions": [dict(zip(keys, each, strict=True)) for each in values]})

    return write
