"""Pictures that arrive: base64 that is none, formats that nobody knows, damage and decompression bombs are refused.

Each is decoded once, on a thread, so that a damaged one is the client's fault and never the model's.
"""

import asyncio
import binascii
import io
from importlib.util import find_spec
from typing import NamedTuple

from petla.core.errors import Fault, UnavailableError
from petla.models.signature import Row, decode_picture
from petla.serving.doors.schema import FAULT_LIMIT, Schema, refuse

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
# 24 million: a photograph of a large camera
LARGEST_PIXELS = 24_000_000
# of all pictures of a request
REQUEST_PIXELS = 2 * LARGEST_PIXELS
_INLINE_CHARACTERS = 4_096
_HINT = f"send whole pictures, together of at most {REQUEST_PIXELS:,} pixels"


class Inspected(NamedTuple):
    """What was found out about a picture."""

    # what is wrong with it; empty: nothing
    flaw: str
    # that were decoded
    pixels: int


def require_pillow() -> None:
    """Accept only where pictures can be read.

    Raises:
        UnavailableError: Pillow is not installed.
    """
    if find_spec("PIL") is None:
        raise UnavailableError(
            "the model takes pictures and Pillow is not installed", hint="pip install 'petla[images]'"
        )


async def check_pictures(schema: Schema, rows: list[Row], *, is_many: bool) -> None:
    """Accept only pictures that can be read.

    Raises:
        InvalidError: some cannot; each is named with its field.
    """
    if not schema.pictures:
        return
    size = sum(len(str(row[i])) for row in rows for i in schema.pictures)
    if size <= _INLINE_CHARACTERS:
        _check(schema, rows, is_many=is_many)
    else:
        await asyncio.to_thread(_check, schema, rows, is_many=is_many)


def inspect(content: bytes, most_pixels: int) -> Inspected:
    """Decode a picture, unless it has more pixels than that."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > most_pixels:
                return Inspected(f"has {width:,} x {height:,} pixels; at most {most_pixels:,} are taken", 0)
            image.load()
    except Image.DecompressionBombError:
        return Inspected(f"has too many pixels; at most {most_pixels:,} are taken", 0)
    except UnidentifiedImageError:
        return Inspected(f"is no picture in one of the formats {', '.join(FORMATS)}", 0)
    except Exception as error:
        # Decoders of damaged bytes raise whatever they like.
        return Inspected(f"is a damaged picture: {error}", 0)
    return Inspected("", width * height)


def _check(schema: Schema, rows: list[Row], *, is_many: bool) -> None:
    faults: list[Fault] = []
    left = REQUEST_PIXELS
    for index, row in enumerate(rows):
        for position, name in schema.pictures.items():
            value = row[position]
            if value is None:
                continue
            found = _inspect_text(str(value), min(left, LARGEST_PIXELS))
            left -= found.pixels
            if found.flaw:
                faults.append(Fault(f"[{index}].{name}" if is_many else name, found.flaw, _HINT))
            if len(faults) >= FAULT_LIMIT:
                raise refuse(faults)
    if faults:
        raise refuse(faults)


def _inspect_text(text: str, most_pixels: int) -> Inspected:
    try:
        content = decode_picture(text)
    except (binascii.Error, ValueError):
        return Inspected("is no base64", 0)
    return inspect(content, most_pixels)
