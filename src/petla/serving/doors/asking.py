"""What the slower doors ask a model: rows in, and what was decided written in the door's own form."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from petla.core.digests import digest_bytes
from petla.decisions.record import DIGEST
from petla.models.signature import Row, Value, decode_picture
from petla.serving.doors.inputs.pictures import check_pictures
from petla.serving.doors.responses import Headers, mark_served
from petla.serving.doors.schema import Schema
from petla.serving.path.request import Call, Request, Write
from petla.serving.path.service import Service

T = TypeVar("T")

# Larger bodies are read on a thread. So many take 2.3 ms (tensors), 2.9 ms (MLflow) or 4.2 ms (CSV) of the loop,
# measured, where the fast door takes 0.25 ms; a thread costs 0.1 ms.
INLINE_BYTES = 64 * 1024
# A larger picture, or a tensor of more numbers, is recorded by its digest alone.
LOGGED_BYTES = 64 * 1024
LOGGED_NUMBERS = 4_096


async def take_body(size_bytes: int, take: Callable[[], T]) -> T:
    """Read a body; a large one on a thread, so that other requests do not wait for it."""
    return take() if size_bytes <= INLINE_BYTES else await asyncio.to_thread(take)


async def ask(
    service: Service,
    rows: list[Row],
    call: Call,
    write: Write | None,
    *,
    is_many: bool = True,
    marks: Headers | None = None,
) -> Any:  # noqa: ANN401 - what `write` makes
    """Let a model decide about rows.

    Args:
        service: answers.
        rows: checked against the signature.
        call: what surrounds them.
        write: turns what was decided into the answer; None: JSON in the model's own words.
        is_many: whether that is a list.
        marks: gets the headers that say what is unusual about the answer.

    Raises:
        InvalidError: a picture cannot be read, or a number is too large.
        UnavailableError: as `Lane.answer`.
    """
    subjects = [call.subject] * len(rows) if call.subject else ()
    request = Request(rows, call, is_many=is_many, write=write, subjects=subjects)
    if not service.schema.is_flat:
        await check_pictures(service.schema, rows, is_many=is_many)
        request.logged = [shorten(service.schema, row) for row in rows]
    answer = await service.answer(request)
    if marks is not None:
        marks += mark_served([], request.served_by)
    return answer


def shorten(schema: Schema, row: Row) -> Row:
    """Return a row as it is recorded: what is very large as `blake3:` and the digest of its bytes."""
    return tuple(
        _shorten(value, is_picture=i in schema.pictures) if i in schema.pictures or i in schema.tensors else value
        for i, value in enumerate(row)
    )


def _shorten(value: Value, *, is_picture: bool) -> Value:
    if is_picture and isinstance(value, str) and len(value) * 3 // 4 > LOGGED_BYTES:
        return DIGEST + digest_bytes(decode_picture(value))
    if isinstance(value, list) and _count(value) > LOGGED_NUMBERS:
        return DIGEST + digest_bytes(msgspec.json.encode(value))
    return value


def _count(value: Any) -> int:  # noqa: ANN401 - a number, or lists of them
    return len(value) * _count(value[0]) if isinstance(value, list) and value else 1
