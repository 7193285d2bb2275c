"""An opened project."""

from pathlib import Path

import pytest

from petla.core.errors import InvalidError, NotFoundError
from petla.core.settings import Settings
from petla.storage.workspace import Workspace, find_root, open_workspace
from tests.contracts.processes import run_python

ONE = """
[project]
name = "flights"
[data.flights]
path = "flights.csv"
[models.delay]
target = "late"
"""
TWO = (
    ONE
    + """
[data.weather]
path = "weather.csv"
[models.arrival]
target = "minutes"
task = "regression"
"""
)


def test_root_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "petla.toml").write_text(ONE)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)

    assert find_root(deep) == tmp_path
    assert open_workspace(deep, Settings()).root == tmp_path.resolve()


def test_without_a_project_file_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no petla\.toml in .*petla init"):
        find_root(tmp_path)


def test_only_model_and_dataset_need_no_name(tmp_path: Path) -> None:
    workspace = _open(tmp_path, ONE)

    assert workspace.get_model()[0] == workspace.get_model("delay")[0] == "delay"
    assert workspace.get_dataset()[1].path == "flights.csv"


def test_one_of_several_has_to_be_named(tmp_path: Path) -> None:
    workspace = _open(tmp_path, TWO)

    with pytest.raises(InvalidError, match=r"say which of \[models\] is meant; there is: arrival, delay"):
        workspace.get_model()
    with pytest.raises(InvalidError, match=r"say which of \[data\] is meant; there is: flights, weather"):
        workspace.get_dataset()
    assert workspace.get_model("arrival")[1].task == "regression"


def test_project_without_models_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="there is: none"):
        _open(tmp_path, '[project]\nname = "x"').get_model()


def test_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    workspace = _open(tmp_path, TWO)

    with pytest.raises(NotFoundError, match=r"\[models\] has no 'dealy'; next: did you mean 'delay'\?"):
        workspace.get_model("dealy")
    with pytest.raises(NotFoundError, match=r"\[data\] has no 'x'; next: known: flights, weather"):
        workspace.get_dataset("x")


def test_faults_of_the_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        _open(tmp_path, ONE + "targt = 1\n[servin]")

    missing = {"data.flights.path", "models.delay.pipeline"}
    assert {fault.field for fault in caught.value.faults} == {"models.delay.targt", "servin"} | missing


def test_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "petla.toml").write_bytes('[project]\nname = "pętla"'.encode("iso-8859-2"))

    with pytest.raises(InvalidError, match="is not UTF-8"):
        open_workspace(tmp_path, Settings())


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "petla.toml").write_text(ONE, encoding="utf-8-sig")

    assert open_workspace(tmp_path, Settings()).name == "flights"


def test_stores_open_in_the_state_folder_on_first_use(tmp_path: Path) -> None:
    workspace = _open(tmp_path, ONE)
    assert not workspace.state.exists()

    with workspace.ledger.change(actor="ann", action="model.deployed", subject="delay:1"):
        pass

    assert workspace.ledger.verify() == 1
    assert {"petla.db", "keys", "audit.head"} <= {path.name for path in (tmp_path / ".petla").iterdir()}
    workspace.close()


def test_settings_go_before_the_project_file(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'other.db'}"
    workspace = _open(tmp_path, ONE + '[storage]\ndatabase = "mysql://"', Settings(database=address, actor="ann"))

    assert str(workspace.engine.url) == address
    assert workspace.actor == "ann"
    workspace.close()


def test_actor_is_the_name_that_git_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Łucja")

    assert _open(tmp_path, ONE).actor == "Łucja"


def test_actor_without_git_is_the_login_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "ann")

    assert _open(tmp_path, ONE).actor == "ann"


def test_opening_loads_no_database_library(tmp_path: Path) -> None:
    (tmp_path / "petla.toml").write_text(ONE)
    program = (
        "import pathlib, sys\nfrom petla.core.settings import Settings\n"
        "from petla.storage.workspace import open_workspace\n"
        "open_workspace(pathlib.Path(sys.argv[1]), Settings()).get_model()\n"
        "print(*sorted({'sqlalchemy', 'alembic', 'cryptography', 'numpy'} & set(sys.modules)))"
    )

    assert run_python(program, tmp_path).strip() == ""


def _open(folder: Path, text: str, settings: Settings | None = None) -> Workspace:
    (folder / "petla.toml").write_text(text)
    return open_workspace(folder, settings or Settings())


MISNAMED = """
[project]
name = "penguins"

[data.penguins]
path = "data/penguin.csv"

[models.species]
target = "species"
pipeline = "pipelin.py"
"""


def make_misnamed(root: Path, text: str = MISNAMED) -> None:
    (root / "data").mkdir()
    (root / "data" / "penguins.csv").touch()
    (root / "pipeline.py").touch()
    (root / "petla.toml").write_text(text)


def test_missing_files_are_told_together_with_the_nearest(tmp_path: Path) -> None:
    make_misnamed(tmp_path)

    with pytest.raises(InvalidError, match="has 2 faults") as caught:
        open_workspace(tmp_path, Settings()).require_files()

    told = {fault.field: (fault.message, fault.hint) for fault in caught.value.faults}
    assert told == {
        "data.penguins.path": ("is 'data/penguin.csv', but there is no such file", "did you mean 'data/penguins.csv'?"),
        "models.species.pipeline": ("is 'pipelin.py', but there is no such file", "did you mean 'pipeline.py'?"),
    }


def test_missing_files_are_told_with_the_other_faults(tmp_path: Path) -> None:
    make_misnamed(tmp_path, MISNAMED + "tsak = 'binary'\n")

    with pytest.raises(InvalidError, match="has 3 faults"):
        open_workspace(tmp_path, Settings())


def test_data_that_is_not_checked_out_has_its_pointer(tmp_path: Path) -> None:
    make_misnamed(tmp_path)
    (tmp_path / "data" / "penguin.csv.dvc").touch()
    (tmp_path / "pipelin.py").touch()

    open_workspace(tmp_path, Settings()).require_files()
