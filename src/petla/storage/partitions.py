"""Days of a large table on PostgreSQL: each project and day is a table of its own, which goes as a whole.

The parent is partitioned by `RANGE (project, at)`, so a query that names the project and a span of time reads those
days only. A day is made aside and attached, which lets others read and write all the while.
"""

from collections.abc import Collection
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, text

from petla.core.digests import digest_bytes

# days that are made before they begin
DAYS_AHEAD = 3

_MIDNIGHT = "T00:00:00.000000Z"
# the database quotes what becomes part of a statement that takes no parameters
_ATTACH = text(
    "SELECT format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L, %L) TO (%L, %L)',"
    " CAST(:parent AS text), CAST(:name AS text), CAST(:project AS text), CAST(:start AS text),"
    " CAST(:project AS text), CAST(:end AS text))"
)
_NAMES = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
    " WHERE inhparent = CAST(:parent AS regclass) AND starts_with(child.relname, :start) ORDER BY child.relname"
)
# tables with rows of which the planner knows nothing
_UNKNOWN = text(
    "SELECT CAST(CAST(each.oid AS regclass) AS text) FROM pg_class AS each"
    " JOIN pg_namespace AS space ON space.oid = each.relnamespace"
    " WHERE each.relkind = 'r' AND pg_relation_size(each.oid) > 0"
    " AND (each.oid = CAST(:table AS regclass)"
    " OR each.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)))"
    " AND NOT EXISTS (SELECT FROM pg_stats WHERE tablename = each.relname AND schemaname = space.nspname)"
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('petla.partitions'))")
# A day is dropped only if nobody reads the table for a moment; others must not queue up behind the attempt.
_PATIENCE = text("SET LOCAL lock_timeout = '2s'")


def day_of(moment: str) -> str:
    """Return the day of a stored moment.

    Example:
        >>> day_of("2026-01-01T12:00:00.000000Z")
        '2026-01-01'
    """
    return moment[:10]


def days_from(day: str, n_days: int) -> list[str]:
    """Return a day and those after it.

    Example:
        >>> days_from("2026-02-28", 2)
        ['2026-02-28', '2026-03-01']
    """
    first = date.fromisoformat(day)
    return [(first + timedelta(days=n)).isoformat() for n in range(n_days)]


def has_days(engine: Engine) -> bool:
    """Whether this database keeps a table for each day."""
    return engine.dialect.name == "postgresql"


def list_days(connection: Connection, parent: str, project: str) -> list[str]:
    """Return the days of a project that have a table, oldest first."""
    found = connection.execute(_NAMES, {"parent": parent, "start": _start_of(parent, project)}).scalars()
    return [f"{name[-8:-4]}-{name[-4:-2]}-{name[-2:]}" for name in found]


def make_days(connection: Connection, parent: str, project: str, days: Collection[str]) -> None:
    """Make the tables of days where there are none yet."""
    if set(days) <= set(list_days(connection, parent, project)):
        return
    connection.execute(_LOCK)
    there = set(list_days(connection, parent, project))
    for day in sorted(set(days) - there):
        name = _name_of(parent, project, day)
        values = {"parent": parent, "name": name, "project": project}
        start, end = (f"{each}{_MIDNIGHT}" for each in days_from(day, 2))
        _run(connection, f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS)")
        _run(connection, connection.execute(_ATTACH, values | {"start": start, "end": end}).scalar_one())


def analyse_new(connection: Connection, table: str) -> None:
    """Tell the planner about a table, or about those of its days, that has rows and was never looked at.

    PostgreSQL does so by itself about a minute later. Until then it takes every span of time for a few rows, and reads
    a whole day for each look at some ids: what waited while the database was away would be hours in coming.
    """
    for name in connection.execute(_UNKNOWN, {"table": table}).scalars().all():
        _run(connection, f"ANALYZE {name}")


def drop_days(connection: Connection, parent: str, project: str, days: Collection[str]) -> None:
    """Remove whole days, where they are."""
    connection.execute(_PATIENCE)
    for day in sorted(set(days) & set(list_days(connection, parent, project))):
        _run(connection, f"DROP TABLE {_name_of(parent, project, day)}")


def _start_of(parent: str, project: str) -> str:
    # a name of our own making: a project's may have any letters and be of any length
    return f"{parent}_{digest_bytes(project.encode())[:10]}_"


def _name_of(parent: str, project: str, day: str) -> str:
    return f"{_start_of(parent, project)}{day.replace('-', '')}"


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement.replace("%", "%%"))
