"""The decision log: the record's later fields, shadow answers, days on PostgreSQL, what each piece of feedback is."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from petla.storage.partitions import make_days

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BEFORE = "decisions_before_0003"
_KEPT = (
    *("seq", "id", "project", "request_id", "at", "model", "version", "inputs", "label", "score", "served_by"),
    *("latency_us", "worker"),
)
# what an older row says in the columns that it did not have
_ADDED = {"trace_id": "''", "arm": "'champion'", "flags": "'[]'", "subject": "''", "explanation": "'[]'"}
_BY_DAY = "RANGE (project, at)"

_DECIDED = """
UPDATE feedback SET decided_at = (SELECT d.at FROM decisions AS d WHERE d.project = feedback.project
    AND d.id = feedback.decision_id)
"""
_STATUS = """
UPDATE feedback SET status = CASE
    WHEN decided_at IS NULL THEN 'waiting'
    WHEN NOT EXISTS (SELECT 1 FROM feedback AS f WHERE f.project = feedback.project
        AND f.decision_id = feedback.decision_id AND f.seq < feedback.seq) THEN 'first'
    WHEN truth = (SELECT f.truth FROM feedback AS f WHERE f.project = feedback.project
        AND f.decision_id = feedback.decision_id AND f.seq < feedback.seq ORDER BY f.seq DESC LIMIT 1) THEN 'repeated'
    ELSE 'corrected' END
"""


def upgrade() -> None:
    """Make the decisions anew, with the rows that were there; add shadows; say what each piece of feedback is."""
    op.drop_index("decisions_by_model", "decisions")
    op.drop_index("decisions_by_project", "decisions")
    op.rename_table("decisions", _BEFORE)
    _create_decisions()
    _create_shadows()
    if op.get_bind().dialect.name == "postgresql":
        for table in ("decisions", "shadows"):
            op.execute(f"ALTER SEQUENCE {table}_seq_seq OWNED BY {table}.seq")
    _move_rows()
    op.drop_table(_BEFORE)
    _extend_feedback()


def _create_decisions() -> None:
    texts = ("id", "project", "request_id", "at", "model")
    op.create_table(
        "decisions",
        *_numbered("decisions", is_new=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in texts],
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("served_by", sa.Text(), nullable=False),
        sa.Column("latency_us", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("worker", *_ADDED)],
        sa.UniqueConstraint("project", "id", "at"),
        postgresql_partition_by=_BY_DAY,
    )
    op.create_index("decisions_by_model", "decisions", ["project", "model", "at", "seq"])
    op.create_index("decisions_by_project", "decisions", ["project", "at", "seq"])
    _create_part("decisions_by_subject", ["project", "subject", "at"], "subject <> ''")
    _create_part("decisions_by_flag", ["project", "at", "seq"], "flags <> '[]'")


def _create_shadows() -> None:
    op.create_table(
        "shadows",
        *_numbered("shadows", is_new=True),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("project", "decision_id", "at", "model")],
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("latency_us", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("worker", "error")],
        postgresql_partition_by=_BY_DAY,
    )
    op.create_index("shadows_by_decision", "shadows", ["project", "decision_id"])
    op.create_index("shadows_by_version", "shadows", ["project", "model", "version", "at", "seq"])
    op.create_index("shadows_by_project", "shadows", ["project", "at", "seq"])


def _numbered(table: str, *, is_new: bool) -> list[Any]:
    """Return the column that numbers the rows; PostgreSQL's has a sequence for all days, and is no key."""
    if op.get_bind().dialect.name != "postgresql":
        return [sa.Column("seq", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("seq")]
    sequence = f"{table}_seq_seq"
    op.execute(f"CREATE SEQUENCE {sequence}" if is_new else f"ALTER SEQUENCE {sequence} OWNED BY NONE")
    return [sa.Column("seq", sa.BigInteger(), nullable=False, server_default=sa.text(f"nextval('{sequence}')"))]


def _create_part(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "decisions", columns, sqlite_where=where, postgresql_where=where)


def _move_rows() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        found = connection.execute(sa.text(f"SELECT DISTINCT project, substr(at, 1, 10) AS day FROM {_BEFORE}"))  # noqa: S608 - names of ours
        for project, day in found.all():
            make_days(connection, "decisions", project, [day])
    columns, values = ", ".join((*_KEPT, *_ADDED)), ", ".join((*_KEPT, *_ADDED.values()))
    connection.execute(sa.text(f"INSERT INTO decisions ({columns}) SELECT {values} FROM {_BEFORE} ORDER BY seq"))  # noqa: S608 - names of ours


def _extend_feedback() -> None:
    op.add_column("feedback", sa.Column("decided_at", sa.Text()))
    op.add_column("feedback", sa.Column("status", sa.Text(), nullable=False, server_default="first"))
    op.execute(_DECIDED)
    op.execute(_STATUS)
    op.create_index("feedback_by_day", "feedback", ["project", "decided_at"])
