"""Tombstones of what was removed from all history."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXTS = ("project", "object", "md5", "dataset", "path", "reason", "at", "by")


def upgrade() -> None:
    """Create the table."""
    columns = [sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS]
    op.create_table("forgotten", *columns, sa.PrimaryKeyConstraint("project", "object", "dataset", "path"))
