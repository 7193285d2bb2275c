"""Fixtures for all rooms: a database of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.postgresql import PostgresqlServer, find_programs, start_server


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
    """The address of an empty database, once for each kind that we speak."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'petla.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    return server.make_database()
