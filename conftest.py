"""What holds for every test and every doctest: no network, and temporary files in memory where there is room."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# what `socket.connect` takes: host and port, or the path of a Unix socket
Address = tuple[str, int] | str

LOCAL_HOSTS = ("127.", "::1", "localhost")

MEMORY = Path("/dev/shm")  # noqa: S108 - a place, not a file
ROOM_BYTES = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Keep the fast tests' temporary files in memory, unless TMPDIR says where: a disk is waited for in vain.

    The processes that tests start inherit it. Slow tests may write more than fits; what is about disks,
    tests/storage/objects/disk, goes to one.
    """
    # how long an example takes says how busy the machine is, not whether the code is right
    settings.register_profile("petla", deadline=None)
    settings.load_profile("petla")
    if config.option.markexpr == "not slow" and "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def _has_room() -> bool:
    if not MEMORY.is_dir():
        return False
    found = os.statvfs(MEMORY)
    # tests run programs from there too, such as hooks of Git
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= ROOM_BYTES


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Lets a test reach servers on this machine and nothing else."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Address) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address):
            pytest.fail(f"a test tried to reach {address}; tests use servers on this machine")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield


def _is_local(address: Address) -> bool:
    return isinstance(address, tuple) and str(address[0]).startswith(LOCAL_HOSTS)
