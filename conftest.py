"""What holds for every test and every doctest: no network."""

import socket
from collections.abc import Iterator

import pytest

# what `socket.connect` takes: host and port, or the path of a Unix socket
Address = tuple[str, int] | str

LOCAL_HOSTS = ("127.", "::1", "localhost")


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
