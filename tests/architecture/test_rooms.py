"""Every room says what it is for, and every error stands in the one tree."""

import ast
from collections import Counter

from tests.architecture.name_rules import is_error
from tests.architecture.source import PACKAGE, list_sources

LARGEST_FOLDER = 20


def test_every_room_says_what_it_is_for() -> None:
    sources = {source.path: source for source in list_sources(PACKAGE)}
    folders = {path.parent for path in sources}

    silent = [
        str(folder)
        for folder in sorted(folders)
        if (start := sources.get(folder / "__init__.py")) is None or not ast.get_docstring(start.tree)
    ]

    assert not silent, f"no __init__.py with a docstring: {silent}"


def test_no_folder_grows_past_twenty_files() -> None:
    counts = Counter(source.path.parent for source in list_sources(PACKAGE) if source.path.name != "__init__.py")

    crowded = {str(folder): count for folder, count in counts.items() if count > LARGEST_FOLDER}

    assert counts
    assert not crowded, f"give them sub-folders: {crowded}"


def test_every_error_is_drawn_in_the_tree() -> None:
    sources = list_sources(PACKAGE)
    home = next(source for source in sources if source.path.as_posix() == "core/errors.py")
    drawing = (ast.get_docstring(home.tree) or "").split()
    errors = [(source, node) for source in sources for node in ast.walk(source.tree) if is_error(node)]

    missing = [source.at(node, node.name) for source, node in errors if node.name not in drawing]

    assert errors
    assert not missing, "not drawn in the docstring of core/errors.py:\n" + "\n".join(missing)
