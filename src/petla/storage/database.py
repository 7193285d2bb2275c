"""The database: SQLite in the state folder, or PostgreSQL by one line in the settings.

`open_database` also brings an older one up to date. Reading is `reading(engine)`; changing is `ledger.change`, and
`writing(engine)` only for what is no change of state: shipped decisions and counted windows.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoFreeConnectionError

from petla.core.errors import ConflictError, InvalidError, SetupError, UnavailableError
from petla.storage.files import keep_private, lock, make_folder, reported

# the newest migration; a test compares it with the files
HEAD = "0008"
# as alembic makes it
_VERSIONS = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""

# PostgreSQL's codes: a text that no index takes, which its driver counts among the outages; and a row for which no
# partition is there, which it counts among the violated constraints. We have no check of our own.
_TOO_LARGE = "54000"
_NO_PARTITION = "23514"
# a role that may not do it
_NO_RIGHT = "42501"
# what PostgreSQL says to those whom it does not let in. NOTE: its driver gives no code for what fails before there is a
# connection, and a server that speaks another language than English is taken to be away.
_SHUT_OUT = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "permission denied for database",
    "does not exist",
)

_migrating = threading.Lock()
_ADDRESSES = "write sqlite:///PATH or postgresql://USER@HOST/NAME"


def open_database(address: str, *, lock_path: Path, wait_s: float = 30.0, may_create: bool = True) -> Engine:
    """Open a database, creating or migrating it where needed.

    Args:
        address: SQLAlchemy address.
        lock_path: held while migrating, so that two commands started together do not both do it.
        wait_s: seconds to wait for a busy database.
        may_create: an empty database is as good as any. False means that the project had one already.

    Raises:
        InvalidError: the address is none of SQLite or PostgreSQL.
        SetupError: it lets nobody in, is no database, or its driver is not installed.
        UnavailableError: it cannot be reached or written.
        ConflictError: it was made by a newer Pętla, or belongs to something else, or is empty and should not be.
    """
    url = _url_of(address)
    engine = _open_sqlite(url, wait_s) if url.get_backend_name() == "sqlite" else _open_postgresql(url, wait_s)
    try:
        with explained(engine):
            if _version_of(engine) != HEAD:
                with lock(lock_path, purpose="migrating the database", wait_s=wait_s):
                    _migrate(engine, may_create)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection that sees one consistent state and changes nothing.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    with explained(engine), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # SQLite's transactions see one state by themselves.
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction: everything in it is committed together or not at all.

    Raises:
        ConflictError: the rows contradict others that are there.
        UnavailableError: the database cannot be reached or written; nothing was changed.
    """
    with explained(engine), engine.connect().execution_options(is_write=True) as connection, connection.begin():
        yield connection


@contextlib.contextmanager
def attempting(connection: Connection) -> Iterator[None]:
    """Do a part of a transaction that may fail without the rest: only its own work is undone then.

    Raises:
        ConflictError: the rows contradict others that are there.
        InvalidError: a column cannot hold a value.
        UnavailableError: the database cannot be reached or written; the whole transaction is lost.
    """
    # NOTE: SQLAlchemy's own way leaves a savepoint open that it has gone back to. The next one begins inside of it, and
    # a thousand within each other are slow, and more than PostgreSQL has locks for.
    run = connection.exec_driver_sql
    with explained(connection.engine):
        run("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if not connection.invalidated:
                run("ROLLBACK TO SAVEPOINT attempt")
                run("RELEASE SAVEPOINT attempt")
            raise
        run("RELEASE SAVEPOINT attempt")


@contextlib.contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors about the outside world, and about values, into one that says what to do.

    Raises:
        ConflictError: in place of a violated constraint.
        InvalidError: in place of a value that a column cannot hold, such as a number of more than 64 bits.
        SetupError: in place of what no waiting mends, such as a wrong password.
        UnavailableError: in place of every other error of the driver, and where all connections are taken.
    """
    where = engine.url.render_as_string(hide_password=True)
    # what comes from the driver directly, such as while copying rows into PostgreSQL
    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except (IntegrityError, driver.IntegrityError) as error:
        if _state_of(error) == _NO_PARTITION:
            raise _refuse_work(engine, error) from error
        raise ConflictError(
            f"database {where}: {getattr(error, 'orig', error)}",
            hint="somebody else was faster, run the same command again",
        ) from error
    except (DataError, driver.DataError) as error:
        raise _refuse_value(getattr(error, "orig", error)) from error
    except OverflowError as error:
        # NOTE: SQLite's driver says so in no error of its own.
        if "SQLite" not in str(error):
            raise
        raise _refuse_value(error) from error
    except (DBAPIError, NoFreeConnectionError, driver.Error) as error:
        if _state_of(error) == _TOO_LARGE:
            raise _refuse_value(getattr(error, "orig", error)) from error
        raise _refuse_work(engine, error) from error


def _state_of(error: Exception) -> str | None:
    """Return PostgreSQL's code of an error; None: it has none, or comes from elsewhere."""
    state: str | None = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state


def _refuse_value(error: object) -> InvalidError:
    return InvalidError(
        f"the database cannot hold a value: {error}",
        hint="send a smaller number, or a text that is shorter or without NUL",
    )


def _refuse_work(engine: Engine, error: Exception) -> UnavailableError:
    reason = getattr(error, "orig", error)
    message = f"database {engine.url.render_as_string(hide_password=True)}: {reason}"
    if _is_set_up_wrongly(engine, reason):
        return SetupError(message, hint=_hint_for(engine, reason), field="storage.database")
    return UnavailableError(
        message, hint="see that it is there, may be written and has space, then run the same command again"
    )


def _hint_for(engine: Engine, reason: object) -> str:
    if getattr(reason, "sqlstate", None) != _NO_RIGHT:
        return "correct the address, user or password in PETLA_DATABASE, or else in storage.database of petla.toml"
    user = engine.url.username or "the user"
    if "schema" in str(reason):
        return f"let the owner of the database run: GRANT CREATE ON SCHEMA public TO {user}"
    return f"let the owner of the tables run: GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}"


def _is_set_up_wrongly(engine: Engine, reason: object) -> bool:
    """Whether the database is there, and of no use to us."""
    if engine.dialect.name == "sqlite":
        # damaged, or no database at all: the driver has no class of its own for these two
        return type(reason) is engine.dialect.loaded_dbapi.DatabaseError
    if getattr(reason, "sqlstate", None) is not None:
        # such as a user who may not read the tables
        return isinstance(reason, engine.dialect.loaded_dbapi.ProgrammingError)
    return any(words in str(reason) for words in _SHUT_OUT)


def _url_of(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        # The address itself is not shown: it may hold a password.
        raise InvalidError(
            "the database's address cannot be read", hint=_ADDRESSES, field="storage.database"
        ) from error
    match url.drivername.partition("+")[0]:
        case "sqlite" if url.database not in (None, "", ":memory:"):
            return url.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
    where = url.render_as_string(hide_password=True)
    raise InvalidError(f"{where!r} is no database of Pętla's", hint=_ADDRESSES, field="storage.database")


def _open_sqlite(url: URL, wait_s: float) -> Engine:
    path = Path(url.database or "")
    if path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        url = _read_only(path)
    else:
        with reported(path):
            make_folder(path.parent)
    engine = create_engine(url, connect_args={"timeout": wait_s})
    _tune_sqlite(engine)
    return engine


def _read_only(path: Path) -> URL:
    """Return the address of a file that may only be read, such as one on a read-only file system."""
    # NOTE: a log ahead needs files beside it. Where there are none nobody writes, and SQLite may do without.
    is_used = any(path.with_name(f"{path.name}{end}").exists() for end in ("-wal", "-shm"))
    query = {"uri": "true", "mode": "ro"} | ({} if is_used else {"immutable": "1"})
    return URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query=query)


def _open_postgresql(url: URL, wait_s: float) -> Engine:
    if find_spec("psycopg") is None:
        raise SetupError(
            "PostgreSQL needs the extra 'postgres'", hint="pip install 'petla[postgres]'", field="storage.database"
        )
    # libpq takes whole seconds and reads 0 as without end.
    connect_args = {"connect_timeout": max(2, round(wait_s))}
    # NOTE: the transactions that write wait for each other by locks of their own; a role whose default is SERIALIZABLE
    # would have them fail instead.
    return create_engine(url, pool_pre_ping=True, connect_args=connect_args, isolation_level="READ COMMITTED")


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's own types
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # NOTE: a transaction that reads first and writes later can fail with "database is locked" without waiting.
        is_write = connection.get_execution_options().get("is_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _version_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(engine: Engine, may_create: bool) -> None:
    # NOTE: alembic keeps what it is doing in globals of the process.
    with _migrating:
        _require_ours(engine, may_create)
        _migrate_alone(engine)


def _require_ours(engine: Engine, may_create: bool) -> None:
    """Refuse a database that we would damage, before anything is written to it."""
    where = engine.url.render_as_string(hide_password=True)
    with engine.connect() as connection:
        found = inspect(connection)
        tables = {*found.get_table_names(), *found.get_view_names()}
    is_ours = "alembic_version" in tables and (len(tables) == 1 or "audit" in tables)
    if tables and not is_ours:
        raise ConflictError(
            f"database {where} holds tables of something else ({', '.join(sorted(tables)[:3])}); it was left as it is",
            hint="name a database of its own in PETLA_DATABASE, or else in storage.database of petla.toml",
            field="storage.database",
        )
    if not tables and not may_create:
        raise ConflictError(
            f"database {where} is empty, but this project has an audit trail; nothing was written to it",
            hint="correct PETLA_DATABASE or storage.database, or bring the database back from a backup; "
            "to begin anew in this one, move .petla/audit.head away",
            field="storage.database",
        )


def _migrate_alone(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        keep_private(Path(engine.url.database or ""), 0o600)
        _keep_journal_ahead(engine)
    # One transaction around all of it, the table of versions included: a crash leaves the database as it was.
    with engine.connect().execution_options(is_write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            # the file lock holds on this machine only
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('petla.migrating'))"))
        if inspect(connection).get_table_names():
            _upgrade(connection)
        else:
            _create(connection)


def _create(connection: Connection) -> None:
    """Make an empty database what all migrations would: alembic takes as long to load as everything else here."""
    from petla.storage.tables import metadata

    metadata.create_all(connection, checkfirst=False)
    connection.execute(text(_VERSIONS))
    connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": HEAD})


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConflictError(
            f"the database is of another version of Pętla: {error}", hint="install the newer Pętla"
        ) from error


def _keep_journal_ahead(engine: Engine) -> None:
    """Switch SQLite to its write-ahead log, which the file remembers.

    NOTE: only while the migration's lock is held: processes that switch at the same time fail without waiting.
    """
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode=WAL").close()
    finally:
        connection.close()
