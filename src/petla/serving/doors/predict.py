"""`POST /predict/{model}` of models that take pictures or tensors, and of models that do not serve.

A picture comes as base64 text in JSON, as the whole body (`content-type: image/png`), or as a part of a form
(`multipart/form-data`) whose other parts are the other fields.
"""

import base64
import io
from typing import Any

from multipart import MultipartError, MultipartParser, parse_options_header

from petla.core.errors import InvalidError, MalformedError
from petla.data.profile.columns import Kind
from petla.models.signature import Row
from petla.serving.doors.asking import ask, take_body
from petla.serving.doors.door import Answer, Visit, answer_json
from petla.serving.doors.inputs.subjects import find_subject
from petla.serving.doors.inputs.texts import read_text
from petla.serving.path.service import Service
from petla.serving.plane import PREDICT, Plane

_MOST_PARTS = 1_000


async def answer_predict(plane: Plane, visit: Visit) -> Answer:
    """Answer a prediction of a model that is not at the fast door.

    Raises:
        NotFoundError: no such model serves.
        InvalidError: the request is wrong.
        UnavailableError: the model cannot serve, or as `Lane.answer`.
    """
    service = plane.get_service(visit.path.removeprefix(PREDICT))
    visit.metrics = service.metrics
    rows, is_many = await take_body(len(visit.body), lambda: _take(service, visit))
    answer: bytes = await ask(service, rows, visit.call, None, is_many=is_many, subject=find_subject(visit.headers))
    return answer_json(answer)


def _take(service: Service, visit: Visit) -> tuple[list[Row], bool]:
    body = visit.body
    kind, options = parse_options_header(visit.headers.get(b"content-type", b"").decode("latin-1"))
    if kind.startswith("image/"):
        return [_read_picture(service, body)], False
    if kind == "multipart/form-data":
        return [_read_form(service, body, options.get("boundary", ""))], False
    return service.schema.decode(body)


def _read_picture(service: Service, body: bytes) -> Row:
    """Return the row of a body that is a picture; every other field is null."""
    fields = service.champion.loaded.package.signature.inputs
    pictures = [field.name for field in fields if field.kind is Kind.IMAGE]
    if len(pictures) != 1:
        raise InvalidError(
            f"the body is one picture, but the model takes {len(pictures)}", hint="send JSON or multipart/form-data"
        )
    record: dict[str, Any] = {field.name: None for field in fields}
    record[pictures[0]] = base64.b64encode(body).decode()
    return service.schema.take_records([record], is_many=False)[0]


def _read_form(service: Service, body: bytes, boundary: str) -> Row:
    """Return the row of a form: pictures as they are, everything else as text."""
    fields = {field.name: field for field in service.champion.loaded.package.signature.inputs}
    record: dict[str, Any] = {field.name: None for field in fields.values() if field.is_nullable}
    for name, content in _list_parts(body, boundary):
        field = fields.get(name)
        if field is not None and field.kind is Kind.IMAGE:
            record[name] = base64.b64encode(content).decode()
            continue
        try:
            record[name] = read_text(field, content.decode())
        except UnicodeDecodeError as error:
            raise InvalidError(f"{name[:60]} is not UTF-8", field=name[:60]) from error
    return service.schema.take_records([record], is_many=False)[0]


def _list_parts(body: bytes, boundary: str) -> list[tuple[str, bytes]]:
    if not boundary:
        raise MalformedError("the form has no boundary", hint="say it: content-type: multipart/form-data; boundary=...")
    try:
        # the body is in memory as it is: nothing of it goes to a disk
        limits = {"part_limit": _MOST_PARTS, "spool_limit": len(body) + 1, "memory_limit": len(body) + 1}
        parser = MultipartParser(io.BytesIO(body), boundary, len(body), **limits)
        return [(part.name or "", part.raw) for part in parser.parts()]
    except MultipartError as error:
        raise MalformedError(f"the form cannot be read: {error}", hint="send multipart/form-data") from error
