"""What goes past the page cache arrives as it is, on file systems that take it and on those that do not."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from petla.storage.objects.disk import uncached
from petla.storage.objects.disk.uncached import Stages, write_large

SIZES = [0, 1, 4095, 4096, 4097, (1 << 20) + 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 5, 20_000_000]


@pytest.fixture(params=["disk", "memory", "slow"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if request.param == "slow":
        monkeypatch.setattr(uncached, "_FAST", float("inf"))
    if request.param != "memory":
        yield tmp_path
        return
    # tmpfs: there is no disk to go to
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.parametrize("size", SIZES)
def test_a_large_file_is_what_was_sent(folder: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    parts = [content[start : start + 100_003] for start in range(0, size, 100_003)]
    descriptor = os.open(folder / "file", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    n_bytes = write_large(descriptor, parts)
    os.ftruncate(descriptor, n_bytes)
    os.close(descriptor)

    assert n_bytes == size
    assert (folder / "file").read_bytes() == content


@pytest.mark.parametrize("size", SIZES)
def test_a_stage_is_written_whole_again_and_again(folder: Path, size: int) -> None:
    stages = Stages(1, 21_000_000)
    for seed in range(2):
        content = random.Random(seed).randbytes(size)
        stage = stages.take()
        stage.append([content[: size // 3], memoryview(content)[size // 3 :]])
        descriptor = os.open(folder / f"pack-{seed}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        stage.write(descriptor)
        os.close(descriptor)
        stages.give_back(stage)
        assert (folder / f"pack-{seed}").read_bytes() == content


def test_zeros_become_a_hole(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)

    n_bytes = write_large(descriptor, [b"x" * (8 << 20), *[bytes(1 << 20)] * 64, b"end"])
    os.ftruncate(descriptor, n_bytes)
    os.close(descriptor)

    assert (tmp_path / "file").stat().st_blocks * 512 < 20 << 20
    assert (tmp_path / "file").stat().st_size == (72 << 20) + 3


def test_a_full_disk_is_told() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        write_large(descriptor, [b"x" * (9 << 20)])
    os.close(descriptor)
