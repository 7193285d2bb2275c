"""Folders of images as tables: one row per image, measured with Pillow (extra `images`)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from petla.core.progress import SILENT, Progress
from petla.data.profile.columns import Flaw
from petla.data.reading.names import IMAGE_SUFFIXES
from petla.data.reading.tables import list_parts

if TYPE_CHECKING:
    from PIL.Image import Image

_SCHEMA = {
    "width": pl.Int64,
    "height": pl.Int64,
    "channels": pl.Int64,
    "brightness": pl.Float64,
    "contrast": pl.Float64,
    "sharpness": pl.Float64,
    "format": pl.String,
}
# brightness, contrast and sharpness are measured on a copy of at most this many pixels to a side
_SIDE = 512
_THREADS = 2
_AT_ONCE = 256


def list_images(path: Path) -> list[Path]:
    """Return the images of a folder, in order; none, unless every file is one and Pillow is there to read it."""
    if not path.is_dir() or find_spec("PIL") is None:
        return []
    files = list_parts(path)
    return files if all(file.suffix.lower() in IMAGE_SUFFIXES for file in files) else []


def measure_images(
    path: Path, images: Sequence[Path], progress: Progress = SILENT
) -> tuple[pl.DataFrame, tuple[Flaw, ...]]:
    """Measure images.

    Args:
        path: the folder.
        images: its files.
        progress: is told of their bytes.

    Returns:
        One row per image that can be read: width and height in pixels, channels; brightness and contrast, the mean and
        the standard deviation of the grey values from 0 to 255; sharpness, the variance of the Laplacian; format. And a
        flaw for each that cannot be read.
    """
    rows: list[dict[str, Any]] = []
    flaws: list[Flaw] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(images), _AT_ONCE):
            some = images[start : start + _AT_ONCE]
            for image, row in zip(some, pool.map(_measure, some), strict=True):
                progress.advance(image.stat().st_size)
                if isinstance(row, str):
                    flaws.append(Flaw(image.relative_to(path).as_posix(), row))
                else:
                    rows.append(row)
    return pl.DataFrame(rows, schema=_SCHEMA), tuple(flaws)


def _measure(path: Path) -> dict[str, Any] | str:
    """Return an image's measures, or why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            width, height = image.size
            # NOTE: a JPEG is then decoded at a lower resolution, several times faster.
            image.draft("L", (_SIDE, _SIDE))
            channels, kind = len(image.getbands()), image.format or ""
            grey = _grey_of(image)
    except UnidentifiedImageError:
        return "no image that can be read"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"it cannot be read: {error}"
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": _sharpness_of(grey),
        "format": kind,
    }


def _grey_of(image: "Image") -> "np.ndarray[Any, np.dtype[np.float32]]":
    grey = image.convert("L")
    grey.thumbnail((_SIDE, _SIDE))
    return np.asarray(grey, dtype=np.float32)


def _sharpness_of(grey: "np.ndarray[Any, np.dtype[np.float32]]") -> float:
    """Variance of the Laplacian: an image without edges has none.

    Source: Pech-Pacheco et al. (2000), Diatom autofocusing in brightfield microscopy.
    """
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var())
