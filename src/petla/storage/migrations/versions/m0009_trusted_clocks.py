"""Up to when the clock is trusted to remove decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; the first look of the retention makes a project's row."""
    op.create_table(
        "trusted_clocks",
        sa.Column("project", sa.Text(), primary_key=True),
        sa.Column("at", sa.Text(), nullable=False),
    )
