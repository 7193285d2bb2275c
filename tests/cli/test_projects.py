"""`petla init`: what it makes, and what it refuses."""

import subprocess
from pathlib import Path

import pytest

from petla.cli.commands.projects import create_project
from petla.core.errors import ConflictError, UnavailableError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.data.versions import add
from petla.storage.workspace import open_workspace
from tests.data.dvc.programs import Dvc


def test_init_makes_a_project_whose_file_is_valid(tmp_path: Path) -> None:
    create_project(tmp_path / "new")

    assert decode_project((tmp_path / "new" / "petla.toml").read_text()).models["species"].target == "species"


def test_git_sees_every_file_of_a_fresh_project(tmp_path: Path) -> None:
    made = create_project(tmp_path)

    command = ["git", "ls-files", "--others", "--exclude-standard"]
    seen = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert sorted(seen.stdout.splitlines()) == sorted(made)


@pytest.mark.slow
def test_dvc_sees_the_data_of_a_fresh_project(tmp_path: Path) -> None:
    root = tmp_path / "new"
    create_project(root)
    add(open_workspace(root, Settings(actor="ann")), root / "data" / "penguins.csv")

    status = Dvc(root, tmp_path / "home")("status")

    assert "data/penguins.csv.dvc" in status


def test_init_keeps_a_gitignore_and_adds_the_state_folder(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")

    create_project(tmp_path)

    assert (tmp_path / ".gitignore").read_text() == "mine\n.petla/\n"


def test_init_keeps_virtual_environments_out_of_git(tmp_path: Path) -> None:
    for name in (".venv", "my env"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "pyvenv.cfg").write_text("home = /usr/bin\n")
    create_project(tmp_path)

    for name in (".venv", "my env"):
        ignored = subprocess.run(["git", "check-ignore", "-q", f"{name}/lib"], cwd=tmp_path, check=False)
        assert ignored.returncode == 0


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("mine")

    with pytest.raises(ConflictError, match=r"already holds pipeline\.py"):
        create_project(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.py"]


def test_init_says_which_folder_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UnavailableError, match=r"cannot write .*file/new: Not a directory"):
        create_project(tmp_path / "file" / "new")


def test_init_refuses_a_project(tmp_path: Path) -> None:
    create_project(tmp_path)

    with pytest.raises(ConflictError, match=r"petla\.toml is there already"):
        create_project(tmp_path)
