"""Where modules lie, and which of them are the user's own code.

Own code is what Python can import and nobody installed: the project's folder, and what `PYTHONPATH` and editable
installs add. Python itself, installed packages, and all below the root of an environment (venv, uv, poetry, conda)
are not.
"""

import functools
import importlib.machinery
import os
import sys
import sysconfig
from pathlib import Path

_PETLA = Path(__file__).resolve().parents[2]
_INSTALLED = frozenset({"site-packages", "dist-packages", "__pypackages__"})
# what lies at the root of an environment
_MARKERS = ("pyvenv.cfg", "conda-meta")


@functools.lru_cache(maxsize=1 << 16)
def is_own_file(file: str, folder: Path) -> bool:
    """Whether a file lies in the project's folder and belongs to no environment there.

    Args:
        file: its path, as a module or a traceback names it.
        folder: the project's folder, resolved.
    """
    if not file:
        return False
    # As it is named and as it is: code may lie behind a link, and an environment too.
    found = (Path(os.path.abspath(file)), Path(file).resolve())  # noqa: PTH100 - keeps links and removes `..`
    return any(path.is_relative_to(folder) for path in found) and not any(is_installed(path, folder) for path in found)


def is_installed(path: Path, folder: Path) -> bool:
    """Whether a file belongs to Python, to an installed package or to an environment.

    Args:
        path: absolute.
        folder: the project's folder; that it lies in an environment itself says nothing of its files.
    """
    tail = path.relative_to(folder) if path.is_relative_to(folder) else path
    if not _INSTALLED.isdisjoint(tail.parts) or path.is_relative_to(_PETLA):
        return True
    if any(path.is_relative_to(each) for each in _list_library_folders()):
        return True
    for parent in path.parents:
        if parent == folder:
            return False
        if any((parent / marker).exists() for marker in _MARKERS):
            return True
    return False


def list_search_paths(folder: Path, original: Path) -> list[Path]:
    """Return the folders of `sys.path` that hold own code of the project, as they are called in a checkout of it.

    Args:
        folder: the project's folder, or a checkout of one of its commits.
        original: the project's folder.
    """
    entries = [Path(each or ".").resolve() for each in sys.path]
    inside = [each for each in entries if each.is_relative_to(original) and not is_installed(each / "x.py", original)]
    return [folder / each.relative_to(original) for each in inside]


def find_own_places(top: str, folder: Path, original: Path) -> tuple[Path, ...]:
    """Return where an importable top-level module lies if it is the user's own: its folders, or its file.

    What lies in the original folder is answered with its place in the checkout.
    """
    spec = None if top in sys.stdlib_module_names or top == "petla" else _find_spec(top)
    if spec is None:
        return ()
    if spec.submodule_search_locations is not None:
        places = [Path(each) for each in spec.submodule_search_locations]
    else:
        places = [Path(spec.origin)] if spec.origin is not None and spec.origin.endswith(".py") else []
    own = [each.resolve() for each in places if not is_installed(each.resolve() / "x.py", original)]
    return tuple(folder / each.relative_to(original) if each.is_relative_to(original) else each for each in own)


def _find_spec(top: str) -> importlib.machinery.ModuleSpec | None:
    """Ask every finder, and not `sys.modules`, which may hold the module of another project."""
    for finder in sys.meta_path:
        # NOTE: editable installs bring finders of their own, and old ones may lack the method.
        find = getattr(finder, "find_spec", None)
        if find is not None and (spec := find(top, None)) is not None:
            return spec  # type: ignore[no-any-return]
    return None


@functools.cache
def _list_library_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[each]).resolve() for each in ("stdlib", "platstdlib", "scripts")})
