"""What strangers send over HTTP: requests that are right, with what must come back, and requests broken in each way.

Every request has a connection of its own, which is closed behind it; so whatever was sent, reading ends.
"""

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from petla.serving.doors.standards.tensors import encode_raw
from tests.deployments.tiny import MODEL, score_of

BIAS = -4.0
CAT = "cat"
TOLERANCE = 1e-5

Row = tuple[float, int | None, str]


class Reply(NamedTuple):
    """One answer on a connection."""

    status: int
    body: bytes

    @property
    def content(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body as JSON."""
        return json.loads(self.body)


class Asked(NamedTuple):
    """What is sent, and whether what came back is right; None: whatever is no fault of the server is."""

    wire: bytes
    is_right: Callable[[Sequence[Reply]], bool] | None = None


Kind = Callable[[random.Random], Asked]


def post(path: str, body: bytes, *headers: bytes, keep: bool = False) -> bytes:
    """Write a request that is right about its length."""
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"host: localhost", b"content-length: %d" % len(body), *headers]
    if not keep:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", body])


# --- right ------------------------------------------------------------------------------------


def make_rows(chance: random.Random, most: int = 5) -> list[Row]:
    """Draw rows; no score is near a half, so that the label is sure."""
    return [
        (chance.randrange(40) / 4 + 0.1, chance.choice([None, 0, 1, 3]), chance.choice(["pl", "de", "fr"]))
        for _ in range(chance.randint(1, most))
    ]


def name_row(row: Row) -> dict[str, Any]:
    return dict(zip(("amount", "items", "country"), row, strict=True))


def are_near(found: Sequence[float], rows: Sequence[Row]) -> bool:
    expected = [score_of(*row, BIAS) for row in rows]
    return len(found) == len(rows) and all(abs(a - b) < TOLERANCE for a, b in zip(found, expected, strict=True))


def answered(check: Callable[[Any], bool]) -> Callable[[Sequence[Reply]], bool]:
    """Return whether there is one answer, with 200 and the right content."""
    return lambda replies: [reply.status for reply in replies] == [200] and check(replies[0].content)


def predict(chance: random.Random) -> Asked:
    rows = make_rows(chance, 30)
    body = json.dumps([name_row(row) for row in rows]).encode()
    return Asked(
        post(f"/predict/{MODEL}", body), answered(lambda found: are_near([each["probability"] for each in found], rows))
    )


def pipeline(chance: random.Random) -> Asked:
    rows = [make_rows(chance, 1)[0] for _ in range(chance.randint(2, 20))]
    bodies = [json.dumps(name_row(row)).encode() for row in rows]
    wire = [post(f"/predict/{MODEL}", body, keep=True) for body in bodies[:-1]]

    def is_right(replies: Sequence[Reply]) -> bool:
        return are_near([reply.content["probability"] for reply in replies], rows)

    return Asked(b"".join([*wire, post(f"/predict/{MODEL}", bodies[-1])]), is_right)


def chunk(chance: random.Random) -> Asked:
    rows = make_rows(chance)
    body = json.dumps([name_row(row) for row in rows]).encode()
    size = chance.randint(1, 40)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
    head = b"POST /predict/%b HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n" % MODEL.encode()
    return Asked(head + chunks, answered(lambda found: are_near([each["probability"] for each in found], rows)))


def list_inputs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    amounts, items, countries = map(list, zip(*rows, strict=True))
    n_rows = len(rows)
    return [
        {"name": "amount", "shape": [n_rows], "datatype": "FP64", "data": amounts},
        {"name": "items", "shape": [n_rows, 1], "datatype": "INT64", "data": items},
        {"name": "country", "shape": [n_rows], "datatype": "BYTES", "data": countries},
    ]


def infer(chance: random.Random) -> Asked:
    rows = make_rows(chance)
    body = json.dumps({"inputs": list_inputs(rows)}).encode()
    path = f"/v2/models/{MODEL}{chance.choice(['', '/versions/1'])}/infer"
    return Asked(post(path, body), answered(lambda found: are_near(found["outputs"][2]["data"], rows)))


def write_tensors(rows: Sequence[Row]) -> tuple[bytes, bytes]:
    """Return the JSON and the raw bytes of a request of the binary extension."""
    amounts, items, countries = zip(*rows, strict=True)
    known = [float("nan") if value is None else value for value in items]
    raws = [encode_raw("FP64", amounts), encode_raw("FP64", known), encode_raw("BYTES", countries)]
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
        for name, datatype, raw in zip(("amount", "items", "country"), ("FP64", "FP64", "BYTES"), raws, strict=True)
    ]
    return json.dumps({"inputs": inputs}).encode(), b"".join(raws)


def infer_raw(chance: random.Random) -> Asked:
    rows = make_rows(chance)
    head, raw = write_tensors(rows)
    wire = post(f"/v2/models/{MODEL}/infer", head + raw, b"inference-header-content-length: %d" % len(head))
    return Asked(wire, answered(lambda found: are_near(found["outputs"][2]["data"], rows)))


def list_invocations(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    """Return the bodies of each form."""
    names = list(name_row(rows[0]))
    columns = zip(*rows, strict=True)
    return [
        {"dataframe_split": {"columns": names, "data": rows}},
        {"dataframe_records": [name_row(row) for row in rows]},
        {"instances": rows},
        {"inputs": {name: list(column) for name, column in zip(names, columns, strict=True)}},
    ]


def invoke(chance: random.Random) -> Asked:
    rows = make_rows(chance)
    body = {**chance.choice(list_invocations(rows)), "params": {"columns": True}}
    return Asked(
        post(f"/invocations/{MODEL}", json.dumps(body).encode()),
        answered(lambda found: are_near([each["probability"] for each in found["predictions"]], rows)),
    )


def write_csv(rows: Sequence[Row]) -> bytes:
    lines = [",".join("" if value is None else str(value) for value in row) for row in rows]
    return "\n".join([",".join(name_row(rows[0])), *lines]).encode()


def invoke_csv(chance: random.Random) -> Asked:
    rows = make_rows(chance)
    labels = [score_of(*row, BIAS) > 0.5 for row in rows]
    wire = post(f"/invocations/{MODEL}", write_csv(rows), b"content-type: text/csv")
    return Asked(wire, answered(lambda found: found == {"predictions": labels}))


def report(chance: random.Random) -> Asked:
    body = json.dumps({"id": f"unknown-{chance.randrange(1_000)}", "truth": chance.random() < 0.5}).encode()
    return Asked(post("/feedback", body), lambda replies: [reply.status for reply in replies] == [202])


@cache
def draw_grey(kind: str, brightness: int) -> bytes:
    """Return a picture of one brightness."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (8, 8), brightness).save(buffer, kind)
    return buffer.getvalue()


def send_picture(form: int, content: bytes) -> bytes:
    """Write a picture as the body, as JSON or as a form."""
    path = f"/predict/{CAT}"
    if form == 0:
        return post(path, content, b"content-type: image/png")
    if form == 1:
        text = base64.b64encode(content).decode()
        return post(path, json.dumps({"picture": text, "zoom": None}).encode())
    part = b'--x\r\ncontent-disposition: form-data; name="picture"\r\n\r\n%b\r\n--x--\r\n' % content
    return post(path, part, b"content-type: multipart/form-data; boundary=x")


def show(chance: random.Random) -> Asked:
    brightness = chance.choice([0, 64, 128, 255])
    wire = send_picture(chance.randrange(3), draw_grey(chance.choice(["PNG", "BMP"]), brightness))
    return Asked(wire, answered(lambda found: abs(found["probability"] - brightness / 255) < TOLERANCE))


# --- broken -----------------------------------------------------------------------------------


def tear(chance: random.Random, content: bytes) -> bytes:
    """Take bytes out, put others in, or cut the end off."""
    first, last = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    match chance.randrange(4):
        case 0:
            return content[:first] + chance.randbytes(chance.randint(1, 6)) + content[first:]
        case 1:
            return content[:first]
        case 2:
            return content[:first] + content[last:]
        case _:
            return (
                content[:first] + chance.choice([b"\xff\xfe", b"\0", b"NaN", b"{", b"]", b'"', b"-1"]) + content[last:]
            )


def write_junk(chance: random.Random) -> Asked:
    starts = [
        b"",
        b"\x16\x03\x01\x02\x00",
        b"GET ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /predict/fraud HTTP/1.1\r\n",
    ]
    return Asked(chance.choice(starts) + chance.randbytes(chance.randint(0, 400)))


def tear_wire(chance: random.Random) -> Asked:
    return Asked(tear(chance, chance.choice([predict, infer, infer_raw, invoke, report, pipeline, chunk])(chance).wire))


def tear_body(chance: random.Random) -> Asked:
    """Break the body alone, so that it reaches its door."""
    rows = make_rows(chance)
    head, raw = write_tensors(rows)
    length = b"inference-header-content-length: %d" % chance.choice([len(head), len(head) + 1, 0, 10**11])
    doors = [
        (f"/predict/{MODEL}", json.dumps([name_row(row) for row in rows]).encode(), b"x: y"),
        ("/feedback", b'[{"id": "a", "truth": true}, {"id": "b", "truth": 0.5}]', b"x: y"),
        (f"/v2/models/{MODEL}/infer", json.dumps({"inputs": list_inputs(rows)}).encode(), b"x: y"),
        (f"/v2/models/{MODEL}/infer", head + raw, length),
        (f"/v2/models/{MODEL}/infer", head + raw, b"inference-header-content-length: %d" % len(head)),
        (f"/invocations/{MODEL}", write_csv(rows), b"content-type: text/csv"),
        *((f"/invocations/{MODEL}", json.dumps(each).encode(), b"x: y") for each in list_invocations(rows)),
    ]
    path, body, header = chance.choice(doors)
    return Asked(post(path, tear(chance, body), header))


def tear_picture(chance: random.Random) -> Asked:
    picture = draw_grey(chance.choice(["PNG", "JPEG", "WEBP", "GIF", "BMP"]), 128)
    return Asked(send_picture(chance.randrange(3), tear(chance, picture)))


def tear_form(chance: random.Random) -> Asked:
    head, _, body = send_picture(2, draw_grey("PNG", 128)).partition(b"\r\n\r\n")
    kind = next(line for line in head.split(b"\r\n") if line.startswith(b"content-type"))
    return Asked(post(f"/predict/{CAT}", tear(chance, body), kind))


def send_bomb(chance: random.Random) -> Asked:
    """Send a PNG whose head promises 60,000 times 60,000 pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1_000)))]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in chunks
    )
    return Asked(send_picture(chance.randrange(3), content))


def lie_about_length(chance: random.Random) -> Asked:
    wire = predict(chance).wire
    length = chance.choice([b"0", b"1", b"99999", b"-1", b"1e3", b"9" * 30, b"5\r\ncontent-length: 6", b"5, 5"])
    extra = chance.choice([b"", b"\r\ntransfer-encoding: chunked", b"\r\ntransfer-encoding: gzip"])
    head, _, body = wire.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
    return Asked(b"\r\n".join([*lines, b"content-length: " + length + extra, b"", body]))


def garble_chunks(chance: random.Random) -> Asked:
    sizes = [b"zz", b"-5", b"f" * 20, b"5;a=b", b"0", b"", b"7fffffff"]
    chunks = [chance.choice(sizes) + b"\r\n" + chance.randbytes(chance.randint(0, 9)) + b"\r\n" for _ in range(3)]
    head = b"POST /predict/%b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % MODEL.encode()
    return Asked(head + b"".join(chunks))


def end_with_trailers(chance: random.Random) -> Asked:
    """Send a right body with extensions and trailer fields, which are read past."""
    rows = make_rows(chance)
    body = json.dumps([name_row(row) for row in rows]).encode()
    head = b"POST /predict/%b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % MODEL.encode()
    fields = b"".join(b"x-%d: %b\r\n" % (n, b"y" * chance.randint(0, 99)) for n in range(chance.randint(0, 99)))
    chunks = b"%x;a=%b\r\n%b\r\n0;b\r\n" % (len(body), b"c" * chance.randint(0, 9_000), body)
    last = b"GET /ping HTTP/1.1\r\nconnection: close\r\n\r\n"

    def is_right(replies: Sequence[Reply]) -> bool:
        return len(replies) == 2 and are_near([each["probability"] for each in replies[0].content], rows)

    return Asked(head + chunks + fields + b"content-type: x\r\n\r\n" + last, is_right)


def surround_endlessly(chance: random.Random) -> Asked:
    """Send extensions or trailer fields without end; the connection is refused and cut."""
    head = b"POST /predict/%b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % MODEL.encode()
    begin = chance.choice([b"0\r\n", b"0\r\na: ", b"2;", b""])
    block = chance.choice([b"a: b\r\n", b"1;" + b"a" * 500 + b"\r\n \r\n", b"a" * 500])
    wire = head + begin + block * (1_000_000 // len(block))
    return Asked(wire, lambda replies: all(reply.status in (400, 431) for reply in replies))


def pipeline_junk(chance: random.Random) -> Asked:
    """Send right requests with junk behind them; what was right is answered right, or the connection ends."""
    wire = b"".join(
        post(f"/predict/{MODEL}", b'{"amount": 1, "items": 1, "country": "pl"}', keep=True) for _ in range(5)
    )
    return Asked(wire + chance.randbytes(20) + chance.choice([b"\r\n\r\n", b""]))


def send_large(chance: random.Random) -> Asked:
    unit = chance.choice([b"x", b"[", b'{"a":', b" "])
    body = unit * (10_000_000 // len(unit))
    if chance.random() < 0.5:
        return Asked(post(f"/predict/{MODEL}", body))
    head = b"POST /predict/%b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" % MODEL.encode()
    return Asked(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


def nest(chance: random.Random) -> Asked:
    path = chance.choice([f"/predict/{MODEL}", "/feedback", f"/v2/models/{MODEL}/infer", f"/invocations/{MODEL}"])
    return Asked(post(path, chance.choice([b"[", b'{"inputs":', b"[[],", b'{"a":[']) * chance.randint(100, 40_000)))


def write_bad_text(chance: random.Random) -> Asked:
    bad = chance.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800", b"\0"])
    body = b'{"amount": 1.5, "items": 2, "country": "' + bad + b'"}'
    return Asked(post(chance.choice([f"/predict/{MODEL}", f"/invocations/{MODEL}", "/feedback"]), body))


def write_large_head(chance: random.Random) -> Asked:
    fields = chance.choice([b"a: " + b"x" * 40_000 + b"\r\n", b"a: b\r\n" * 150])
    return Asked(b"GET /healthz HTTP/1.1\r\n" + fields + chance.choice([b"\r\n", b""]))


def wander(chance: random.Random) -> Asked:
    """Ask for paths and methods that are not there."""
    paths = [
        "/",
        "/predict/",
        "/predict/none",
        "/v2/models/fraud/versions/9",
        "/%ff",
        "//",
        "/v2/../..",
        "/metrics?a=%00",
    ]
    method = chance.choice([b"GET", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"TRACE", b"BREW"])
    return Asked(b"%b %b HTTP/1.1\r\nconnection: close\r\n\r\n" % (method, chance.choice(paths).encode()))


# name -> how often, what
KINDS: dict[str, tuple[int, Kind]] = {
    "right: predict": (140, predict),
    "right: pipelined": (25, pipeline),
    "right: chunked": (50, chunk),
    "right: /v2": (70, infer),
    "right: /v2, binary": (60, infer_raw),
    "right: /invocations": (70, invoke),
    "right: /invocations, CSV": (40, invoke_csv),
    "right: feedback": (40, report),
    "right: pictures": (20, show),
    "right: trailers": (20, end_with_trailers),
    "endless trailers": (4, surround_endlessly),
    "junk": (60, write_junk),
    "torn requests": (80, tear_wire),
    "torn bodies": (120, tear_body),
    "torn pictures": (30, tear_picture),
    "torn forms": (30, tear_form),
    "decompression bombs": (10, send_bomb),
    "wrong lengths": (40, lie_about_length),
    "wrong chunks": (40, garble_chunks),
    "junk behind right ones": (20, pipeline_junk),
    "10 MB bodies": (1, send_large),
    "deep nesting": (20, nest),
    "invalid texts": (30, write_bad_text),
    "large heads": (20, write_large_head),
    "wrong paths": (40, wander),
}
