"""`petla init`: what it makes, and what it refuses."""

from pathlib import Path

import pytest

from petla.cli.projects import create_project
from petla.core.errors import ConflictError
from petla.core.project import decode_project


def test_init_makes_a_project_whose_file_is_valid(tmp_path: Path) -> None:
    create_project(tmp_path / "new")

    assert decode_project((tmp_path / "new" / "petla.toml").read_text()).models["species"].target == "species"


def test_init_keeps_a_gitignore_and_adds_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")

    create_project(tmp_path)

    assert (tmp_path / ".gitignore").read_text() == "mine\n.petla/\n"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("mine")

    with pytest.raises(ConflictError, match=r"already holds pipeline\.py"):
        create_project(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.py"]


def test_init_refuses_a_project(tmp_path: Path) -> None:
    create_project(tmp_path)

    with pytest.raises(ConflictError, match=r"petla\.toml is there already"):
        create_project(tmp_path)
