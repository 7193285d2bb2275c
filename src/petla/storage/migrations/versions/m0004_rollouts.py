"""Versions that run beside the champion, and what was counted of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "rollouts",
        sa.Column("id", number, primary_key=True),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("project", "model", "kind", "state")],
        sa.Column("champion", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("arms", "salt", "steps")],
        sa.Column("step_minutes", sa.Float(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("started_at", "started_by", "stepped_at")],
        sa.Column("ended_at", sa.Text()),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("outcome", "evidence")],
    )
    op.create_index("rollouts_by_model", "rollouts", ["project", "model", "id"])
    op.create_index("rollouts_by_state", "rollouts", ["project", "state", "id"])
