"""Compressed bodies: read as if they had not been compressed, and bounded by what comes out."""

import bz2
import gzip
import json
import tracemalloc
import zlib
from pathlib import Path

import pytest

from petla.core.errors import MalformedError
from petla.serving.doors.inputs.unpacking import unpack
from tests.deployments.tiny import MODEL, ROW
from tests.serving.doorway import BODY_LIMIT, Doorway

BODY = json.dumps(ROW).encode()


def deflate_bare(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        (" GZIP ", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("gzip", gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, 1)),
        ("deflate", deflate_bare(BODY)),
        ("identity", BODY),
    ],
)
def test_compressed_body_is_read_at_every_door(tmp_path: Path, encoding: str, body: bytes) -> None:
    doorway = Doorway(tmp_path).serve_tiny()
    plain = doorway.ask(f"/predict/{MODEL}", BODY)

    answer = doorway.ask(f"/predict/{MODEL}", body, content_encoding=encoding)
    invoked = doorway.ask("/v2", body, method="POST", content_encoding=encoding)

    assert answer.status == 200
    assert {**answer.content, "id": ""} == {**plain.content, "id": ""}
    assert invoked.status != 415


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b""),
        ("gzip", BODY),
        ("gzip", gzip.compress(BODY, mtime=0)[:-3]),
        ("gzip", gzip.compress(BODY, mtime=0) + b"more"),
        ("gzip", gzip.compress(b"", mtime=0) * 200),
        ("deflate", b""),
        ("deflate", zlib.compress(BODY)[:-5]),
        ("deflate", zlib.compress(BODY) + b"more"),
    ],
)
def test_body_that_is_not_what_it_says_is_refused(tmp_path: Path, encoding: str, body: bytes) -> None:
    answer = Doorway(tmp_path).serve_tiny().ask(f"/predict/{MODEL}", body, content_encoding=encoding)

    assert (answer.status, answer.content["error"]["code"]) == (400, "malformed")
    assert answer.content["error"]["field"] == "Content-Encoding"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "bzip2"])
def test_unknown_encoding_is_refused_and_known_ones_are_named(tmp_path: Path, encoding: str) -> None:
    doorway = Doorway(tmp_path).serve_tiny()

    body = bz2.compress(BODY)
    answers = [doorway.ask(path, body, content_encoding=encoding) for path in ("/feedback", "/invocations")]

    for answer in answers:
        assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_limit_counts_what_comes_out(tmp_path: Path, pack: "type") -> None:
    doorway = Doorway(tmp_path).serve_tiny()
    encoding = "gzip" if pack is gzip.compress else "deflate"

    fits = doorway.ask(f"/predict/{MODEL}", pack(BODY.ljust(BODY_LIMIT)), content_encoding=encoding)
    large = doorway.ask(f"/predict/{MODEL}", pack(BODY.ljust(BODY_LIMIT + 1)), content_encoding=encoding)

    assert (fits.status, large.status) == (200, 413)


@pytest.mark.parametrize(
    "body", [gzip.compress(bytes(200_000_000), 9, mtime=0), gzip.compress(bytes(4_000_000), mtime=0) * 50]
)
def test_bomb_takes_no_more_memory_than_the_limit(body: bytes) -> None:
    tracemalloc.start()
    try:
        assert unpack(body, b"gzip", 8_000_000) is None
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_many_files_of_gzip_are_refused_before_they_are_read() -> None:
    with pytest.raises(MalformedError, match="more than 100"):
        unpack(gzip.compress(b"", mtime=0) * 100_000, b"gzip", 8_000_000)
