"""What our texts may not say: foreign addresses in pages, places that exist on one machine only."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT, list_sources

FOREIGN = re.compile(r"(?i)(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+(?:\.[a-z0-9-]+)+")
# Written in pieces, so that this file does not break its own rule.
MACHINE_PATHS = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + r"me/\w", "/Us" + r"ers/\w")
MACHINE_PATH = re.compile("|".join(MACHINE_PATHS))
REGISTRIES = ("py" + r"pi\.org", "pythonhos" + "ted", r"registry\.np" + "mjs", r"index-url[= ]\w")
REGISTRY = re.compile("|".join(REGISTRIES))
PAGE_SUFFIXES = {".html", ".jinja", ".css", ".js", ".svg"}
BINARY_SUFFIXES = {".parquet", ".png", ".ico", ".woff2", ".onnx", ".gz"}


@pytest.fixture(scope="module")
def tracked_texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    paths = [Path(name) for name in listed if name and (ROOT / name).is_file()]
    texts = {str(path): (ROOT / path).read_text("utf-8") for path in paths if path.suffix not in BINARY_SUFFIXES}
    assert "pyproject.toml" in texts
    return texts


def test_pages_load_nothing_from_a_foreign_host() -> None:
    pages = [path for path in sorted(PACKAGE.rglob("*")) if path.suffix in PAGE_SUFFIXES and "vendor" not in path.parts]

    offenders = [
        f"{path.relative_to(PACKAGE)}:{number}: {match[0]}"
        for path in pages
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if (match := FOREIGN.search(line))
    ]

    assert pages
    assert not offenders, "\n" + "\n".join(offenders)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry"])
def test_texts_name_no_machine_and_no_registry(tracked_texts: dict[str, str], pattern: re.Pattern[str]) -> None:
    offenders = [
        f"{path}:{number}: {match[0]}"
        for path, text in tracked_texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]

    assert not offenders, "\n" + "\n".join(offenders)


def test_patterns_find_what_they_are_for() -> None:
    assert FOREIGN.search('<script src="https://cdn.example.com/a.js">')
    assert FOREIGN.search("@import url(//fonts.example.com/a)")
    assert not FOREIGN.search('<svg xmlns="http://www.w3.org/2000/svg">')
    assert not FOREIGN.search("// a.comment")


def test_no_test_sleeps_for_luck() -> None:
    """A sleep stands in a loop that waits for a condition, or nowhere."""
    sources = list_sources(ROOT / "tests")

    offenders = [f"{source.path}:{number}" for source in sources for number in _find_lone_sleeps(source.tree)]

    assert not offenders, "\n" + "\n".join(offenders)


def _find_lone_sleeps(tree: ast.AST, *, is_in_loop: bool = False) -> Iterator[int]:
    is_in_loop = is_in_loop or isinstance(tree, ast.While | ast.For)
    for node in ast.iter_child_nodes(tree):
        if not is_in_loop and isinstance(node, ast.Call) and _is_sleep(node):
            yield node.lineno
        yield from _find_lone_sleeps(node, is_in_loop=is_in_loop)


def _is_sleep(call: ast.Call) -> bool:
    return ast.unparse(call.func).split(".")[-1] == "sleep"
