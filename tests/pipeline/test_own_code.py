"""Own code: everything that a step's code does belongs to its key, however it is written and wherever it lies."""

import sys
from pathlib import Path

import pytest

from petla.core.errors import InvalidError
from petla.pipeline.plan import RunRequest, make_plan
from petla.pipeline.runs import load_output
from petla.pipeline.steps.locations import is_own_file
from tests.pipeline.projects import PROJECT, changed, keys_of, open_project, run, write

REST = "\ndef holdout():\n    return 1\n\n\ndef model(training):\n    return training\n"

# name -> the files of a project whose `training` depends on the line that says VALUE
WAYS = {
    "import in a function": {
        "pipeline.py": "def training():\n    from a import f\n    return f()\n\ndef other():\n    from b import f\n",
        "a.py": "def f():\n    return VALUE\n",
        "b.py": "def f():\n    return 0\n",
    },
    "first arm of a try": {
        "pipeline.py": "try:\n    from a import f\nexcept ImportError:\n    from b import f\n"
        "def training():\n    return f()\n",
        "a.py": "def f():\n    return VALUE\n",
        "b.py": "def f():\n    return 0\n",
    },
    "decorator that registers": {
        "pipeline.py": "KNOWN = []\ndef known(f): KNOWN.append(f)\n@known\ndef _f(): return VALUE\n"
        "def training():\n    return [f() for f in KNOWN]\n",
    },
    "decorator in another module": {
        "pipeline.py": "import plugins\nfrom base import KNOWN\ndef training():\n    return [f() for f in KNOWN]\n",
        "base.py": "KNOWN = []\ndef known(f): KNOWN.append(f)\n",
        "plugins.py": "import base\n@base.known\ndef f(): return VALUE\n",
    },
    "subclasses that are collected": {
        "pipeline.py": "class Base:\n    def __init_subclass__(cls): KNOWN.append(cls)\nKNOWN = []\n"
        "class Child(Base):\n    value = VALUE\ndef training():\n    return [each.value for each in KNOWN]\n",
    },
    "subclasses that are asked for": {
        "pipeline.py": "import children\nfrom base import Base\n"
        "def training():\n    return [each().get() for each in Base.__subclasses__()]\n",
        "base.py": "class Base:\n    pass\n",
        "children.py": "from base import Base\nclass Child(Base):\n    def get(self):\n        return VALUE\n",
    },
    "namespace of polars": {
        "pipeline.py": "import polars as pl\n@pl.api.register_dataframe_namespace('mine')\nclass Mine:\n"
        "    def __init__(self, frame): pass\n    def get(self): return VALUE\n"
        "def training():\n    return pl.DataFrame({'a': [1]}).mine.get()\n",
    },
    "call whose value nobody reads": {
        "pipeline.py": "STATE = {}\ndef init(n):\n    STATE['n'] = n\nDONE = init(VALUE)\n"
        "def training():\n    return STATE['n']\n",
    },
    "module imported for its effect": {
        "pipeline.py": "from lib import setup\nfrom lib.state import STATE\ndef training():\n    return STATE['n']\n",
        "lib/__init__.py": "",
        "lib/state.py": "STATE = {}\n",
        "lib/setup.py": "from lib.state import STATE\nSTATE['n'] = VALUE\n",
    },
    "default of an argument": {
        "pipeline.py": "STATE = []\ndef f(x=STATE.append(VALUE)):\n    return x\n"
        "def training():\n    return STATE[0]\n",
    },
    "target that is no name": {
        "pipeline.py": "STATE = {}\nOTHER, STATE['n'] = 0, VALUE\ndef training():\n    return STATE['n']\n",
    },
    "getattr on a module": {
        "pipeline.py": "import a\ndef training():\n    return getattr(a, 'f')()\n",
        "a.py": "from b import f\n",
        "b.py": "def f():\n    return VALUE\n",
    },
    "import_module of a text": {
        "pipeline.py": "import importlib\ndef training():\n    return importlib.import_module('a').f()\n",
        "a.py": "def f():\n    return VALUE\n",
    },
    "globals": {
        "pipeline.py": "def _f(): return VALUE\ndef training():\n    return globals()['_' + 'f']()\n",
    },
    "attribute that a module makes up": {
        "pipeline.py": "import a\ndef training():\n    return a.made_up\n",
        "a.py": "def __getattr__(name):\n    return VALUE\n",
    },
    "name that other module exports": {
        "pipeline.py": "import lib\ndef training():\n    return lib.f()\n",
        "lib/__init__.py": "from .a import *\n",
        "lib/a.py": "from .b import f\n",
        "lib/b.py": "def f():\n    return VALUE\n",
    },
    "method of a parent": {
        "pipeline.py": "from a import Child\ndef training():\n    return Child().get()\n",
        "a.py": "from b import Parent\nclass Child(Parent):\n    pass\n",
        "b.py": "class Parent:\n    def get(self):\n        return VALUE\n",
    },
    "file beside the module": {
        "pipeline.py": "from lib.a import f\ndef training():\n    return f()\n",
        "lib/__init__.py": "",
        "lib/a.py": "from pathlib import Path\n"
        "def f():\n    return int((Path(__file__).parent / 'n.txt').read_text())\n",
        "lib/n.txt": "VALUE",
    },
    "file in a folder of constants": {
        "pipeline.py": "from pathlib import Path\nHOME = Path(__file__).parent / 'conf' / 'deep'\n"
        "def training():\n    return int((HOME / 'n.txt').read_text())\n",
        "conf/deep/n.txt": "VALUE",
    },
    "resource of a package": {
        "pipeline.py": "from importlib.resources import files\n"
        "def training():\n    return int(files('lib').joinpath('n.txt').read_text())\n",
        "lib/__init__.py": "",
        "lib/n.txt": "VALUE",
    },
}


@pytest.mark.filterwarnings("ignore:Overriding existing custom namespace")
@pytest.mark.parametrize("way", WAYS)
def test_what_a_step_depends_on_is_in_its_key(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = []
    for value in ("1", "7"):
        for name, text in WAYS[way].items():
            write(tmp_path / name, text.replace("VALUE", value))
        ws = open_project(tmp_path, (tmp_path / "pipeline.py").read_text() + REST)
        seen.append(load_output(ws, run(ws)[0], "training"))

    assert seen in ([1, 7], [[1], [7]])


def test_other_function_of_a_library_changes_the_key(tmp_path: Path) -> None:
    code = "from statistics import {} as f\ndef training():\n    return f([1, 1, 7])\n" + REST
    before = keys_of(open_project(tmp_path, code.format("mean")))

    assert "training" in changed(before, keys_of(open_project(tmp_path, code.format("median"))))


@pytest.mark.parametrize(
    "code",
    [
        "with open('out.txt', 'w') as file: file.write('x')",
        "Path('out.txt').write_text('x')",
        "pl.DataFrame({'a': [1]}).write_csv(OUT)",
        "pl.DataFrame({'a': [1]}).to_pandas().to_csv('out.txt')",
    ],
)
def test_file_that_a_step_writes_does_not_make_it_run_again(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "from pathlib import Path\nimport polars as pl\nOUT = 'out.txt'\n"
    ws = open_project(tmp_path, f"{head}def training():\n    {code}\n    return 1\n{REST}")
    before = keys_of(ws)
    run(ws)

    assert (tmp_path / "out.txt").is_file()
    assert keys_of(ws) == before


@pytest.mark.parametrize("layout", ["search path", "editable finder"])
@pytest.mark.parametrize("home", ["project/src", "elsewhere"])
def test_imported_code_outside_of_the_folder_is_followed(
    tmp_path: Path, layout: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / home
    write(source / "mylib" / "__init__.py", "from .part import f\n")
    ws = open_project(tmp_path / "project", "from mylib import f\ndef training():\n    return f()\n" + REST)
    _make_importable(source, layout, monkeypatch)
    seen = []
    for value in (1, 7):
        write(source / "mylib" / "part.py", f"def f():\n    return {value}\n")
        seen.append(load_output(ws, run(ws)[0], "training"))

    assert seen == [1, 7]
    assert not [name for name in sys.modules if name.partition(".")[0] == "mylib"]


@pytest.mark.parametrize("layout", ["search path", "editable finder"])
def test_checkout_runs_with_its_own_code(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from mylib.part import f\ndef training():\n    return f()\n" + REST
    ws = open_project(tmp_path / "project", code)
    for folder, value in (("project", 7), ("checkout", 1)):
        write(tmp_path / folder / "src" / "mylib" / "__init__.py", "")
        write(tmp_path / folder / "src" / "mylib" / "part.py", f"def f():\n    return {value}\n")
        write(tmp_path / folder / "pipeline.py", code)
    _make_importable(tmp_path / "project" / "src", layout, monkeypatch)

    result, _ = run(ws, RunRequest(source=tmp_path / "checkout", commit="abc"))

    assert load_output(ws, result, "training") == 1


def _make_importable(source: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if layout == "search path":
        monkeypatch.syspath_prepend(str(source))
        return
    from importlib.machinery import ModuleSpec
    from importlib.util import spec_from_file_location

    class Finder:
        """As setuptools installs one for an editable package."""

        @classmethod
        def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            del path, target
            return spec_from_file_location(name, source / "mylib" / "__init__.py") if name == "mylib" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\ndef training():\n    return os.environ.get('N', '')", "pipeline.py reads environment variables"),
        ("from os import getenv as env\ndef training():\n    return env('N', '')", "reads environment variables"),
        ("import importlib\nN = 'math'\ndef training():\n    return str(importlib.import_module(N))", "found only by"),
    ],
)
def test_what_no_key_can_know_is_said(tmp_path: Path, code: str, said: str) -> None:
    ws = open_project(tmp_path, f"{code}\n{REST}")

    for _ in range(2):
        warnings = run(ws)[0].warnings
        assert [said in each and "make it a parameter" in each for each in warnings] == [True]


@pytest.mark.parametrize(
    ("file", "is_own"),
    [
        ("pipeline.py", True),
        ("lib/../lib/part.py", True),
        ("my-packages/part.py", True),
        (".venv/bin/petla", False),
        ("env/lib/python3.11/json/__init__.py", False),
        ("conda/lib/python3.11/json/__init__.py", False),
        ("lib64/site-packages/numpy/__init__.py", False),
        ("../elsewhere.py", False),
        ("../elsewhere/../p/pipeline.py", True),
    ],
)
def test_environments_in_the_project_are_not_its_own(tmp_path: Path, file: str, is_own: bool) -> None:
    # the project itself may lie in an environment
    for marker in ("pyvenv.cfg", "p/.venv/pyvenv.cfg", "p/env/pyvenv.cfg", "p/conda/conda-meta/history"):
        write(tmp_path / marker, "")

    assert is_own_file(str(tmp_path / "p" / file), tmp_path / "p") is is_own


@pytest.mark.parametrize(("name", "said"), [("nb.ipynb", "jupyter nbconvert --to script nb.ipynb"), ("p.txt", ".py")])
def test_pipeline_that_is_no_module_is_refused(tmp_path: Path, name: str, said: str) -> None:
    project = PROJECT.replace('target = "late"', f'target = "late"\npipeline = "{name}"')
    ws = open_project(tmp_path, project=project)
    write(tmp_path / name, "{}")

    with pytest.raises(InvalidError) as caught:
        make_plan(ws, "delay", RunRequest())

    assert said in str(caught.value)
