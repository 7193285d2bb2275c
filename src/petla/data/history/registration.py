"""Which dataset a path belongs to, and how a path becomes a dataset of the project file."""

import re
from pathlib import Path

import msgspec

from petla.core.errors import InvalidError, NotFoundError
from petla.core.project import FOUND_OUT, PROJECT_FILE, DatasetTable, DateOrder, Project, decode_project, is_name
from petla.core.project.paths import check_place
from petla.storage.files import write_atomic


def place_in_project(root: Path, path: Path) -> str:
    """Return a path relative to the project, as the project file writes it.

    A relative path is one of the present folder, else one of the project.

    Raises:
        NotFoundError: there is nothing.
        InvalidError: it lies outside the project.
    """
    found = next((p for p in (Path.cwd() / path, root / path) if p.exists()), None)
    if found is None:
        raise NotFoundError(f"there is no {path}", hint="correct the path")
    # NOTE: only the folder is resolved: data may be a link to another disk.
    whole = found.parent.resolve() / found.name
    if not whole.is_relative_to(root.resolve()):
        raise InvalidError(f"{whole} lies outside the project {root}", hint="copy or link it into the project first")
    try:
        return check_place(whole.relative_to(root.resolve()).as_posix())
    except ValueError as error:
        raise InvalidError(f"a dataset {error}", hint="name another file or folder, or rename it") from error


def find_name(project: Project, place: str) -> str | None:
    """Return the dataset that has a path, or None."""
    return next((name for name, table in project.data.items() if Path(table.path) == Path(place)), None)


def choose_name(project: Project, place: str, name: str | None) -> str:
    """Return the dataset's name for a path: the one it has, the one asked for, or one made from the file's name.

    Raises:
        InvalidError: the path has another name already, the name another path, or it is none.
    """
    known = find_name(project, place)
    if known is not None:
        if name not in (None, known):
            raise InvalidError(
                f"{place} is the dataset {known!r} already", hint=f"leave out the name, or rename [data.{known}]"
            )
        return known
    if name is not None and not is_name(name):
        raise InvalidError(
            f"{name!r} is no name for a dataset",
            hint="use lower-case letters, digits and _, starting with a letter",
            field="name",
        )
    chosen = name or re.sub(r"[^a-z0-9]+", "_", Path(place).stem.lower()).strip("_")
    if not chosen[:1].isalpha():
        chosen = f"data_{chosen}".rstrip("_")
    if chosen in project.data:
        raise InvalidError(
            f"dataset {chosen!r} is {project.data[chosen].path} already, not {place}",
            hint=f"petla data add {place} --name OTHER_NAME",
            field=f"data.{chosen}",
        )
    return chosen


def append_table(root: Path, project: Project, name: str, place: str, *, url: str = "") -> Project:
    """Add a dataset to the end of the project file; return the project as it is then.

    A DVC project without a project file has its pointers in place of one.

    Args:
        root: the project's folder.
        project: as it is.
        name: of the dataset.
        place: its path.
        url: where it was imported from.

    Raises:
        InvalidError: the project file would not be valid with it; it stays as it was.
    """
    path = root / PROJECT_FILE
    if not path.exists():
        return msgspec.structs.replace(project, data={**project.data, name: DatasetTable(path=place, url=url)})
    # NOTE: some editors begin a file with a mark that only "-sig" takes away
    text = path.read_text(encoding="utf-8-sig")
    end = "" if text.endswith("\n") else "\n"
    # A JSON text is a TOML text.
    text += f"{end}\n[data.{name}]\npath = {msgspec.json.encode(place).decode()}\n"
    if url:
        text += f"url = {msgspec.json.encode(url).decode()}\n"
    return _rewrite(path, text)


def keep_date_order(root: Path, project: Project, name: str, order: DateOrder) -> Project:
    """Write down in which order the dates of a dataset are read, so that the next file is read in the same one.

    A project file that says something about the format already is left alone.

    Args:
        root: the project's folder.
        project: as it is.
        name: of the dataset.
        order: in which its dates are read.
    """
    path = root / PROJECT_FILE
    if name not in project.data or project.data[name].format != FOUND_OUT or not path.exists():
        return project
    text = path.read_text(encoding="utf-8-sig")
    end = "" if text.endswith("\n") else "\n"
    try:
        return _rewrite(path, f'{text}{end}\n[data.{name}.format]\ndate_order = "{order}"\n')
    except InvalidError:
        # an empty table, or one that is written within braces
        return project


def _rewrite(path: Path, text: str) -> Project:
    grown = decode_project(text)
    write_atomic(path, text.encode())
    return grown


def ignore_in_git(path: Path) -> None:
    """Keep the data itself out of Git, as DVC does: its pointer is what Git holds."""
    ignore = path.parent / ".gitignore"
    text = ignore.read_text(encoding="utf-8", errors="surrogateescape") if ignore.is_file() else ""
    line = f"/{escape_ignored(path.name)}"
    if line in text.split("\n"):
        return
    end = "\n" if text and not text.endswith("\n") else ""
    write_atomic(ignore, f"{text}{end}{line}\n".encode(errors="surrogateescape"))


def escape_ignored(name: str) -> str:
    r"""Write a file's name so that Git takes it for nothing but this name.

    Example:
        >>> escape_ignored("rows[1].csv"), escape_ignored("a b "), escape_ignored("what?*")
        ('rows\\[1].csv', 'a b\\ ', 'what\\?\\*')
    """
    escaped = re.sub(r"([\\*?\[])", r"\\\1", name)
    kept = escaped.rstrip(" ")
    escaped = kept + "\\ " * (len(escaped) - len(kept))
    # NOTE: a line cannot hold a line end; a question mark stands for any one character
    return escaped.replace("\n", "?").replace("\r", "?")
