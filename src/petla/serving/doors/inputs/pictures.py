"""Pictures that arrive: base64 that is none, formats that nobody knows, damage and decompression bombs are refused.

Each is decoded once, on a thread, so that a damaged one is the client's fault and never the model's.
"""

import asyncio
import base64
import binascii
import io
from importlib.util import find_spec

from petla.core.errors import Fault, UnavailableError
from petla.models.signature import Row
from petla.serving.doors.schema import FAULT_LIMIT, Schema, refuse

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
# 24 million: a photograph of a large camera
LARGEST_PIXELS = 24_000_000
_INLINE_CHARACTERS = 4_096


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


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 text, which may be a `data:` address.

    Raises:
        ValueError: it is none.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    return base64.b64decode(text, validate=True)


def find_flaw(content: bytes) -> str:
    """Return what is wrong with the bytes of a picture; empty: nothing."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > LARGEST_PIXELS:
                return f"has {width:,} x {height:,} pixels; at most {LARGEST_PIXELS:,} are taken"
            image.load()
    except Image.DecompressionBombError:
        return f"has too many pixels; at most {LARGEST_PIXELS:,} are taken"
    except UnidentifiedImageError:
        return f"is no picture in one of the formats {', '.join(FORMATS)}"
    except Exception as error:
        # Decoders of damaged bytes raise whatever they like.
        return f"is a damaged picture: {error}"
    return ""


def _check(schema: Schema, rows: list[Row], *, is_many: bool) -> None:
    faults: list[Fault] = []
    for index, row in enumerate(rows):
        for position, name in schema.pictures.items():
            value = row[position]
            flaw = "" if value is None else _find_flaw(str(value))
            if flaw:
                faults.append(Fault(f"[{index}].{name}" if is_many else name, flaw))
            if len(faults) >= FAULT_LIMIT:
                raise refuse(faults)
    if faults:
        raise refuse(faults)


def _find_flaw(text: str) -> str:
    try:
        content = decode_base64(text)
    except (binascii.Error, ValueError):
        return "is no base64"
    return find_flaw(content)
