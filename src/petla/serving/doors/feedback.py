"""`POST /feedback`: one truth, or a list of them."""

import time
from typing import Annotated

import msgspec
from msgspec import Meta

from petla.core.decoding import decode_table
from petla.core.errors import Fault, InvalidError
from petla.core.ids import DecisionId
from petla.decisions.record import Feedback
from petla.serving.doors.door import Answer, Visit, answer_json
from petla.serving.doors.schema import FAULT_LIMIT, read_json, refuse
from petla.serving.plane import Plane

_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class TruthBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What turned out to be true about one decision."""

    # a NUL is in no id of ours, and in no text of PostgreSQL's
    id: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[^\\x00]*$")]
    truth: bool | _Integer | float | Annotated[str, Meta(max_length=1_000)]


# of one request; more are sent in several
MOST = 10_000

_decode_one = msgspec.json.Decoder(TruthBody).decode
_SPLIT = "send them in several requests"
_decode_many = msgspec.json.Decoder(list[TruthBody]).decode


async def take_feedback(plane: Plane, visit: Visit) -> Answer:
    """Answer `POST /feedback`, once it is recorded.

    Raises:
        InvalidError: as `decode_feedback`.
        UnavailableError: it could not be recorded.
    """
    feedback = decode_feedback(visit.body, time.time_ns())
    await plane.recorder.record_feedback(feedback)
    plane.metrics.feedback_unknown_class += sum(not plane.is_label(each.truth) for each in feedback)
    return answer_json(b'{"accepted":%d}' % len(feedback), 202)


def decode_feedback(body: bytes, at_ns: int) -> list[Feedback]:
    """Return the records of a body.

    Raises:
        MalformedError: it is no JSON.
        InvalidError: it is JSON of another form, with every fault, up to a hundred; or a list that is too long.
    """
    try:
        truths = _decode_many(body) if body[:1] == b"[" else [_decode_one(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        truths = _explain(body)
    if not truths:
        raise InvalidError(
            "the body is an empty list", hint='send {"id": "...", "truth": ...} or a list of such objects'
        )
    if len(truths) > MOST:
        raise InvalidError(f"the body has {len(truths)} labels, and at most {MOST} are taken at once", hint=_SPLIT)
    return [Feedback(DecisionId(truth.id), truth.truth, at_ns) for truth in truths]


def _explain(body: bytes) -> list[TruthBody]:
    content = read_json(body, unknown="send a label once it is known")
    faults: list[Fault] = []
    truths = []
    for index, raw in enumerate(content if isinstance(content, list) else [content]):
        truth, found = decode_table(TruthBody, raw, f"[{index}]" if isinstance(content, list) else "")
        faults += found
        if len(faults) >= FAULT_LIMIT:
            break
        if truth is not None:
            truths.append(truth)
    if faults:
        raise refuse(faults[:FAULT_LIMIT])
    return truths
