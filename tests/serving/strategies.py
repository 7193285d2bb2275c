"""What strangers send: bodies that are nearly right, bodies that are nothing, and whole requests that are no HTTP."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.deployments.tiny import ROW

# of the project's own words and of the protocols'
_NAMES = [*ROW, "id", "truth", "inputs", "name", "shape", "datatype", "data", "outputs", "parameters", "instances"]
_NAMES += ["dataframe_split", "dataframe_records", "columns", "binary_data_size", "binary_data", "timeout", "null"]
_TEXTS = ["pl", "FP32", "FP64", "INT64", "BOOL", "BYTES", "amount", "\x00", "\ud800", "NaN", ""]
_NUMBERS = [0, 1, -1, 2**31, 2**63, 2**70, 1e308, 3.5e38, -0.0, 0.5]

leaves = (
    st.none()
    | st.booleans()
    | st.sampled_from(_NUMBERS)
    | st.sampled_from(_TEXTS)
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)
rows = st.fixed_dictionaries({}, optional={name: leaves | st.just(value) for name, value in ROW.items()})
tensors = st.fixed_dictionaries(
    {"name": st.sampled_from(_NAMES), "datatype": st.sampled_from(_TEXTS)},
    optional={
        "shape": st.lists(st.integers(-2, 2**40), max_size=3) | values,
        "data": values,
        "parameters": st.dictionaries(st.sampled_from(_NAMES), leaves, max_size=2) | values,
    },
)
contents = (
    values
    | rows
    | st.lists(rows, max_size=3)
    | st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=4) | values}, optional={"outputs": values})
    | st.dictionaries(st.sampled_from(_NAMES), values, max_size=3)
)


def encode(value: Any) -> bytes:  # noqa: ANN401 - any JSON value, and some that JSON does not have
    return json.dumps(value).encode()


def tear(body: bytes, at: int, junk: bytes) -> bytes:
    """Put something where it does not belong."""
    place = at % (len(body) + 1)
    return body[:place] + junk + body[place:]


json_bodies = contents.map(encode)
torn_bodies = st.builds(tear, json_bodies, st.integers(0, 10_000), st.binary(max_size=6))
deep_bodies = st.builds(
    lambda opening, n: opening * n, st.sampled_from([b"[", b'{"a":', b"[[],"]), st.integers(1, 20_000)
)
bodies = json_bodies | torn_bodies | deep_bodies | st.binary(max_size=60)

headers = st.dictionaries(
    st.sampled_from(
        [
            "x-request-id",
            "traceparent",
            "x-request-timeout-ms",
            "content-type",
            "inference-header-content-length",
            "authorization",
            "x-petla-explain",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    | st.sampled_from(
        ["application/json", "text/csv", "image/png", "multipart/form-data; boundary=x", "10", "-1", "1"]
    ),
    max_size=3,
)

_LINES = [
    b"POST /predict/fraud HTTP/1.1\r\n",
    b"GET /metrics HTTP/1.1\r\n",
    b"POST /v2/models/fraud/infer HTTP/1.1\r\n",
    b"POST /predict/%66raud?a=%ff HTTP/1.0\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"host: localhost\r\n",
    b"content-length: 5\r\n",
    b"content-length: -5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"expect: 100-continue\r\n",
    b"connection: upgrade\r\nupgrade: h2c\r\n",
    b"\r\n",
    b'5\r\n{"a":\r\n',
    b"0\r\n\r\n",
    b"ffffffffffffffffff\r\n",
    b"{}",
]
wire = st.lists(st.sampled_from(_LINES) | st.binary(max_size=30), max_size=12).map(b"".join)
