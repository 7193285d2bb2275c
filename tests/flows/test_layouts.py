"""The first steps in every layout that a project may have, each with an environment of its own."""

import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

import petla

# name -> project's folder, environment's folder, its marker, the command; `~` is the environment's folder
LAYOUTS = {
    "venv in the project": ("p", "p/.venv", "pyvenv.cfg", ["~/bin/petla"]),
    "python -m": ("p", "p/.venv", "pyvenv.cfg", ["~/bin/python", "-m", "petla"]),
    "relative path": ("p", "other/env", "pyvenv.cfg", ["../other/env/bin/petla"]),
    "relative path into the project": ("p", "p/.venv", "pyvenv.cfg", ["../p/.venv/bin/petla"]),
    "conda in the project": ("p", "p/env", "conda-meta/history", ["~/bin/petla"]),
    "folder of a repository, with spaces": ("repo/my models", "repo/.venv", "pyvenv.cfg", ["~/bin/petla"]),
    "brackets": ("proj [v2]", "proj [v2]/.venv", "pyvenv.cfg", ["~/bin/python", "-m", "petla"]),
    "project in an environment": ("env/p", "env", "pyvenv.cfg", ["~/bin/petla"]),
}
HELPER = "def double(frame):\n    return frame.assign(twice=frame['body_mass_g'] * {})\n"


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_first_steps_work_in_every_layout(tmp_path: Path, layout: str) -> None:
    folder, environment, marker, command = LAYOUTS[layout]
    project, place = tmp_path / folder, tmp_path / environment
    project.mkdir(parents=True)
    _make_environment(place, marker, project / "src")
    command = [each.replace("~", str(place)) for each in command]
    if folder.startswith("repo/"):
        subprocess.run(["git", "init", "-q"], cwd=tmp_path / "repo", check=True)

    _run(project, command, "init")
    _use_own_code(project)
    _run(project, command, "data", "add", "data/penguins.csv")
    first = json.loads(_run(project, command, "run", "--json"))
    again = json.loads(_run(project, command, "run", "--json"))
    (project / "src" / "mylib" / "__init__.py").write_text(HELPER.format(3))
    third = json.loads(_run(project, command, "run", "--json"))
    _run(project, command, "deploy", "species:1")

    assert (first["version"], first["state"]) == (1, "testing")
    assert (again["version"], again["is_unchanged"]) == (1, True)
    assert (third["version"], third["is_unchanged"]) == (2, False)
    seen = subprocess.run(["git", "status", "--short"], cwd=project, capture_output=True, text=True, check=True).stdout
    assert "petla.db" not in seen


def _make_environment(place: Path, marker: str, source: Path) -> None:
    """Make an environment that has what this one has, and the project's own package as an editable install."""
    venv.create(place, symlinks=True, with_pip=False)
    packages = next(place.glob("lib/python*/site-packages"))
    paths = [sysconfig.get_paths()["purelib"], str(Path(petla.__file__).parents[1]), str(source)]
    (packages / "all.pth").write_text("\n".join(paths))
    (place / marker).parent.mkdir(exist_ok=True)
    (place / marker).touch()
    script = place / "bin" / "petla"
    start = "import sys\nfrom petla.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    script.write_text(f"#!{place}/bin/python\n{start}")
    script.chmod(0o755)


def _use_own_code(project: Path) -> None:
    (project / "src" / "mylib").mkdir(parents=True)
    (project / "src" / "mylib" / "__init__.py").write_text(HELPER.format(2))
    path = project / "pipeline.py"
    path.write_text(
        f"{path.read_text()}\n\ndef report(training):\n    from mylib import double\n\n    return double(training)\n"
    )


def _run(folder: Path, command: list[str], *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PETLA_", "PYTHON"))}
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"PETLA_ACTOR": "ada"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
