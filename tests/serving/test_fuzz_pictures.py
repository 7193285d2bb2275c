"""Pictures and forms that are broken in every way that can be drawn: refused by name, and never seen by the model."""

import base64
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving import strategies
from tests.serving.doorway import Doorway
from tests.serving.test_pictures import FIELDS, draw, make_form, serve

QUIET = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
FORM = "multipart/form-data; boundary=x"
# formats with the modes that they can be written in
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
}
PICTURES = [draw(kind, size=(9, 7), mode=mode) for kind, modes in MODES.items() for mode in modes]
LARGEST = 16_383


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def make_text_bomb() -> bytes:
    """Return a PNG of one pixel whose comment would be 50 MB."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    return b"\x89PNG\r\n\x1a\n" + head + text + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def make_webp_bomb() -> bytes:
    """Return a WebP of a few bytes whose canvas is as large as WebP allows."""
    canvas = struct.pack("<I", LARGEST - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas * 2 + draw("WEBP", mode="RGB")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def make_gif_bomb() -> bytes:
    """Return a GIF of one pixel whose picture is 60,000 pixels wide and high."""
    screen, picture = struct.pack("<HHBBB", 1, 1, 0x80, 0, 0), struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
    return b"GIF89a" + screen + bytes(6) + b"," + picture + b"\x02\x02\x4c\x01\x00;"


@pytest.fixture(scope="module")
def doorway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorway]:
    doorway = Doorway(tmp_path_factory.mktemp("pictures"))
    serve(doorway, "cat", FIELDS)
    yield doorway
    doorway.recorder.close()


def ask_in_each_form(doorway: Doorway, picture: bytes) -> list[int]:
    replies = [
        doorway.ask("/predict/cat", picture, content_type="image/png"),
        doorway.ask("/predict/cat", {"picture": base64.b64encode(picture).decode(), "zoom": None}),
        doorway.ask("/predict/cat", make_form(("picture", picture)), content_type=FORM),
    ]
    return [reply.status for reply in replies]


@pytest.mark.parametrize("picture", PICTURES, ids=[f"{kind} {mode}" for kind in MODES for mode in MODES[kind]])
def test_picture_of_each_mode_is_answered(doorway: Doorway, picture: bytes) -> None:
    assert ask_in_each_form(doorway, picture) == [200, 200, 200]


@pytest.mark.parametrize("make", [make_text_bomb, make_webp_bomb, make_gif_bomb])
def test_bomb_is_refused(doorway: Doorway, make: object) -> None:
    assert callable(make)
    assert ask_in_each_form(doorway, make()) == [422, 422, 422]


@QUIET
@given(picture=st.sampled_from(PICTURES), start=st.integers(0), end=st.integers(0), junk=st.binary(max_size=8))
def test_torn_picture_is_refused_or_answered_in_each_form(
    doorway: Doorway, picture: bytes, start: int, end: int, junk: bytes
) -> None:
    """Bytes are taken out and others put in; 503 would say that the model saw what it could not read."""
    first, last = sorted((start % len(picture), end % len(picture)))
    torn = picture[:first] + junk + picture[last:]

    assert set(ask_in_each_form(doorway, torn)) in ({200}, {422})


_names = st.sampled_from(["picture", "zoom", "", "zom", "\u00e9", 'a"b', "x" * 500])
_heads = st.sampled_from(
    [
        b"content-type: image/png\r\n",
        b"content-transfer-encoding: base64\r\n",
        b"content-disposition: form-data\r\n",
        b"content-disposition: attachment; filename*=utf-8''%ff\r\n",
        b"no colon\r\n",
        b"content-length: 99999\r\n",
        b"content-type: text/plain; charset=klingon\r\n",
        b"a: " + b"x" * 5_000 + b"\r\n",
    ]
)
_parts = st.builds(
    lambda name, heads, content: (
        b"--x\r\n"
        + b'content-disposition: form-data; name="%b"\r\n' % name.encode()
        + b"".join(heads)
        + b"\r\n"
        + content
    ),
    _names,
    st.lists(_heads, max_size=2),
    st.sampled_from([draw(), b"1.5", b"", b"\xff", b"--x", b"\r\n--x--"]) | st.binary(max_size=20),
)
_ends = st.sampled_from([b"\r\n", b"\n", b"", b"\r\n--x--\r\n"])
_forms = st.lists(st.builds(bytes.__add__, _parts, _ends), max_size=5).map(b"".join)
_boundaries = st.sampled_from(
    [FORM, "multipart/form-data", 'multipart/form-data; boundary=""', "multipart/form-data;;=;"]
)


@QUIET
@given(
    form=_forms | st.builds(strategies.tear, _forms, st.integers(0), st.binary(max_size=6)),
    closing=st.sampled_from([b"--x--\r\n", b"--x--", b""]),
    kind=st.just(FORM) | _boundaries,
)
def test_no_form_is_answered_by_a_fault_of_ours(doorway: Doorway, form: bytes, closing: bytes, kind: str) -> None:
    assert doorway.ask("/predict/cat", form + closing, content_type=kind).status in (200, 400, 422)


def test_form_of_very_many_parts_is_refused(doorway: Doorway) -> None:
    form = make_form(*[("zoom", b"1")] * 3_000)

    assert doorway.ask("/predict/cat", form, content_type=FORM).status == 400
