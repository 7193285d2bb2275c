"""Fixtures for all rooms: a database of each kind, migrated once and copied from then on."""

import contextlib
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from petla.storage import database
from tests.contracts.postgresql import PostgresqlServer, find_programs, start_server

OPEN_FOR_REAL = database._open_sqlite


@pytest.fixture(scope="session", autouse=True)
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lets a new SQLite file begin as a copy of one that was migrated: 40 ms of processor time less for each test.

    tests/contracts/test_database.py and tests/storage/test_database.py, which are about migrating, do it for real; so
    do all processes that a test starts.
    """
    folder = tmp_path_factory.mktemp("migrated")

    @cache
    def migrate() -> Path:
        path = folder / "petla.db"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "_open_sqlite", OPEN_FOR_REAL)
            database.open_database(f"sqlite:///{path}", lock_path=folder / "migrating.lock").dispose()
        return path

    def open_copy(url: URL, wait_s: float) -> Engine:
        engine = OPEN_FOR_REAL(url, wait_s)
        path = Path(url.database or "")
        with contextlib.suppress(OSError):  # then it is migrated, or says why it cannot be
            if not path.exists():
                shutil.copyfile(migrate(), path)
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_open_sqlite", open_copy)
        yield


@pytest.fixture
def migrated_for_real(monkeypatch: pytest.MonkeyPatch, migrated_file: None) -> None:  # noqa: ARG001
    """For tests about migrating: nothing is copied."""
    monkeypatch.setattr(database, "_open_sqlite", OPEN_FOR_REAL)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server that is stopped at the end."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server program, or no user that may run it")
    with start_server(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without rows, once for each kind that we speak."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'petla.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.make_migrated_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_address(request: pytest.FixtureRequest, tmp_path: Path, migrated_for_real: None) -> str:  # noqa: ARG001
    """The address of a database without tables, once for each kind that we speak."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'petla.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.make_database()
