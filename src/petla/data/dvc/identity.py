"""DVC's names for content: where its objects lie, and how version 2 took the md5 of a text.

Source: dvc-data 3.18, `hashfile/hash.py` and `hashfile/istextfile.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from petla.data.content.manifest import list_md5
from petla.storage.files import reported
from petla.storage.objects.naming import md5_of

_BLOCK_BYTES = 1 << 20
_LOOKED_AT = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
# of the first bytes, so many may be no text
_ODD_SHARE = 0.3


def key_of(md5: str) -> str:
    """Return where DVC 3 keeps an object.

    Example:
        >>> key_of("acbd18db4cc2f85cedef654fccc4a4d8")
        'files/md5/ac/bd18db4cc2f85cedef654fccc4a4d8'
    """
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def former_key_of(md5: str) -> str:
    """Return where DVC 2 kept an object."""
    return f"{md5[:2]}/{md5[2:]}"


def unix_md5_of(path: Path, files: Sequence[str]) -> str:
    """Return DVC 2's identity of a file or a folder.

    Args:
        path: of it.
        files: those of the folder; one empty name: it is a file.
    """
    md5s = {name: unix_md5(_read_blocks(path / name)) for name in files}
    return md5s[""] if list(md5s) == [""] else list_md5(md5s)


def unix_md5(blocks: Iterable[bytes]) -> str:
    """Return the md5 of bytes after turning line ends into Unix's, block by block, where a block looks like text.

    Args:
        blocks: of 1 MiB each, but for the last.
    """
    md5 = md5_of()
    for block in blocks:
        md5.update(block.replace(b"\r\n", b"\n") if _is_text(block[:_LOOKED_AT]) else block)
    digest: str = md5.hexdigest()
    return digest


def cut_blocks(content: bytes) -> Iterator[bytes]:
    """Cut bytes as DVC 2 read them."""
    return (content[start : start + _BLOCK_BYTES] for start in range(0, len(content), _BLOCK_BYTES))


def _read_blocks(path: Path) -> Iterator[bytes]:
    with reported(path, "read"), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _is_text(start: bytes) -> bool:
    odd = start.translate(None, _TEXT)
    return b"\0" not in start and len(odd) <= _ODD_SHARE * len(start)
