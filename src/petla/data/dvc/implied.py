"""A DVC project as it is, without a project file: each of its outputs is a dataset."""

import re
from pathlib import Path

import msgspec

from petla.core.project import DatasetTable, Project, decode_project
from petla.data.dvc.outs import list_outs
from petla.data.dvc.settings import FOLDER


def find_implied(start: Path) -> tuple[Path, Project] | None:
    """Return the nearest DVC project at or above a folder, as a project; None: there is none."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir() and (
            (folder / FOLDER / "config").is_file() or (folder / FOLDER / "tmp").is_dir()
        ):
            return folder, make_implied(folder)
    return None


def make_implied(root: Path) -> Project:
    """Return a DVC project as a project: its name is the folder's, its datasets are what DVC keeps."""
    name = _name_of(root.name, set())
    project = decode_project(f'[project]\nname = "{name}"\n')
    data: dict[str, DatasetTable] = {}
    for place in sorted(list_outs(root)):
        data[_name_of(place, set(data))] = DatasetTable(path=place)
    return msgspec.structs.replace(project, data=data)


def _name_of(place: str, taken: set[str]) -> str:
    """Return a name made of a path, with as much of it as tells it from the others."""
    parts = Path(place).with_suffix("").parts or (place,)
    for n_parts in range(1, len(parts) + 1):
        name = _clean("_".join(parts[-n_parts:]))
        if name not in taken:
            return name
    whole = _clean(place)
    return next(f"{whole}_{number}" for number in range(2, len(taken) + 3) if f"{whole}_{number}" not in taken)


def _clean(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"data_{name}".rstrip("_")
