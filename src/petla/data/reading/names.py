"""Which files can be read, by their names; light, since everybody asks."""

from pathlib import PurePosixPath

CSV_SUFFIXES = frozenset({".csv", ".tsv"})
PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})
ARROW_SUFFIXES = frozenset({".arrow", ".feather", ".ipc"})
TABLE_SUFFIXES = CSV_SUFFIXES | PARQUET_SUFFIXES | LINES_SUFFIXES | ARROW_SUFFIXES
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def is_table_name(path: str) -> bool:
    """Whether a file of this name is a table, or does not count in a folder of tables."""
    return PurePosixPath(path).suffix.lower() in TABLE_SUFFIXES or not is_counted(path)


def is_image_name(path: str) -> bool:
    """Whether a file of this name is an image, or does not count in a folder of images."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES or not is_counted(path)


def is_counted(path: str) -> bool:
    """Whether a file counts: engines that write folders hide theirs behind a dot or an underscore.

    Args:
        path: relative to the folder.
    """
    return not any(part[0] in "._" for part in PurePosixPath(path).parts)
