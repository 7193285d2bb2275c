"""The Open Inference Protocol over HTTP: everything at and under `/v2`.

What serves is decided by deployments, not by whoever asks: `load` says yes where the model serves already, `unload` and
everything else says what to do instead.

Source: KServe, Open Inference Protocol, "HTTP/REST" and "Model Repository Extension".
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

import petla
from petla.core.errors import ConflictError, Fault, InvalidError, MalformedError, NotFoundError
from petla.models.signature import Row
from petla.serving.doors.about.health import require_ready
from petla.serving.doors.asking import ask, take_body
from petla.serving.doors.door import Answer, Visit, answer_json, join_faults, refuse_method
from petla.serving.doors.responses import Headers, Problem
from petla.serving.doors.schema import read_json
from petla.serving.doors.standards.columns import (
    Described,
    TextWay,
    choose_outputs,
    describe_inputs,
    describe_marks,
    describe_outputs,
    to_outputs,
    to_rows,
)
from petla.serving.doors.standards.lenient import replace_nan
from petla.serving.doors.standards.tensors import Tensor, decode_raw, encode_raw, make_tensor
from petla.serving.path.request import Answered, Call
from petla.serving.path.service import Service
from petla.serving.plane import Plane

NAME = "petla"
EXTENSIONS = ("binary_tensor_data", "model_repository")
PLATFORMS = {"onnx": "onnxruntime_onnx", "python": "petla_python"}

_JSON_LENGTH = b"inference-header-content-length"
_BINARY = (b"content-type", b"application/octet-stream")
_DEEPEST = 8
# The answer repeats it.
LONGEST_ID = 1_024
_LOAD_HINT = "petla deploy MODEL:VERSION, or petla rollback MODEL"


class InputBody(msgspec.Struct, frozen=True):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


class OutputBody(msgspec.Struct, frozen=True):
    """One output that is wanted."""

    name: str
    parameters: dict[str, Any] | None = None


class InferBody(msgspec.Struct, frozen=True):
    """The JSON of a request; what is null counts as absent, as many clients write it."""

    inputs: list[InputBody]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[OutputBody] | None = None


class Wanted(NamedTuple):
    """How an answer is written."""

    model: str
    service: Service
    body: InferBody


class _Taken(NamedTuple):
    """A request that was read and checked."""

    body: InferBody
    rows: list[Row]
    choose: Callable[[list[Tensor]], list[Tensor]]


_decode = msgspec.json.Decoder(InferBody).decode


def write_inference_error(status: int, problem: Problem, faults: Sequence[Fault]) -> tuple[int, bytes]:
    """Write a refusal as the protocol has it: one text. What the client did wrong is 400."""
    return 400 if status == 422 else status, msgspec.json.encode({"error": join_faults(problem, faults)})


async def answer_inference(plane: Plane, visit: Visit) -> Answer:
    """Answer whatever is asked under `/v2`.

    Raises:
        NotFoundError: there is no such path or model.
        InvalidError: the request is wrong.
        UnavailableError: not ready, or as `Lane.answer`.
    """
    parts = visit.path.removeprefix("/v2").strip("/").split("/")
    is_reading = visit.method != "POST"
    match parts:
        case ["models", model, "infer"] | ["models", model, "versions", _, "infer"]:
            found = plane.get_service(model, parts[3] if len(parts) == 5 else "")
            visit.metrics = found.metrics
            return _refuse_get(visit) if is_reading else await _infer(model, found, visit)
        case ["repository", *rest]:
            return _refuse_get(visit) if is_reading else _answer_repository(plane, rest, visit)
        case _ if is_reading:
            return answer_json(msgspec.json.encode(_read(plane, parts)))
        case _:
            return refuse_method(write_inference_error, visit, ("GET",))


def list_models(plane: Plane) -> list[dict[str, str]]:
    """Return the repository's index: what serves, and what should and cannot."""
    ready = [
        {"name": name, "version": version, "state": "READY", "reason": ""}
        for name, service in plane.services.items()
        for version in service.versions
    ]
    failing = [
        {"name": name, "version": "", "state": "UNAVAILABLE", "reason": reason}
        for name, reason in plane.failing.items()
    ]
    return ready + failing


def require_loaded(plane: Plane, model: str, action: str) -> None:
    """Accept to load what serves already; everything else is not for a client to decide.

    Raises:
        ConflictError: it cannot be done here.
        NotFoundError, UnavailableError: as `Plane.get_service`.
    """
    plane.get_service(model)
    if action != "load":
        raise ConflictError(f"{model} is deployed, and is not unloaded by request", hint=_LOAD_HINT)


def _refuse_get(visit: Visit) -> Answer:
    return refuse_method(write_inference_error, visit, ("POST",))


def _read(plane: Plane, parts: list[str]) -> dict[str, Any]:
    match parts:
        case [""]:
            return {"name": NAME, "version": petla.__version__, "extensions": EXTENSIONS}
        case ["health", "live"]:
            return {"live": True}
        case ["health", "ready"]:
            require_ready(plane)
            return {"ready": True}
        case ["models", model] | ["models", model, "versions", _]:
            return describe_model(model, plane.get_service(model, parts[3] if len(parts) == 4 else ""))
        case ["models", model, "ready"] | ["models", model, "versions", _, "ready"]:
            plane.get_service(model, parts[3] if len(parts) == 5 else "")
            return {"name": model, "ready": True}
        case _:
            raise NotFoundError(f"there is no {'/'.join(['/v2', *parts])[:60]!r}")


def describe_model(model: str, service: Service) -> dict[str, Any]:
    """Return a model's metadata."""
    loaded = service.champion.loaded
    signature = loaded.package.signature
    return {
        "name": model,
        "versions": list(service.versions),
        "platform": PLATFORMS[loaded.package.kind],
        "inputs": list(map(Described._asdict, describe_inputs(signature))),
        "outputs": list(map(Described._asdict, describe_outputs(signature, service.champion.words))),
    }


def _answer_repository(plane: Plane, parts: list[str], visit: Visit) -> Answer:
    match parts:
        case ["index"]:
            asked = read_json(visit.body) if visit.body.strip() else {}
            is_ready_only = isinstance(asked, dict) and asked.get("ready") is True
            found = [each for each in list_models(plane) if not is_ready_only or each["state"] == "READY"]
            return answer_json(msgspec.json.encode(found))
        case ["models", model, "load" | "unload" as action]:
            require_loaded(plane, model, action)
            return answer_json(b"{}")
        case _:
            raise NotFoundError(f"there is no {visit.path[:60]!r}")


async def _infer(model: str, service: Service, visit: Visit) -> Answer:
    taken = await take_body(len(visit.body), lambda: _take(service, visit))
    wanted = Wanted(model, service, taken.body)
    words = service.champion.words
    call = make_protocol_call(visit.call, taken.body.id or "", _parameter(taken.body, "timeout"))

    def write(answered: Answered) -> Answer:
        return _write(wanted, answered, taken.choose(to_outputs(answered, words)))

    marks: Headers = []
    status, text, headers = await ask(service, taken.rows, call, write, marks=marks)
    return status, text, [*headers, *marks]


def _take(service: Service, visit: Visit) -> _Taken:
    body, raw = _split(visit)
    signature, words = service.champion.loaded.package.signature, service.champion.words
    choose = choose_outputs([each.name for each in body.outputs or ()], signature, words)
    ways = {each.name: TextWay.of(each.parameters) for each in body.inputs if each.parameters}
    rows = to_rows(signature, service.schema, _read_tensors(body.inputs, raw), ways)
    return _Taken(body, rows, choose)


def make_protocol_call(call: Call, request_id: str, timeout_us: Any) -> Call:  # noqa: ANN401 - any JSON value
    """Add to a call what the request itself says: its id, and the parameter `timeout` in microseconds.

    Raises:
        InvalidError: the id is longer than an answer repeats.
    """
    if len(request_id) > LONGEST_ID:
        raise InvalidError(
            f"`id` must have at most {LONGEST_ID} characters, got {len(request_id)}",
            hint="send a shorter id",
            field="id",
        )
    if request_id:
        call = call._replace(request_id=request_id[:128].replace("\0", ""))
    if isinstance(timeout_us, int) and timeout_us > 0:
        call = call._replace(deadline_ns=call.at_ns + timeout_us * 1_000)
    return call


def _split(visit: Visit) -> tuple[InferBody, bytes]:
    """Return a request's JSON, and the raw bytes behind it."""
    body, length = visit.body, visit.headers.get(_JSON_LENGTH)
    raw = b""
    if length is not None:
        if not length.isdigit() or len(length) > 12 or int(length) > len(body):
            shown = length[:20].decode("latin-1")
            raise MalformedError(
                f"Inference-Header-Content-Length is {shown!r}, but the body has {len(body)} bytes",
                field="Inference-Header-Content-Length",
            )
        body, raw = body[: int(length)], body[int(length) :]
    return _read_body(body), raw


def _read_body(body: bytes) -> InferBody:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidError(f"the request is not of the protocol's form: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        known = replace_nan(body)
        if known != body:
            return _read_body(known)
        read_json(body)
        raise MalformedError("the body is not JSON", hint="send an object with 'inputs'") from None


def _read_tensors(inputs: list[InputBody], raw: bytes) -> list[Tensor]:
    tensors, start = [], 0
    for each in inputs:
        size = _parameter(each, "binary_data_size")
        if _parameter(each, "shared_memory_region") is not None:
            raise InvalidError(f"input {each.name[:60]!r}: shared memory is not taken", hint="send its data")
        if size is None:
            tensors.append(make_tensor(each.name, each.datatype, each.shape, _flatten(each.data)))
            continue
        if type(size) is not int or not 0 <= size <= len(raw) - start:
            raise InvalidError(
                f"input {each.name[:60]!r} has a binary_data_size of {size!r:.30}; {len(raw) - start} bytes are left",
                field=each.name[:60],
            )
        tensors.append(decode_raw(each.name, each.datatype, each.shape, raw[start : start + size]))
        start += size
    if start != len(raw):
        raise InvalidError(
            f"{len(raw) - start} raw bytes belong to no input", hint="say binary_data_size of each input"
        )
    return tensors


def _parameter(part: InferBody | InputBody | OutputBody, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a parameter; None: it is absent or null."""
    return (part.parameters or {}).get(name)


def _flatten(data: Any) -> list[Any]:  # noqa: ANN401 - lists of lists
    """Return the values of a nested list, row by row; the protocol allows nesting and does not want it."""
    values = data if isinstance(data, list) else [data]
    for _ in range(_DEEPEST):
        if not any(isinstance(value, list) for value in values):
            return values
        values = [each for value in values for each in (value if isinstance(value, list) else [value])]
    raise InvalidError(f"data is nested more than {_DEEPEST} deep", hint="send it flat, row by row", field="data")


def _write(wanted: Wanted, answered: Answered, outputs: list[Tensor]) -> Answer:
    is_binary_by_default = _parameter(wanted.body, "binary_data_output") is True
    asked = {each.name: _parameter(each, "binary_data") for each in wanted.body.outputs or ()}
    parts: list[bytes] = []
    described: list[dict[str, Any]] = []
    for tensor in outputs:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        is_binary = asked.get(tensor.name)
        if is_binary is True or (is_binary is None and is_binary_by_default):
            parts.append(encode_raw(tensor.datatype, tensor.values))
            one["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            one["data"] = tensor.values
        described.append(one)
    content: dict[str, Any] = {"model_name": wanted.model, "model_version": str(answered.version)}
    if wanted.body.id:
        content["id"] = wanted.body.id
    if parameters := describe_marks(answered):
        content["parameters"] = parameters
    text = msgspec.json.encode(content | {"outputs": described})
    if not parts:
        return answer_json(text)
    whole = b"".join([text, *parts])
    headers: Headers = [_BINARY, (_JSON_LENGTH, b"%d" % len(text)), (b"content-length", b"%d" % len(whole))]
    return 200, whole, headers
