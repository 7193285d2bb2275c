"""`GET /openapi.json`: the data plane described in OpenAPI 3.1, made from the signatures of what serves.

Source: OpenAPI Specification 3.1.1; JSON Schema 2020-12.
"""

from typing import Any

import msgspec
import numpy as np

import petla
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Value
from petla.serving.doors.door import Answer, Visit, answer_json
from petla.serving.doors.inputs.values import INT64 as WHOLE
from petla.serving.doors.inputs.values import describe, largest_of, range_of
from petla.serving.doors.standards.columns import describe_outputs
from petla.serving.doors.standards.invocations import FORMS
from petla.serving.doors.standards.rest import LONGEST_ID
from petla.serving.doors.standards.tensors import BOOL, BYTES, INT64, MOST_DIMENSIONS, NUMBERS
from petla.serving.path.service import Service
from petla.serving.plane import PREDICT, Plane

Json = dict[str, Any]

# of a 32-bit float
_LARGEST = 3.4028234663852886e38
_TYPES: dict[Kind, Json] = {
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.IMAGE: {"type": "string", "contentEncoding": "base64"},
}
_OUTPUTS: dict[str, Json] = {BOOL: {"type": "boolean"}, INT64: {"type": "integer"}, BYTES: {"type": "string"}}
_ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("code", "message", "field", "hint")},
            "required": ["code", "message", "field", "hint"],
        },
        "faults": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "message", "hint")},
            },
        },
    },
    "required": ["error"],
}
_TENSOR: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 1,
            "maxItems": MOST_DIMENSIONS,
        },
        "datatype": {"enum": [*NUMBERS, BYTES]},
        "data": {"type": "array"},
        "parameters": {"type": ["object", "null"]},
    },
    "required": ["name", "shape", "datatype", "data"],
}
_INFERENCE: Json = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "null"], "maxLength": LONGEST_ID},
        "parameters": {"type": ["object", "null"]},
        "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}, "minItems": 1},
        "outputs": {
            "type": ["array", "null"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        },
    },
    "required": ["inputs"],
}
_INFERRED: Json = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
    },
    "required": ["model_name", "outputs"],
}
_TRUTH: Json = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^\x00]*$"},
        "truth": {
            "anyOf": [
                {"type": "boolean"},
                {"type": "integer", "minimum": WHOLE[0], "maximum": WHOLE[1]},
                {"type": "number"},
                {"type": "string", "maxLength": 1_000},
            ]
        },
    },
    "required": ["id", "truth"],
    "additionalProperties": False,
}
_EXPLAIN: list[Json] = [
    {
        "name": "explain",
        "in": "query",
        "schema": {"enum": ["1", "0", "true", "false"]},
        "description": "whether answers say by how much each value moves the score away from a typical value's",
    },
    {
        "name": "X-Petla-Explain",
        "in": "header",
        "schema": {"enum": ["1", "0", "true", "false"]},
        "description": "the same",
    },
]
_REASONS = {
    "400": "the body is not what it claims to be",
    "404": "no such model",
    "413": "the body is too large",
    "422": "the body is not what the signature says",
    "503": "not now; ask again a little later",
}


async def show_document(plane: Plane, _visit: Visit) -> Answer:
    """Answer `GET /openapi.json`."""
    return answer_json(msgspec.json.encode(make_document(plane)))


def make_document(plane: Plane) -> Json:
    """Describe everything that may be asked of a worker at the moment."""
    schemas: Json = {
        "Error": _ERROR,
        "Tensor": _TENSOR,
        "Inference": _INFERENCE,
        "Inferred": _INFERRED,
        "Truth": _TRUTH,
    }
    paths: Json = {
        "/feedback": {"post": _operation("feedback", _one_or_many("Truth"), {"type": "object"}, status="202")},
        "/healthz": {"get": _reading("healthz", "the process runs")},
        "/readyz": {"get": _reading("readyz", "everything that is deployed is loaded")},
        "/v2": {"get": _reading("serverMetadata", "name, version and extensions")},
        "/v2/health/live": {"get": _reading("serverLive", "the process runs")},
        "/v2/health/ready": {"get": _reading("serverReady", "everything that is deployed is loaded")},
    }
    for number, (model, service) in enumerate(plane.services.items()):
        # names of models may have characters that names of schemas may not
        row, answer = f"Row{number}", f"Answer{number}"
        schemas[row], schemas[answer] = _describe_row(service), _describe_answer(service)
        paths[PREDICT + model] = {"post": _predict(model, service, row, answer)}
        paths[f"/v2/models/{model}"] = {"get": _reading(f"metadata_{number}", f"inputs and outputs of {model}")}
        paths[f"/v2/models/{model}/ready"] = {"get": _reading(f"ready_{number}", f"whether {model} serves")}
        paths[f"/v2/models/{model}/infer"] = {
            "post": _operation(f"infer_{number}", _reference("Inference"), _reference("Inferred"))
        }
        paths[f"/invocations/{model}"] = {
            "post": _operation(f"invocations_{number}", _invocations(), {"type": "object"})
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pętla, data plane", "version": petla.__version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _predict(model: str, service: Service, row: str, answer: str) -> Json:
    found = _operation(f"predict_{row}", _one_or_many(row), _one_or_many(answer))
    found["summary"] = f"ask {model}"
    if service.schema.is_flat:
        found["parameters"] = _EXPLAIN
    content = found["requestBody"]["content"]
    signature = service.champion.loaded.package.signature
    golden = service.champion.loaded.package.golden[:1]
    if golden:
        value = {field.name: _shorten(field, each) for field, each in zip(signature.inputs, golden[0].row, strict=True)}
        content["application/json"]["examples"] = {"golden": {"summary": "a row of the holdout", "value": value}}
    if service.schema.pictures:
        content["multipart/form-data"] = {"schema": _reference(row)}
        content |= {kind: {"schema": {}} for kind in ("image/png", "image/jpeg")}
    return found


def _shorten(field: InputField, value: Value) -> Value:
    """Return a number of 32 bits, as it came from the training rows, in the digits that people write."""
    if field.kind is not Kind.NUMBER or not isinstance(value, float):
        return value
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def _describe_row(service: Service) -> Json:
    fields = service.champion.loaded.package.signature.inputs
    return {
        "type": "object",
        "properties": {field.name: _describe_field(field) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def _describe_field(field: InputField) -> Json:
    schema: Json
    match field.kind:
        case Kind.TENSOR:
            schema = _describe_tensor(field)
        case Kind.INTEGER:
            least, most = range_of(field.dtype or "int64") or WHOLE
            schema = {"type": "integer", "minimum": least, "maximum": most}
        case Kind.NUMBER:
            largest = largest_of(field) or _LARGEST
            schema = {"type": "number", "minimum": -largest, "maximum": largest}
        case _:
            schema = _TYPES.get(field.kind, {"type": "string"})
    if field.is_nullable:
        schema = schema | {"type": [schema["type"], "null"]}
    return schema | {"description": describe(field)}


def _describe_tensor(field: InputField) -> Json:
    limits = range_of(field.dtype)
    number: Json = {"type": "boolean" if field.dtype == "bool" else "number"}
    if limits is not None:
        number = {"type": "integer", "minimum": limits[0], "maximum": limits[1]}
    for size in reversed(field.shape):
        number = {"type": "array", "items": number, "minItems": size, "maxItems": size}
    return number


def _describe_answer(service: Service) -> Json:
    champion = service.champion
    outputs = describe_outputs(champion.loaded.package.signature, champion.words)
    properties = {each.name: _OUTPUTS.get(each.datatype, {"type": "number"}) for each in outputs}
    properties["version"] = {"type": "integer"}
    required = list(properties)
    if service.schema.is_flat:
        effects = {field.name: {"type": ["number", "null"]} for field in champion.loaded.package.signature.inputs}
        properties["explanation"] = {"type": "object", "properties": effects}
    return {"type": "object", "properties": properties, "required": required}


def _invocations() -> Json:
    return {"oneOf": [{"type": "object", "properties": {form: {}}, "required": [form]} for form in FORMS]}


def _operation(name: str, body: Json, answer: Json, *, status: str = "200") -> Json:
    responses = {code: _response(why, _reference("Error")) for code, why in _REASONS.items()}
    if name.startswith(("infer_", "invocations_")):
        responses = {code: {"description": why} for code, why in _REASONS.items()}
    return {
        "operationId": name,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {status: _response("done", answer)} | responses,
    }


def _reading(name: str, what: str) -> Json:
    responses = {"200": {"description": what}, "503": {"description": _REASONS["503"]}}
    return {"operationId": name, "responses": responses}


def _response(what: str, schema: Json) -> Json:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _one_or_many(name: str) -> Json:
    return {"oneOf": [_reference(name), {"type": "array", "items": _reference(name), "minItems": 1}]}
