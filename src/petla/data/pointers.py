"""Pointers: the small `.dvc` files that Git keeps in place of the data.

They are DVC's own, with Pętla's name for the same bytes under `meta`, which DVC leaves alone. That name counts only as
long as the md5 beside it is still the one of the output: DVC does not know that it has to change both.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from petla.core.digests import check_digest, check_md5
from petla.core.errors import InvalidError
from petla.storage.objects.naming import md5_of

SUFFIX = ".dvc"

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_VERSION_KEYS = ("checksum", "etag")
_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


class Origin(msgspec.Struct, frozen=True):
    """Where imported data came from, as DVC writes it."""

    url: str
    # what the server says of the content; its word for it
    version: str
    size_bytes: int
    # DVC's: `checksum` for HTTP, `etag` for clouds
    key: str = "checksum"


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """What a pointer says."""

    # name of the file or folder beside the pointer
    path: str
    # of the file, or of the listing with `.dir`
    md5: str
    size_bytes: int
    files: int
    # Pętla's name for the same bytes; empty: DVC wrote the pointer, or changed it since
    digest: str = ""
    # written by DVC 2: the md5 is that of the bytes with Unix's line ends, where they look like text
    is_unix_md5: bool = False
    # None: nobody imported it
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Refuse names that are no digests: they become parts of paths and keys."""
        check_md5(self.md5.removesuffix(".dir"))
        if self.digest:
            check_digest(self.digest)


def pointer_path(path: Path) -> Path:
    """Return the pointer's place: beside the data.

    Example:
        >>> pointer_path(Path("data/flights.parquet")).as_posix()
        'data/flights.parquet.dvc'
    """
    return path.with_name(path.name + SUFFIX)


def encode_pointer(pointer: Pointer) -> bytes:
    """Write a pointer as DVC writes it, so that the same version gives the same bytes."""
    lines = _encode_origin(pointer, pointer.origin) if pointer.origin else []
    lines += ["outs:", f"- md5: {pointer.md5}", f"  size: {pointer.size_bytes}"]
    if pointer.md5.endswith(".dir"):
        lines.append(f"  nfiles: {pointer.files}")
    lines += ["  hash: md5", f"  path: {_quote(pointer.path)}"]
    lines += ["meta:", "  petla:", f"    digest: {pointer.digest}", f"    md5: {pointer.md5}"]
    return "\n".join([*lines, ""]).encode()


def find_pointer(path: Path) -> Pointer | None:
    """Read a pointer; None if there is none.

    Args:
        path: of the pointer itself.

    Raises:
        InvalidError: it is no pointer that Pętla understands.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode_pointer(content, path)


def decode_pointer(content: bytes, path: Path) -> Pointer:
    """Read a pointer.

    Raises:
        InvalidError: it is none that Pętla understands.
    """
    own = _decode_own(content)
    if own is not None:
        return own
    try:
        raw = load_yaml(content)
        pointer = pointer_of_out(raw["outs"][0])
        return msgspec.structs.replace(pointer, digest=_own_digest(raw, pointer), origin=_origin_of(raw))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidError(
            f"{path} is no pointer to data: {type(error).__name__}: {error}",
            hint=f"bring it back with 'git checkout {path.name}', or write it anew with 'petla data add'",
        ) from error


def pointer_of_out(out: Mapping[str, Any]) -> Pointer:
    """Return what one entry of DVC's `outs` says.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    return Pointer(
        path=str(out["path"]),
        md5=str(out["md5"]),
        size_bytes=int(out.get("size") or 0),
        files=int(out.get("nfiles") or 1),
        is_unix_md5=out.get("hash") != "md5",
    )


def load_yaml(content: bytes) -> Any:  # noqa: ANN401 - whatever stands there
    """Read YAML.

    Raises:
        ValueError: it is none.
    """
    import yaml

    try:
        return yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error


def _decode_own(content: bytes) -> Pointer | None:
    """Read a pointer that Pętla wrote; None: it is of another form. YAML's reader takes long to load."""
    lines = content.decode(errors="replace").splitlines()
    said = dict(
        line.strip().removeprefix("- ").partition(": ")[::2] for line in lines[1:6] if line.startswith(("- ", "  "))
    )
    try:
        quoted = said["path"]
        path = msgspec.json.decode(quoted) if quoted.startswith('"') else quoted
        digest = lines[-2].removeprefix("    digest: ")
        pointer = Pointer(
            path=path,
            md5=said["md5"],
            size_bytes=int(said["size"]),
            files=int(said.get("nfiles", 1)),
            digest=digest,
        )
    except (KeyError, IndexError, ValueError, msgspec.DecodeError):
        return None
    # The same bytes again: nothing was overlooked.
    return pointer if encode_pointer(pointer) == content else None


def _own_digest(raw: dict[str, Any], pointer: Pointer) -> str:
    meta = raw.get("meta")
    own = meta.get("petla") if isinstance(meta, dict) else None
    if not isinstance(own, dict) or pointer.is_unix_md5 or own.get("md5") != pointer.md5:
        return ""
    return str(own.get("digest", ""))


def _origin_of(raw: dict[str, Any]) -> Origin | None:
    deps = raw.get("deps")
    first = deps[0] if isinstance(deps, list) and len(deps) == 1 and isinstance(deps[0], dict) else {}
    key = next((key for key in _VERSION_KEYS if key in first), "")
    if not key or "://" not in str(first.get("path", "")):
        return None
    return Origin(str(first["path"]), str(first[key]), int(first.get("size") or 0), key)


def _encode_origin(pointer: Pointer, origin: Origin) -> list[str]:
    """Write where it came from, with DVC's hash over the file: it asks for a new one when that does not fit.

    Source: DVC 3.60, `stage/utils.py`, `compute_md5`.
    """
    dep = {origin.key: origin.version, "hash": "md5", "path": origin.url}
    out = {"md5": pointer.md5, "hash": "md5", "path": pointer.path}
    seal = md5_of(json.dumps({"deps": [dep], "outs": [out]}, sort_keys=True).encode()).hexdigest()
    version = "'" + origin.version.replace("'", "''") + "'"
    lines = [f"md5: {seal}", "frozen: true", "deps:", f"- {origin.key}: {version}", f"  size: {origin.size_bytes}"]
    return [*lines, "  hash: md5", f"  path: {_quote(origin.url)}"]


def _quote(text: str) -> str:
    """Write a text as YAML; JSON's quoting is part of YAML."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if is_plain else msgspec.json.encode(text).decode()
