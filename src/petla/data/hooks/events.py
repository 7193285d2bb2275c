"""What happens at each hook. Git is stopped by secrets and large files in a commit alone, and, if wished, by a push."""

from collections.abc import Callable, Iterator, Sequence

from petla.core.errors import ConflictError, InvalidError, PetlaError
from petla.core.names import suggest
from petla.core.progress import SILENT, Progress
from petla.data.checkouts import find_pointer_of, find_version_of
from petla.data.current import inspect
from petla.data.dvc.outs import PIPELINE
from petla.data.git import list_changed, list_staged, read_blobs, read_setting
from petla.data.hooks.leaks import ALLOWED, find_secrets
from petla.data.hooks.scripts import NAMES
from petla.data.transfer.pulling import bring
from petla.data.transfer.pushing import is_pushed
from petla.storage.objects.index import batches
from petla.storage.workspace import Workspace

# Tells a person something.
Say = Callable[[str], None]

_NO_COMMIT = "0" * 40
_LARGE_BYTES = 10_000_000
# larger files are not searched for secrets
_SEARCHED_BYTES = 2_000_000
_SEARCHED_AT_ONCE = 50


def run_hook(ws: Workspace, name: str, arguments: Sequence[str], say: Say, progress: Progress = SILENT) -> bool:
    """Do what a hook is for; return whether Git may go on.

    Args:
        ws: the project.
        name: of the hook.
        arguments: that Git gave it.
        say: tells the person at the keyboard.
        progress: is told of the bytes that were brought.

    Raises:
        InvalidError: there is no such hook.
    """
    match name:
        case "post-checkout":
            old, new, kind = [*arguments, "", "", ""][:3]
            if kind == "1" and _is_moved(ws, old, new):
                bring_data(ws, say, progress)
        case "post-merge" | "post-rewrite":
            bring_data(ws, say, progress)
        case "pre-push":
            return _look_at_push(ws, say)
        case "pre-commit":
            return _look_at_commit(ws, say)
        case _:
            raise InvalidError(f"{name!r} is no hook that petla knows", hint=suggest(name, NAMES), field="name")
    return True


def bring_data(ws: Workspace, say: Say, progress: Progress = SILENT) -> None:
    """Bring the work tree's data to what the pointers name; what cannot be brought is said, and left as it is."""
    for name, table in ws.project.data.items():
        try:
            standing = inspect(ws.root, ws.state, table, name)
            if standing.pointer is None or standing.state == "clean":
                continue
            report = bring(ws, [name], progress=progress)
        except ConflictError as error:
            say(f"{name} was left as it is: {error.message}; {error.hint}")
        except PetlaError as error:
            say(f"{name} is not what its pointer names: {error.message}; next: petla data pull {name}")
        else:
            say(f"{name} is now version {report.versions[0].version}")


def _is_moved(ws: Workspace, old: str, new: str) -> bool:
    """Whether two commits differ in what they say of data."""
    if old == _NO_COMMIT:
        return True
    changed = list_changed(ws.root, old, new)
    return any(path.endswith((".dvc", "dvc.lock", PIPELINE, "petla.toml")) for path in changed)


def _look_at_push(ws: Workspace, say: Say) -> bool:
    missing = list(_list_unpushed(ws))
    for line in missing:
        say(f"{line} was not pushed, so others cannot get it")
    if missing:
        say("next: petla data push")
    return not missing or read_setting(ws.root, "petla.prePush") != "refuse"


def _list_unpushed(ws: Workspace) -> Iterator[str]:
    """The data that the commit names and that this machine has not seen on any remote."""
    for name in ws.project.data:
        try:
            pointer = find_pointer_of(ws, name, rev="HEAD")
        except PetlaError:
            continue
        version = find_version_of(ws, name, pointer)
        if version is None:
            yield f"data of {name} ({pointer.md5})"
        elif not is_pushed(ws, version):
            yield f"{name} version {version.version}"


def _look_at_commit(ws: Workspace, say: Say) -> bool:
    limit = _read_limit(ws)
    staged = list_staged(ws.root)
    problems = [
        f"{path} is large ({size / 1e6:.1f} MB): petla data add {path}, then commit its .dvc file"
        for path, size, _ in staged
        if size > limit
    ]
    for some in batches((each for each in staged if each.size <= min(limit, _SEARCHED_BYTES)), _SEARCHED_AT_ONCE):
        contents = dict(read_blobs(ws.root, [each.blob for each in some]))
        for path, _, blob in some:
            problems += _find_problems(path, contents.get(blob, b""))
    for problem in problems:
        say(problem)
    if problems:
        say(f"nothing was committed; next: take it out, or mark the line with '{ALLOWED}', or git commit --no-verify")
    return not problems


def _find_problems(path: str, content: bytes) -> list[str]:
    if b"\0" in content[:8000]:
        return []
    found = find_secrets(path, content.decode(errors="replace"))
    return [f"{path}:{secret.line} looks like a secret ({secret.kind})" for secret in found]


def _read_limit(ws: Workspace) -> float:
    said = read_setting(ws.root, "petla.largeFile")
    try:
        return float(said) * 1e6 if said else _LARGE_BYTES
    except ValueError as error:
        raise InvalidError(
            f"Git's setting petla.largeFile is {said!r}",
            hint="give megabytes: git config petla.largeFile 10",
        ) from error
