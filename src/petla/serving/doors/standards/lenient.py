"""Numbers as the standards' own clients write them: NaN, which JSON does not have, where a value is not known."""

import re
from typing import Any

import msgspec

from petla.serving.doors.schema import read_json

_NAN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|NaN', re.DOTALL)


def read_known(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read a body as JSON, in which NaN stands for null.

    Raises:
        MalformedError: it is none; the message says where and why.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return read_json(replace_nan(body))


def replace_nan(body: bytes) -> bytes:
    """Write null for each NaN that is not in a text, as Python's `json` and so MLflow's and Triton's clients write it.

    Example:
        >>> replace_nan(b'{"NaN": [NaN, 1]}')
        b'{"NaN": [null, 1]}'
    """
    return _NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body) if b"NaN" in body else body
