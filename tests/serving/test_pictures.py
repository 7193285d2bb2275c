"""Pictures and arrays at the doors: how they come, what is refused, and how large ones are recorded."""

import base64
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from openapi_spec_validator import OpenAPIV31SpecValidator
from PIL import Image

from petla.core.digests import digest_bytes
from petla.data.profile.columns import Kind
from petla.models.signature import InputField, Row, Signature, decode_picture
from petla.serving.doors.asking import LOGGED_BYTES, shorten
from petla.serving.doors.inputs.pictures import LARGEST_PIXELS, inspect
from petla.serving.doors.schema import Schema
from tests.deployments.tiny import SIGNATURE, make_package
from tests.serving.doorway import Doorway

FIELDS = (
    InputField("picture", Kind.IMAGE, is_nullable=False),
    InputField("zoom", Kind.NUMBER, is_nullable=True),
)
ARRAY = InputField("pixels", Kind.TENSOR, is_nullable=False, dtype="uint8", shape=(2, 3))


class Brightness:
    """P(fraud) is the mean brightness of the picture. A stand-in, since no model is needed to see what reaches it."""

    is_fast = True

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        pictures = [Image.open(io.BytesIO(decode_picture(str(row[0])))).convert("L") for row in rows]
        scores = np.array([np.asarray(picture).mean() / 255 for picture in pictures])
        return np.stack([1 - scores, scores], axis=1)

    def close(self) -> None:
        """Nothing to give back."""


def draw(kind: str = "PNG", *, size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, (255,) * len(mode) if mode in ("LA", "RGB", "RGBA", "CMYK") else 255).save(buffer, kind)
    return buffer.getvalue()


def make_bomb() -> bytes:
    """A PNG of a few bytes whose head says that it has 60,000 x 60,000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1_000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def make_form(*parts: tuple[str, bytes]) -> bytes:
    lines = [b'--x\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (n.encode(), c) for n, c in parts]
    return b"".join(lines) + b"--x--\r\n"


def serve(doorway: Doorway, name: str, fields: tuple[InputField, ...]) -> None:
    signature: Signature = msgspec.structs.replace(SIGNATURE, inputs=fields)
    package = msgspec.structs.replace(make_package(), model=name, signature=signature, golden=())
    doorway.serve(name, package, Brightness())


@pytest.fixture
def doorway(tmp_path: Path) -> Iterator[Doorway]:
    doorway = Doorway(tmp_path)
    serve(doorway, "cat", FIELDS)
    yield doorway
    doorway.recorder.close()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_body_may_be_a_picture(doorway: Doorway, kind: str) -> None:
    reply = doorway.ask("/predict/cat", draw(kind), content_type=f"image/{kind.lower()}")

    assert (reply.status, reply.content["probability"]) == (200, pytest.approx(1.0, abs=0.02))
    assert doorway.recorded()[0].inputs == (base64.b64encode(draw(kind)).decode(), None)


def test_form_has_pictures_and_values(doorway: Doorway) -> None:
    form = make_form(("picture", draw()), ("zoom", b"1.5"))

    reply = doorway.ask("/predict/cat", form, content_type="multipart/form-data; boundary=x")

    assert reply.status == 200
    assert doorway.recorded()[0].inputs[1] == 1.5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no picture"),
        (b"hello", "no picture"),
        (draw(size=(64, 64))[:-24], "damaged"),
        (draw("JPEG", size=(64, 64))[:300], "damaged"),
        (make_bomb(), "pixels"),
        (draw("PPM"), "no picture"),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "bomb", "other format"],
)
def test_picture_that_cannot_be_read_is_the_client_s_fault(doorway: Doorway, content: bytes, said: str) -> None:
    text = base64.b64encode(content).decode()
    good = base64.b64encode(draw()).decode()
    form = make_form(("picture", content))

    replies = [
        doorway.ask("/predict/cat", content, content_type="image/png"),
        doorway.ask("/predict/cat", {"picture": text, "zoom": None}),
        doorway.ask("/predict/cat", form, content_type="multipart/form-data; boundary=x"),
    ]
    many = doorway.ask("/predict/cat", [{"picture": each, "zoom": 1} for each in (good, text)])

    assert {(reply.status, reply.content["error"]["field"]) for reply in replies} == {(422, "picture")}
    assert all(said in reply.content["error"]["message"] for reply in replies)
    assert (many.status, many.content["error"]["field"]) == (422, "[1].picture")
    assert not doorway.recorded()


@pytest.mark.parametrize(
    ("body", "kind", "status", "field"),
    [
        ({"picture": "%%%", "zoom": None}, "application/json", 422, "picture"),
        ({"picture": 3, "zoom": None}, "application/json", 422, "picture"),
        ({"zoom": 1}, "application/json", 422, "picture"),
        (make_form(("zoom", b"1")), "multipart/form-data; boundary=x", 422, "picture"),
        (make_form(("picture", draw()), ("zoom", b"far")), "multipart/form-data; boundary=x", 422, "zoom"),
        (make_form(("picture", draw()), ("zoom", b"\xff")), "multipart/form-data; boundary=x", 422, "zoom"),
        (make_form(("picture", draw()), ("zom", b"1")), "multipart/form-data; boundary=x", 422, "zom"),
        (make_form(("picture", draw()))[:-20], "multipart/form-data; boundary=x", 400, ""),
        (make_form(("picture", draw())), "multipart/form-data", 400, ""),
        (b"nothing", "multipart/form-data; boundary=x", 400, ""),
    ],
)
def test_wrong_body_is_refused_with_its_field(
    doorway: Doorway, body: object, kind: str, status: int, field: str
) -> None:
    reply = doorway.ask("/predict/cat", body, content_type=kind)

    assert (reply.status, reply.content["error"]["field"]) == (status, field)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(content=st.binary(max_size=300), at=st.integers(0, 80))
def test_damage_never_reaches_the_model(content: bytes, at: int) -> None:
    """Whatever is wrong with a picture is said in words; what is not found wrong can be decoded."""
    damaged = draw(mode="RGBA")[:at] + content
    if not inspect(damaged, LARGEST_PIXELS).flaw:
        Image.open(io.BytesIO(damaged)).load()


def test_picture_of_too_many_pixels_is_refused_undecoded() -> None:
    assert f"{LARGEST_PIXELS:,}" in inspect(make_bomb(), LARGEST_PIXELS).flaw
    assert inspect(draw(size=(300, 200), mode="RGB"), LARGEST_PIXELS) == ("", 60_000)


def test_pictures_of_one_request_share_a_limit(doorway: Doorway) -> None:
    one = {"picture": base64.b64encode(draw(size=(5_000, 4_000))).decode(), "zoom": None}

    reply = doorway.ask("/predict/cat", [one] * 3)

    assert (reply.status, reply.content["error"]["field"]) == (422, "[2].picture")
    assert "together" in reply.content["error"]["hint"]


def test_large_values_are_recorded_by_their_digest() -> None:
    schema = Schema(msgspec.structs.replace(SIGNATURE, inputs=(*FIELDS, ARRAY)))
    small, large = (base64.b64encode(bytes(size)).decode() for size in (LOGGED_BYTES - 2, LOGGED_BYTES + 2))
    numbers = [[0] * 100] * 50

    assert shorten(schema, (small, None, [[1]])) == (small, None, [[1]])
    assert shorten(schema, (large, 1.0, numbers)) == (
        f"blake3:{digest_bytes(bytes(LOGGED_BYTES + 2))}",
        1.0,
        f"blake3:{digest_bytes(msgspec.json.encode(numbers))}",
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1, 2, 3]], "a list of 2 lists of 3 whole numbers from 0 to 255"),
        ([[1, 2, 3], [1, 2]], "a list"),
        ([[1, 2, 3], [1, 2, 256]], "a list"),
        ([[1, 2, 3], [1, 2, 0.5]], "a list"),
        (None, "null"),
    ],
)
def test_array_of_another_shape_or_type_is_refused(doorway: Doorway, value: object, said: str) -> None:
    serve(doorway, "array", (ARRAY,))

    reply = doorway.ask("/predict/array", {"pixels": value})

    assert (reply.status, reply.content["error"]["field"]) == (422, "pixels")
    assert said in reply.content["error"]["message"]


def test_pictures_and_arrays_are_in_the_document(doorway: Doorway) -> None:
    serve(doorway, "array", (ARRAY,))

    document = doorway.ask("/openapi.json").content

    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
    content = document["paths"]["/predict/cat"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data", "image/png", "image/jpeg"}
    assert document["components"]["schemas"]["Row1"]["properties"]["pixels"]["minItems"] == 2
