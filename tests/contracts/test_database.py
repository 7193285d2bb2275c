"""What `storage.database` promises, on every database that we speak."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, func, insert, inspect, select, text

from petla.core.errors import ConflictError
from petla.storage.database import HEAD, open_database, reading, writing
from petla.storage.tables import decisions, metadata, snapshots
from tests.contracts.processes import GATE, run_python, run_together

OPEN = f"""
from pathlib import Path
import alembic.command
from petla.storage.database import open_database
{GATE}
open_database(sys.argv[1], lock_path=Path(sys.argv[2])).dispose()
print("opened")
"""
DIE_AT_FIFTH_TABLE = """
import os, signal
from sqlalchemy import Engine, event
seen = []
@event.listens_for(Engine, "before_cursor_execute")
def count(_connection, _cursor, statement, *_):
    seen.extend([statement] * ("CREATE TABLE" in statement))
    if len(seen) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
"""

NOON, NEXT = "2026-01-01T12:00:00.000000Z", "2026-01-02T00:00:00.000000Z"
UP_TO_0002 = """
import sys
from pathlib import Path
from alembic import command
from sqlalchemy import text
from petla.storage import database
from petla.storage.database import open_database, writing
address, lock_path, noon, following = sys.argv[1:]
upgrade = command.upgrade
command.upgrade = lambda config, _: upgrade(config, "0002")
database._create = database._upgrade
engine = open_database(address, lock_path=Path(lock_path))
decided = text(
    "INSERT INTO decisions (id, project, request_id, at, model, version, inputs, label, score, served_by, latency_us,"
    " worker) VALUES (:id, 'shop', '', :at, 'fraud', 1, '{}', 'true', 0.5, 'champion', 9, '0')"
)
said = text("INSERT INTO feedback (project, decision_id, truth, at) VALUES ('shop', :id, :truth, :at)")
with writing(engine) as connection:
    for name, at in (("a", noon), ("b", following)):
        connection.execute(decided, {"id": name, "at": at})
    for name, truth in (("a", "true"), ("a", "true"), ("a", "false"), ("z", "true")):
        connection.execute(said, {"id": name, "truth": truth, "at": following})
engine.dispose()
"""
AGAIN = {
    "id": "c",
    "project": "shop",
    "request_id": "",
    "at": NOON,
    "model": "fraud",
    "version": 1,
    "inputs": "{}",
    "label": "true",
    "score": 0.5,
    "served_by": "champion",
    "latency_us": 9,
    "worker": "0",
    "trace_id": "",
    "arm": "champion",
    "flags": "[]",
    "subject": "",
    "explanation": "[]",
}


@pytest.fixture
def engine(empty_database_address: str, tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(empty_database_address, lock_path=tmp_path / "migrating.lock")
    yield engine
    engine.dispose()


class TestMigration:
    def test_migrated_schema_is_that_of_the_tables(self, engine: Engine) -> None:
        with reading(engine) as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
            version = connection.scalar(text("SELECT version_num FROM alembic_version"))

        assert differences == []
        assert version == HEAD

    def test_database_made_at_once_is_the_one_that_all_migrations_make(
        self, empty_database_address: str, tmp_path: Path
    ) -> None:
        lock_path = tmp_path / "migrating.lock"
        made = open_database(empty_database_address, lock_path=lock_path)
        at_once = _describe(made)
        made.dispose()
        _leave_versions_only(empty_database_address, lock_path)

        migrated = open_database(empty_database_address, lock_path=lock_path)

        assert _describe(migrated) == at_once
        migrated.dispose()

    def test_processes_that_migrate_at_once_all_succeed(self, empty_database_address: str, tmp_path: Path) -> None:
        # Locks of their own: as on two machines, where only the database keeps them apart.
        shared, own = tmp_path / "migrating.lock", tmp_path / "another.lock"
        locks = [shared, shared, shared, own if empty_database_address.startswith("postgresql") else shared]

        shown = run_together(OPEN, *((empty_database_address, path) for path in locks))

        assert shown == ["opened\n"] * 4

    @pytest.mark.parametrize("is_empty", [True, False])
    def test_migration_that_was_killed_leaves_nothing_and_runs_again(
        self, is_empty: bool, empty_database_address: str, tmp_path: Path
    ) -> None:
        lock_path = tmp_path / "migrating.lock"
        if not is_empty:
            _leave_versions_only(empty_database_address, lock_path)
        run_python(DIE_AT_FIFTH_TABLE + OPEN, empty_database_address, lock_path, status=-9)

        engine = open_database(empty_database_address, lock_path=lock_path)

        assert len(inspect(engine).get_table_names()) == len(metadata.tables) + 1
        engine.dispose()

    def test_decisions_and_feedback_of_the_first_schema_are_taken_over(
        self, empty_database_address: str, tmp_path: Path
    ) -> None:
        lock_path = tmp_path / "migrating.lock"
        run_python(UP_TO_0002, empty_database_address, lock_path, NOON, NEXT)

        engine = open_database(empty_database_address, lock_path=lock_path)

        with reading(engine) as connection:
            kept = connection.execute(text("SELECT seq, id, at, arm, flags FROM decisions ORDER BY seq")).all()
            said = connection.execute(text("SELECT seq, decided_at, status FROM feedback ORDER BY seq")).all()
        assert [tuple(row) for row in kept] == [(1, "a", NOON, "champion", "[]"), (2, "b", NEXT, "champion", "[]")]
        words = [(NOON, "first"), (NOON, "repeated"), (NOON, "corrected"), (None, "waiting")]
        assert [tuple(row) for row in said] == [(n, *word) for n, word in enumerate(words, 1)]
        with writing(engine) as connection:
            # the numbers go on
            connection.execute(insert(decisions).values(**AGAIN))
            assert connection.scalar(text("SELECT max(seq) FROM decisions")) == 3
        engine.dispose()

    def test_database_of_a_later_version_is_refused(
        self, engine: Engine, empty_database_address: str, tmp_path: Path
    ) -> None:
        with writing(engine) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        with pytest.raises(ConflictError, match=r"another version of Pętla.*9999") as caught:
            open_database(empty_database_address, lock_path=tmp_path / "migrating.lock")

        assert caught.value.hint


class TestTransaction:
    def test_exception_leaves_nothing(self, engine: Engine) -> None:
        with pytest.raises(ZeroDivisionError):
            _write_and_fail(engine)

        assert _count_snapshots(engine) == 0

    def test_reader_sees_one_state_while_others_write(self, engine: Engine) -> None:
        count = select(func.count()).select_from(snapshots)
        with reading(engine) as reader:
            before = reader.scalar(count)
            with writing(engine) as writer:
                _add_snapshot(writer, 1)
            after = reader.scalar(count)

        assert (before, after, _count_snapshots(engine)) == (0, 0, 1)

    def test_row_that_contradicts_another_is_a_conflict(self, engine: Engine) -> None:
        with pytest.raises(ConflictError, match="snapshots"):
            _write_twice(engine)

        assert _count_snapshots(engine) == 0


def _write_and_fail(engine: Engine) -> None:
    with writing(engine) as connection:
        _add_snapshot(connection, 1)
        raise ZeroDivisionError


def _write_twice(engine: Engine) -> None:
    with writing(engine) as connection:
        _add_snapshot(connection, 1)
        _add_snapshot(connection, 1)


def _add_snapshot(connection: Connection, number: int) -> None:
    connection.execute(insert(snapshots).values(project="flights", number=number, document="{}", at="now"))


def _count_snapshots(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(snapshots)) or 0


def _leave_versions_only(address: str, lock_path: Path) -> None:
    """Leave a database on which every migration is still to run."""
    engine = open_database(address, lock_path=lock_path)
    with writing(engine) as connection:
        metadata.drop_all(connection)
        connection.execute(text("DELETE FROM alembic_version"))
    engine.dispose()


def _describe(engine: Engine) -> list[str]:
    """Say all that a database says of its tables."""
    found = inspect(engine)
    parts = (found.get_columns, found.get_pk_constraint, found.get_indexes, found.get_unique_constraints)
    said = [f"{table}: {part(table)}" for table in sorted(found.get_table_names()) for part in parts]
    # conditions of indexes are objects of SQLAlchemy's
    return [re.sub(r"<sqlalchemy\S+ object at \w+>", "a condition", each) for each in said]
