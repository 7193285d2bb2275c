"""The running server of a state folder: where it listens, how many workers it has, and what they acknowledged."""

import contextlib
import fcntl
from pathlib import Path

import msgspec

from petla.deployments.snapshot import SERVING_FOLDER, Acknowledgement, acknowledgements_folder
from petla.storage.files import write_atomic

_ADDRESS_FILE = "address.json"
_LOCK_FILE = "server.lock"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running data plane."""

    host: str
    port: int
    # process id of the supervisor
    pid: int
    workers: int
    is_encrypted: bool = False

    @property
    def url(self) -> str:
        """The address of its root."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_encrypted else 'http'}://{host}:{self.port}"


def server_lock(state: Path) -> Path:
    """Return the lock that a running server holds."""
    return state / SERVING_FOLDER / _LOCK_FILE


def write_server(state: Path, server: Server) -> None:
    """Say where the server listens; its lock is held by the caller."""
    write_atomic(state / SERVING_FOLDER / _ADDRESS_FILE, msgspec.json.encode(server))


def find_server(state: Path) -> Server | None:
    """Return the running server, or None: a file that a dead server left behind does not count."""
    try:
        with server_lock(state).open("rb") as held:
            if _is_free(held.fileno()):
                return None
        content = (state / SERVING_FOLDER / _ADDRESS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=Server)


def list_acknowledgements(state: Path) -> list[Acknowledgement]:
    """Return what each worker last said, also workers that are gone."""
    found = []
    for path in sorted(acknowledgements_folder(state).glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            found.append(msgspec.json.decode(path.read_bytes(), type=Acknowledgement))
    return found


def write_acknowledgement(state: Path, acknowledgement: Acknowledgement) -> None:
    """Say how far a worker has come. It is replaced as a whole, and not flushed: it dies with its worker."""
    folder = acknowledgements_folder(state)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{acknowledgement.worker}.tmp"
    temporary.write_bytes(msgspec.json.encode(acknowledgement))
    temporary.replace(folder / f"{acknowledgement.worker}.json")


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
