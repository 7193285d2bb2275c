"""Pointers: what we write, and what we make of those of others."""

from pathlib import Path

import pytest
import yaml

from petla.core.errors import InvalidError
from petla.data.pointers import Pointer, encode_pointer, find_pointer

MD5 = "acbd18db4cc2f85cedef654fccc4a4d8"
OTHER_MD5 = "37b51d194a7513e45b56f6524f2d51f2"


@pytest.mark.parametrize("name", ["rows.csv", "my rows: 1.csv", "2013", "yes", "zażółć.csv", 'a"b', "- x"])
@pytest.mark.parametrize("md5", [MD5, f"{MD5}.dir"])
def test_pointer_is_read_as_written(tmp_path: Path, name: str, md5: str) -> None:
    files = 3 if md5.endswith(".dir") else 1
    pointer = Pointer(path=name, md5=md5, size_bytes=12, files=files, digest="a" * 64)
    path = tmp_path / "x.dvc"

    path.write_bytes(encode_pointer(pointer))

    assert find_pointer(path) == pointer
    assert yaml.safe_load(path.read_bytes())["outs"][0]["path"] == name


def test_no_pointer_is_none(tmp_path: Path) -> None:
    assert find_pointer(tmp_path / "x.dvc") is None


def test_own_digest_counts_only_with_its_md5(tmp_path: Path) -> None:
    path = tmp_path / "x.dvc"
    pointer = Pointer(path="x", md5=MD5, size_bytes=1, files=1, digest="a" * 64)
    changed = encode_pointer(pointer).replace(f"- md5: {MD5}".encode(), f"- md5: {OTHER_MD5}".encode())
    path.write_bytes(changed)

    found = find_pointer(path)

    assert found is not None
    assert (found.md5, found.digest) == (OTHER_MD5, "")


def test_md5_of_dvc_2_is_not_taken_for_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.dvc"
    path.write_text(f"outs:\n- md5: {MD5}\n  size: 1\n  path: x\n")

    found = find_pointer(path)

    assert found is not None
    assert (found.md5, found.is_unix_md5) == (MD5, True)


@pytest.mark.parametrize(
    "text",
    ["", "outs: []", "outs:\n- md5: x\n", "{", "- 1", "outs:\n- md5: 1\n  hash: md5\n  size: x\n  path: y\n", "\x00"],
)
def test_what_is_no_pointer_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.dvc"
    path.write_text(text)

    with pytest.raises(InvalidError, match=r"x\.dvc is no pointer"):
        find_pointer(path)
