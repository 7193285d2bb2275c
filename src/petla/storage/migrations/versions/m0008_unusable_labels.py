"""Why a window of labels has no figure, and a finding no limit."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("quality_windows", sa.Column("absent", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("quality_windows", sa.Column("unusable", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("findings", sa.Column("note", sa.Text(), nullable=False, server_default=""))
