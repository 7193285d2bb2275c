"""`petla init`: a new project that runs at once."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from petla.cli.examples import find_example
from petla.cli.output import AsJson, print_json, say
from petla.core.errors import ConflictError
from petla.core.project import PROJECT_FILE, STATE_FOLDER

_STARTER = "penguins"
# a folder that holds these already keeps its own
_KEPT = {"README.md", ".gitignore"}
_NOT_COPIED = {"__pycache__", ".petla", ".pytest_cache"}


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("init", epilog="Example: petla init my-project")(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a project that runs at once: data, pipeline, tests, project file, Git repository."""
    made = create_project(folder)
    if as_json:
        print_json({"folder": str(folder), "files": made})
        return
    say(f"made a project in {folder}: {', '.join(made)}")
    say(f"next: {'' if folder == Path() else f'cd {folder} && '}petla data add data/penguins.csv && petla run")


def create_project(folder: Path) -> list[str]:
    """Copy the starter project; return the files made, relative to the folder.

    Raises:
        ConflictError: the folder already holds one of the files; nothing was written.
        UnavailableError: it cannot be written.
    """
    from petla.data.git import ensure_repository
    from petla.storage.files import reported

    starter = find_example(_STARTER)
    names = sorted(path.relative_to(starter) for path in starter.rglob("*") if path.is_file())
    names = [name for name in names if not _NOT_COPIED & set(name.parts)]
    names = [name for name in names if str(name) not in _KEPT or not (folder / name).exists()]
    _require_free(folder, names)
    with reported(folder):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(starter / name, folder / name)
        _ignore_state(folder)
    ensure_repository(folder)
    return [str(name) for name in names]


def _require_free(folder: Path, names: list[Path]) -> None:
    if (folder / PROJECT_FILE).exists():
        raise ConflictError(f"{folder / PROJECT_FILE} is there already", hint="this is a project; go on in it")
    taken = [str(name) for name in names if (folder / name).exists()]
    if taken:
        raise ConflictError(f"{folder} already holds {', '.join(taken)}", hint="choose another folder", field="folder")


def _ignore_state(folder: Path) -> None:
    """Keep the state and the virtual environments of the folder out of Git, whatever its own `.gitignore` says."""
    path = folder / ".gitignore"
    lines = path.read_text(encoding="utf-8").splitlines()
    environments = sorted(f"{each.parent.name}/" for each in folder.glob("*/pyvenv.cfg"))
    missing = [each for each in (f"{STATE_FOLDER}/", *environments) if each not in lines]
    if missing:
        path.write_text("\n".join([*lines, *missing, ""]), encoding="utf-8")
