"""Versions of the installed packages that a project's code imports.

Asking the installation which package brings which module takes a quarter of a second, so the answer is
remembered for as long as no folder of installed packages changes.
"""

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from petla.core.digests import digest_value
from petla.core.errors import UnavailableError
from petla.storage.files import write_atomic

# the version of a module that no installed package brings
UNKNOWN = "unknown"


class _Remembered(msgspec.Struct, frozen=True):
    # hash of the folders of installed packages and of when they last changed
    stamp: str
    versions: dict[str, str]


def list_versions(modules: Iterable[str], memory: Path) -> dict[str, str]:
    """Return the versions of the packages that bring these modules.

    Args:
        modules: top-level names, such as `sklearn`.
        memory: the file that remembers earlier answers; it may be lost.

    Returns:
        Module -> version, `UNKNOWN` for one that is not installed as a package.
    """
    wanted = set(modules)
    stamp = _stamp()
    known = _recall(memory, stamp)
    if not wanted <= known.keys():
        known |= _ask(wanted - known.keys())
        with contextlib.suppress(UnavailableError):
            write_atomic(memory, msgspec.json.encode(_Remembered(stamp, known)))
    return {module: known[module] for module in sorted(wanted)}


def _stamp() -> str:
    folders = {Path(path) for path in sys.path if path.rstrip("/").endswith("-packages")}
    return digest_value([(str(each), each.stat().st_mtime_ns) for each in sorted(folders) if each.is_dir()])


def _recall(memory: Path, stamp: str) -> dict[str, str]:
    try:
        remembered = msgspec.json.decode(memory.read_bytes(), type=_Remembered)
    except (OSError, msgspec.DecodeError):
        return {}
    return remembered.versions if remembered.stamp == stamp else {}


def _ask(modules: set[str]) -> dict[str, str]:
    from importlib.metadata import packages_distributions, version

    brought = packages_distributions()
    return {
        module: ", ".join(f"{name} {version(name)}" for name in sorted(set(brought.get(module, ())))) or UNKNOWN
        for module in modules
    }
