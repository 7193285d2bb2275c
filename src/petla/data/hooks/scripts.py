"""Hooks as files: a block of ours in each, beside whatever else stands there."""

import re
import shlex
import sys
from pathlib import Path

from petla.core.errors import ConflictError, InvalidError, NotFoundError
from petla.data.git import Repository, find_repository
from petla.storage.files import reported, write_atomic

NAMES = ("post-checkout", "post-merge", "post-rewrite", "pre-commit", "pre-push")
_SHELL = re.compile(rb"#!.*\b(?:ba|da|z|k)?sh\b")
_BLOCK = re.compile(r"# >>> petla (\S+) >>>\n.*?# <<< petla \1 <<<\n", re.DOTALL)


def install(root: Path) -> list[Path]:
    """Add our block to every hook of the repository that a project lies in; return the files.

    It comes first: other programs end a hook with `exec`. Doing it again changes nothing but what is out of date.

    Raises:
        NotFoundError: the project lies in no repository.
        InvalidError: a hook is no shell script, or the hooks are not the repository's own; nothing was changed.
        UnavailableError: a hook cannot be written.
    """
    repository = _find(root)
    paths = [repository.hooks / name for name in NAMES]
    former = [_read(path) for path in paths]
    for path, content in zip(paths, former, strict=True):
        place = _place_of(repository, root)
        shebang, _, rest = _without(content, place).partition("\n")
        write_atomic(path, f"{shebang}\n{_block(path.name, place)}{rest}".encode(), mode=0o755)
    return paths


def uninstall(root: Path) -> list[Path]:
    """Take our block out of every hook; return the files that had one. A hook with nothing else in it is removed.

    Raises:
        NotFoundError: the project lies in no repository.
        UnavailableError: a hook cannot be written.
    """
    repository = _find(root)
    changed = []
    for path in (repository.hooks / name for name in NAMES):
        if not path.is_file():
            continue
        content = path.read_text(encoding="utf-8", errors="surrogateescape")
        left = _without(content, _place_of(repository, root))
        if left == content:
            continue
        changed.append(path)
        with reported(path):
            if left.strip() in ("", "#!/bin/sh"):
                path.unlink()
            else:
                write_atomic(path, left.encode("utf-8", errors="surrogateescape"), mode=0o755)
    return changed


def _find(root: Path) -> Repository:
    repository = find_repository(root)
    if repository is None:
        raise NotFoundError(f"{root} lies in no Git repository", hint="git init")
    if not repository.owns_hooks:
        raise InvalidError(
            f"Git's hooks lie in {repository.hooks}, outside of this repository, where others use them as well",
            hint="git config core.hooksPath .githooks, or add 'petla git hook NAME \"$@\"' to them by hand",
            field="core.hooksPath",
        )
    return repository


def _place_of(repository: Repository, root: Path) -> str:
    return shlex.quote(root.resolve().relative_to(repository.top.resolve()).as_posix())


def _read(path: Path) -> str:
    try:
        with reported(path, "read"):
            content = path.read_bytes()
    except FileNotFoundError:
        return "#!/bin/sh\n"
    if not _SHELL.match(content.partition(b"\n")[0]):
        raise InvalidError(
            f"the hook {path} is no shell script", hint=f"call 'petla git hook {path.name} ARGUMENTS' from it by hand"
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConflictError(f"the hook {path} is not UTF-8: {error}", hint="rewrite it") from error


def _without(content: str, place: str) -> str:
    return _BLOCK.sub(lambda found: "" if found[1] == place.replace(" ", "%20") else found[0], content)


def _block(name: str, place: str) -> str:
    """The block of one hook and one project; it reads nothing from its input, which belongs to the others."""
    python, mark = shlex.quote(sys.executable), place.replace(" ", "%20")
    # what goes wrong with us is no reason to stop Git; what we refuse is
    then = "|| [ $? -ne 1 ] || exit 1" if name.startswith("pre-") else "|| true"
    return f"""# >>> petla {mark} >>>
# written by 'petla git install-hooks', removed by 'petla git uninstall-hooks'
(
    cd -- {place} || exit 0
    if command -v petla > /dev/null 2>&1; then
        exec petla git hook {name} "$@" < /dev/null
    elif [ -x {python} ]; then
        exec {python} -m petla git hook {name} "$@" < /dev/null
    fi
    echo "petla is not installed: data were not looked at" >&2
) {then}
# <<< petla {mark} <<<
"""
