"""Whose a database is, and who may look into the state folder."""

import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from petla.core.errors import ConflictError, SetupError, UnavailableError
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.storage.database import open_database, reading, writing
from petla.storage.workspace import Workspace
from tests.contracts.postgresql import PostgresqlServer
from tests.contracts.processes import GATE, run_python, run_together

pytestmark = pytest.mark.usefixtures("migrated_for_real")

PROJECT = '[project]\nname = "shop"\n'
CHANGE = """
import os, pathlib, sys
from petla.core.project import decode_project
from petla.core.settings import Settings
from petla.storage.workspace import Workspace
root, address, project, name, mask = sys.argv[1:]
os.umask(int(mask, 8))
ws = Workspace(pathlib.Path(root), decode_project(project), Settings(actor="ann", database=address))
"""
ONCE = """
ws.objects.put_bytes(b"an object")
with ws.ledger.change(actor="ann", action="dataset.added", subject=name):
    pass
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A project on a file system that may only be read, its database closed."""
    folder = tmp_path / "project"
    ws = open_in(folder)
    change(ws)
    ws.close()
    mounts = (["mount", "--bind", str(folder), str(folder)], ["mount", "-o", "remount,bind,ro", str(folder)])
    if any(subprocess.run(mount, check=False, capture_output=True).returncode for mount in mounts):
        pytest.skip("no right to mount a folder read-only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def open_in(folder: Path, address: str = "") -> Workspace:
    folder.mkdir(exist_ok=True)
    return Workspace(folder, decode_project(PROJECT), Settings(actor="ann", database=address))


def change(ws: Workspace) -> None:
    with ws.ledger.change(actor="ann", action="dataset.added", subject="flights:1"):
        pass


@pytest.mark.parametrize("statement", ["CREATE TABLE notes (a)", "CREATE VIEW notes AS SELECT 1"])
@pytest.mark.parametrize("has_versions", [False, True])
def test_database_of_something_else_is_refused_untouched(tmp_path: Path, statement: str, has_versions: bool) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
        if has_versions:
            connection.execute("CREATE TABLE alembic_version (version_num)")
            connection.execute("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    connection.close()
    path.chmod(0o644)
    before = sha256(path.read_bytes()).hexdigest()

    for _ in range(2):
        with pytest.raises(ConflictError, match=r"holds tables of something else .*notes") as caught:
            open_database(f"sqlite:///{path}", lock_path=tmp_path / "lock")

    assert "PETLA_DATABASE" in caught.value.hint
    assert sha256(path.read_bytes()).hexdigest() == before
    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lock", "other.db"]


def test_postgresql_of_something_else_is_refused_untouched(postgresql_server: PostgresqlServer, tmp_path: Path) -> None:
    address = postgresql_server.make_database()
    run_sql(address, "CREATE TABLE notes (a int)")

    with pytest.raises(ConflictError, match="holds tables of something else"):
        open_database(address, lock_path=tmp_path / "lock")

    assert run_sql(address, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("notes",)]


def test_empty_database_under_the_old_name_is_refused(empty_database_address: str, tmp_path: Path) -> None:
    ws = open_in(tmp_path / "project", empty_database_address)
    change(ws)
    ws.close()
    if empty_database_address.startswith("sqlite"):
        for path in tmp_path.glob("petla.db*"):
            path.unlink()
    else:
        run_sql(empty_database_address, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    with pytest.raises(ConflictError, match="is empty, but this project has an audit trail"):
        _ = open_in(tmp_path / "project", empty_database_address).engine


def test_tables_that_were_made_anew_take_no_change(database_address: str, tmp_path: Path) -> None:
    ws = open_in(tmp_path / "project", database_address)
    change(ws)
    with writing(ws.engine) as connection:
        for table in ("audit", "projects"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    with pytest.raises(UnavailableError, match="audit entry 1 was removed"):
        ws.ledger.require_own()
    with pytest.raises(UnavailableError, match="audit entry 1 was removed"):
        change(ws)
    ws.close()


@pytest.mark.parametrize("mask", ["000", "022", "077", "277"])
@pytest.mark.parametrize("is_outside", [False, True])
def test_state_is_for_its_owner_only_whatever_the_umask(tmp_path: Path, mask: str, is_outside: bool) -> None:
    root = tmp_path / "project"
    root.mkdir()
    if mask == "277" and os.getuid() != 0:
        pytest.skip("nobody but root may write what this umask leaves")
    address = f"sqlite:///{tmp_path / 'petla.db'}" if is_outside else ""

    run_python(CHANGE + ONCE, root, address, PROJECT, "flights:1", mask)

    state = root / ".petla"
    assert stat.S_IMODE(state.stat().st_mode) & 0o077 == 0
    found = {path: path.stat().st_mode & 0o077 for path in state.rglob("*")}
    assert {path.name: mode for path, mode in found.items() if mode} == {}
    database = tmp_path / "petla.db" if is_outside else state / "petla.db"
    assert database.stat().st_mode & 0o077 == 0


def test_state_of_the_first_release_is_closed_to_others(tmp_path: Path) -> None:
    ws = open_in(tmp_path / "project")
    ws.state.mkdir(mode=0o755)
    (ws.state / ".gitignore").write_text("*\n")
    (ws.state / "keys").mkdir(mode=0o777)

    change(ws)

    assert stat.S_IMODE(ws.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((ws.state / "keys").stat().st_mode) == 0o700
    ws.close()


def test_trail_on_a_read_only_file_system_is_verified(read_only: Path) -> None:
    ws = open_in(read_only)

    assert ws.ledger.verify() == 1
    with pytest.raises(UnavailableError, match=r"readonly|read-only"):
        change(ws)
    ws.close()


def test_changes_at_once_succeed_for_a_role_whose_default_is_serializable(
    postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    address = postgresql_server.make_migrated_database()
    name = make_url(address).database
    run_sql(address, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    ws = open_in(tmp_path / "project", address)
    change(ws)

    names = [f"flights:{number}" for number in range(2, 6)]
    run_together(CHANGE + GATE + ONCE * 5, *((ws.root, address, PROJECT, each, "022") for each in names))

    assert ws.ledger.verify() == 21
    with reading(ws.engine) as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
    with writing(ws.engine) as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    ws.close()


def test_role_without_the_right_to_create_is_told_what_to_grant(
    postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    address = postgresql_server.make_database()
    run_sql(address, "CREATE ROLE petla_guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    guest = make_url(address).set(username="petla_guest").render_as_string(hide_password=False)

    with pytest.raises(SetupError, match="permission denied") as caught:
        open_database(guest, lock_path=tmp_path / "lock")
    assert "GRANT CREATE ON SCHEMA public TO petla_guest" in caught.value.hint

    open_database(address, lock_path=tmp_path / "lock").dispose()
    with pytest.raises(SetupError, match="permission denied for table") as caught:
        open_database(guest, lock_path=tmp_path / "lock")
    assert "GRANT ALL ON ALL TABLES IN SCHEMA public TO petla_guest" in caught.value.hint


def run_sql(address: str, statement: str) -> list[tuple[object, ...]]:
    url = make_url(address)
    with psycopg.connect(
        host=str(url.query["host"]), user=url.username, dbname=url.database, autocommit=True
    ) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
