"""The database: addresses, faults of the outside world, and SQLite's own ways. The rest is in tests/contracts."""

import socket
from pathlib import Path

import pytest
import sqlalchemy
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert
from sqlalchemy.engine import make_url

from petla.core.errors import InvalidError, SetupError, UnavailableError, is_outage
from petla.storage import migrations
from petla.storage.database import HEAD, open_database, reading, writing
from petla.storage.tables import snapshots
from tests.contracts.postgresql import PostgresqlServer
from tests.contracts.processes import run_python

pytestmark = pytest.mark.usefixtures("migrated_for_real")

FILL = """
import resource, sys
from pathlib import Path
from sqlalchemy import insert
from petla.core.errors import UnavailableError
from petla.storage.database import open_database, writing
from petla.storage.tables import snapshots
engine = open_database(sys.argv[1], lock_path=Path(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
row = {"project": "flights", "number": 2, "document": "x" * 1_000_000, "at": "now"}
try:
    with writing(engine) as connection:
        connection.execute(insert(snapshots).values(row))
except UnavailableError as error:
    print(error)
"""


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__path__[0])))

    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


@pytest.mark.parametrize(
    "address", ["petla.db", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@host/db", "postgresql:secret", ""]
)
def test_address_of_no_database_is_refused_without_its_password(address: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        open_database(address, lock_path=tmp_path / "lock")

    assert "sqlite:///PATH" in caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_unreachable_postgresql_is_unavailable(scheme: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        # bound and not listening: the port refuses
        port = unused.getsockname()[1]
        address = f"{scheme}://ann:secret@127.0.0.1:{port}/petla"
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}") as caught:
            open_database(address, lock_path=tmp_path / "lock", wait_s=5)

    assert "secret" not in str(caught.value)
    assert caught.value.hint
    assert is_outage(caught.value)


@pytest.mark.parametrize(("user", "name"), [("postgres", "nothing"), ("nobody", "postgres")])
def test_postgresql_that_lets_nobody_in_is_no_outage(
    user: str, name: str, postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    folder = make_url(postgresql_server.make_database()).query["host"]

    with pytest.raises(SetupError, match="does not exist") as caught:
        open_database(f"postgresql://{user}@/{name}?host={folder}", lock_path=tmp_path / "lock", wait_s=5)

    assert caught.value.field == "storage.database"
    assert "PETLA_DATABASE" in caught.value.hint
    assert not is_outage(caught.value)


def test_file_that_is_no_database_is_unavailable_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "petla.db"
    path.write_bytes(b"something else entirely" * 100)

    with pytest.raises(SetupError, match="not a database"):
        open_database(f"sqlite:///{path}", lock_path=tmp_path / "lock")

    assert path.read_bytes() == b"something else entirely" * 100


def test_full_disk_changes_nothing(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'petla.db'}"

    shown = run_python(FILL, address, tmp_path / "lock")

    assert shown.startswith(f"database {address}: ")
    engine = open_database(address, lock_path=tmp_path / "lock")
    with reading(engine) as connection:
        assert connection.execute(snapshots.select()).all() == []
    engine.dispose()


def test_database_that_another_writes_is_waited_for_and_then_named(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'petla.db'}"
    engine = open_database(address, lock_path=tmp_path / "lock", wait_s=0.01)

    with writing(engine), pytest.raises(UnavailableError, match="locked") as caught, writing(engine):
        pass

    assert is_outage(caught.value)
    engine.dispose()


def test_sqlite_keeps_a_log_ahead_and_flushes_fully(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'deep' / '100%' / 'petla.db'}", lock_path=tmp_path / "lock")

    with reading(engine) as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]

    assert found == ["wal", 2, 1]
    engine.dispose()


def test_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'petla.db'}", lock_path=tmp_path / "lock", wait_s=0.01)

    with writing(engine) as writer:
        writer.execute(insert(snapshots).values(project="flights", number=1, document="{}", at="now"))
        with reading(engine) as reader:
            assert reader.execute(snapshots.select()).all() == []

    engine.dispose()


def test_value_that_no_column_holds_is_refused(database_address: str, tmp_path: Path) -> None:
    engine = open_database(database_address, lock_path=tmp_path / "lock")
    kind = sqlalchemy.BigInteger() if engine.dialect.name == "sqlite" else sqlalchemy.Text()
    value = 2**70 if engine.dialect.name == "sqlite" else "a\0b"

    with pytest.raises(InvalidError, match="cannot hold"), reading(engine) as connection:
        connection.execute(sqlalchemy.select(sqlalchemy.literal(value, kind)))

    engine.dispose()
