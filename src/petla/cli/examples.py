"""Projects that come with Pętla: one to begin with, one for the demo."""

from importlib.resources import files
from pathlib import Path

from petla.core.errors import NotFoundError
from petla.core.project import PROJECT_FILE


def find_example(name: str) -> Path:
    """Return the folder of an example: in the repository, else in the installed package.

    Raises:
        NotFoundError: it is in neither.
    """
    candidates = [
        Path(__file__).parents[3] / "examples" / name,
        Path(str(files("petla"))) / "_examples" / name,
    ]
    for folder in candidates:
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise NotFoundError(f"the example {name!r} is not installed", hint="install petla again")
