"""The last answer of `petla data status`, and whether it still holds.

People ask for the status all the time, and mostly nothing has changed. Then the answer is the one given before, and all
there is to do is to see that nothing changed: the project file, the pointers, each file's size, time, inode and mode.
Only what Python itself is made of is imported here; everything else takes longer to load than that look takes.
"""

import marshal
import os
import zlib

import petla

# `typing` has more to load than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    # size, time in ns, inode, mode; nothing: a folder
    Numbers = tuple[int, ...]
    # path -> numbers; folders with nothing in them
    Files = tuple[Mapping[str, Numbers], Iterable[str]]
    Folder = tuple[str, dict[str, Numbers]]

_PLACE = "cache/data/status.answer"
_FOLDER = ()
# so many files are worth a second process
_MANY = 4_000


def find_answer(arguments: list[str], folder: str, environment: "Mapping[str, str]") -> str | None:
    """Return what the same command printed the last time, if nothing has changed since.

    Args:
        arguments: the words after `petla`.
        folder: that the command was called in.
        environment: the process's; with settings of Pętla's in it, nothing is known in advance.
    """
    if arguments[:2] != ["data", "status"] or any(name.startswith("PETLA_") for name in environment):
        return None
    root = _find_root(folder)
    try:
        with open(f"{root}/.petla/{_PLACE}", "rb") as file:  # noqa: PTH123 - pathlib takes 5 ms to import
            content = file.read()
        checksum, packed = content[:4], content[4:]
        if zlib.crc32(packed).to_bytes(4, "big") != checksum:
            return None
        version, texts, singles, folders = marshal.loads(packed)  # noqa: S302 - from our own state folder
    except (OSError, ValueError, EOFError, TypeError):
        return None
    text: str | None = texts.get(" ".join(arguments[2:]))
    if text is None or version != petla.__version__:
        return None
    is_same = _is_each_same(root, singles) and _is_all_same(root, folders)
    return text if is_same else None


def keep_answer(
    state: str,
    texts: "Mapping[str, str]",
    singles: "Mapping[str, Numbers | None]",
    datasets: "Mapping[str, Files]",
) -> None:
    """Note an answer beside everything that it rests on.

    Args:
        state: the state folder.
        texts: what was printed, by the words after `petla data status`.
        singles: path below the project -> numbers of a file; None: it is not there.
        datasets: path below the project -> what was found in a dataset's folder.

    Raises:
        OSError: it cannot be written.
    """
    folders = [folder for path, found in datasets.items() for folder in _by_folder(path, found)]
    packed = marshal.dumps((petla.__version__, dict(texts), dict(singles), folders))
    place = f"{state}/{_PLACE}"
    os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
    temporary = f"{os.path.dirname(place)}/.tmp-status.{os.getpid()}"  # noqa: PTH120
    with open(temporary, "wb") as file:  # noqa: PTH123
        file.write(zlib.crc32(packed).to_bytes(4, "big") + packed)
    os.replace(temporary, place)  # noqa: PTH105


def look_at(path: str) -> "Numbers | None":
    """Return the numbers of a file; None: it is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    if status.st_mode & 0o170000 == 0o040000:
        return _FOLDER
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode


def _find_root(folder: str) -> str:
    """The nearest folder with a project file; whether there is one shows when the answer is looked for."""
    while not os.path.isfile(f"{folder}/petla.toml") and folder != "/":  # noqa: PTH113
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder


def _is_each_same(root: str, singles: "Mapping[str, Numbers | None]") -> bool:
    return all(look_at(f"{root}/{path}") == numbers for path, numbers in singles.items())


def _by_folder(root: str, files: "Files") -> "list[Folder]":
    """Return what lies in each folder of a dataset directly: name -> numbers; those of a folder are none."""
    found: dict[str, dict[str, Numbers]] = {root: {}}

    def enter(folder: str) -> "dict[str, Numbers]":
        if folder not in found:
            above, _, name = folder.rpartition("/")
            enter(above)[name] = _FOLDER
            found[folder] = {}
        return found[folder]

    for path, numbers in files[0].items():
        folder, _, name = f"{root}/{path}".rpartition("/")
        enter(folder)[name] = numbers
    for folder in files[1]:
        enter(f"{root}/{folder}")
    return sorted(found.items())


def _is_all_same(root: str, folders: "list[Folder]") -> bool:
    n_files = sum(len(items) for _, items in folders)
    if n_files < _MANY or len(folders) < 2 or not hasattr(os, "fork"):
        return all(_is_same(f"{root}/{folder}", items) for folder, items in folders)
    half, n_seen = 0, 0
    while n_seen < n_files / 2:
        n_seen += len(folders[half][1])
        half += 1
    # A process has its own lock on the interpreter, a thread has not.
    child = os.fork()
    if child == 0:
        is_same = False
        try:
            is_same = all(_is_same(f"{root}/{folder}", items) for folder, items in folders[half:])
        finally:
            os._exit(0 if is_same else 1)
    is_same = all(_is_same(f"{root}/{folder}", items) for folder, items in folders[:half])
    _, status = os.waitpid(child, 0)
    return is_same and status == 0


def _is_same(folder: str, known: "Mapping[str, Numbers]") -> bool:
    n_items = 0
    try:
        with os.scandir(folder) as items:
            for item in items:
                n_items += 1
                numbers = known[item.name]
                if item.is_dir(follow_symlinks=False):
                    if numbers:
                        return False
                    continue
                status = item.stat()
                if (status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode) != numbers:
                    return False
    except (OSError, KeyError):
        return False
    return n_items == len(known)
