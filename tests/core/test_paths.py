"""Paths from elsewhere: what is accepted names a place in its folder, whatever was written."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from petla.core.digests import check_digest, check_md5
from petla.core.errors import InvalidError
from petla.core.project.paths import check_place, check_relative, check_tree, resolve_inside, resolve_writable

# pieces that an attacker would use, between pieces of usual names
PIECES = [
    "..",
    ".",
    "/",
    "//",
    "\\",
    "..\\",
    "C:",
    "C:/",
    "c:\\",
    "\0",
    ".git",
    ".GIT",
    ".petla",
    ".dvc",
    "a",
    "ż",
    " ",
    "-",
]
PATHS = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))


def lies_below(path: str, root: str = "/project") -> bool:
    whole = os.path.normpath(os.path.join(root, path.replace("\\", "/")))  # noqa: PTH118
    return whole.startswith(f"{root}/")


@example(".\\")
@given(PATHS)
@settings(deadline=None, max_examples=500)
def test_a_checked_path_lies_below_its_folder(path: str) -> None:
    try:
        checked = check_relative(path)
    except ValueError:
        return

    assert checked == path
    assert lies_below(path)
    assert "\0" not in path
    assert os.path.normpath(path) == path
    assert not {".git", ".hg", ".dvc"} & {part.lower() for part in path.split("/")}


@given(PATHS)
@settings(deadline=None, max_examples=500)
def test_a_place_of_the_project_file_lies_in_the_project(path: str) -> None:
    try:
        place = check_place(path)
    except ValueError:
        return

    assert lies_below(path)
    assert Path(place) == Path(path)
    assert not place.lower().startswith(".petla/")


@given(st.lists(PATHS, max_size=6), st.lists(PATHS, max_size=3))
@settings(deadline=None, max_examples=500)
def test_a_tree_can_be_written_as_it_is(files: list[str], folders: list[str]) -> None:
    try:
        check_tree(files, folders)
    except ValueError:
        return

    for path in [*files, *folders]:
        assert check_relative(path) == path
    assert len(set(files)) == len(files)
    for path in [*files, *folders]:
        assert not {str(parent) for parent in Path(path).parents} & set(files)
    assert not set(files) & set(folders)


@pytest.mark.parametrize("files", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"], ["a/b/c/d", "a"]])
def test_a_file_is_no_folder_as_well(files: list[str]) -> None:
    with pytest.raises(ValueError, match=r"twice|as a file and as a folder"):
        check_tree(files)


@pytest.mark.parametrize(
    "path", ["a b", "a\\b", "-x", "ż/ó", "a:1.png", "...", "..a", ".hidden", ".gitignore", "a/.x", "\n"]
)
def test_an_odd_name_is_a_name(path: str) -> None:
    assert check_relative(path) == path
    assert check_place(path) == path
    check_tree([path])


@pytest.mark.parametrize("path", ["./data/x", "data//x", "data/x/"])
def test_a_person_may_write_a_path_in_another_way(path: str) -> None:
    assert check_place(path) == "data/x"


@pytest.mark.parametrize(
    "path", ["", ".", "/", "../x", "a/../../x", "/x", ".petla", ".petla/keys", ".git/hooks", "a/.git", "C:\\x"]
)
def test_the_project_file_names_no_other_place(path: str) -> None:
    with pytest.raises(ValueError, match="has the path"):
        check_place(path)


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    root, victim = tmp_path / "project", tmp_path / "victim"
    (root / "data").mkdir(parents=True)
    (root / ".git" / "hooks").mkdir(parents=True)
    victim.mkdir()
    (root / "data" / "out").symlink_to("../../victim")
    (root / "data" / "hooks").symlink_to("../.git/hooks")
    (root / "data" / "in").symlink_to("../stored")
    (root / "stored").mkdir()

    for path in ("data/out/x", "data/out/deep/x", "data/hooks/post-checkout"):
        with pytest.raises(InvalidError, match="symbolic link"):
            resolve_inside(root, path)
    assert resolve_inside(root, "data/out") == root / "data" / "out"
    with pytest.raises(InvalidError, match=r"data/out leads outside .*; next: remove the link"):
        resolve_writable(root, "data/out")
    assert resolve_writable(root, "data/in") == root / "data" / "in"
    assert resolve_inside(root, "data/in/x") == root / "data" / "in" / "x"


@given(st.one_of(st.text(max_size=70), st.from_regex(r"[0-9a-fA-F]{62,66}\n?", fullmatch=True)))
@settings(deadline=None, max_examples=300)
def test_a_digest_is_hexadecimal_digits(text: str) -> None:
    for check, length in ((check_digest, 64), (check_md5, 32)):
        try:
            check(text)
        except ValueError:
            continue
        assert len(text) == length
        assert not set(text) - set("0123456789abcdef")
