"""A PostgreSQL server of the tests' own: started in a temporary folder, reached by a Unix socket only."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from petla.storage.database import open_database

PROGRAMS = Path("/usr/lib/postgresql")
# It refuses to run as root; Debian's package brings this user.
USER = "postgres"


class PostgresqlServer:
    """A server that makes empty databases, and may be stopped and started."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self._folder = folder
        self._programs = programs
        self._user = user
        self._numbers = count(1)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}", "-c", "fsync=off"]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user, cwd=self._folder)
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None, (self._folder / "log").read_text()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)

    def make_database(self, like: str = "template1") -> str:
        """Make a copy of a database, of an empty one by default; return its address."""
        name = f"petla_{next(self._numbers)}"
        with psycopg.connect(host=str(self._folder), user=USER, dbname="postgres", autocommit=True) as connection:
            # half the time of the way through the log, which is the default since it can be chosen
            strategy = " STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}{strategy}".encode())
        return f"postgresql://{USER}@/{name}?host={self._folder}"

    def make_migrated_database(self) -> str:
        """Make a database with tables and without rows; return its address."""
        return self.make_database(like=self._migrated)

    @cached_property
    def _migrated(self) -> str:
        address = self.make_database()
        open_database(address, lock_path=self._folder / "migrating.lock").dispose()
        return str(make_url(address).database)


def find_programs() -> Path | None:
    """Return the folder of the newest server's programs; None where there is none that we may start."""
    newest = max(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), default=None)
    on_path = shutil.which("initdb")
    found = newest or (Path(on_path) if on_path else None)
    if found is None or (os.getuid() == 0 and not _has_user()):
        return None
    return found.parent


@contextmanager
def start_server(programs: Path) -> Iterator[PostgresqlServer]:
    """Start a server and stop it at the end."""
    # NOTE: not pytest's folder: the path of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="petla-pg-"))
    user = USER if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    data = folder / "data"
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=folder)
    server = PostgresqlServer(folder, programs, user)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _has_user() -> bool:
    return subprocess.run(["id", USER], check=False, capture_output=True).returncode == 0
