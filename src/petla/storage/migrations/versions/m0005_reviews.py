"""Decisions that wait for a person."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "reviews",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        *(_text(name) for name in ("project", "id", "model")),
        sa.Column("version", sa.Integer(), nullable=False),
        *(_text(name) for name in ("at", "label", "flags", "state")),
        _text("answer", is_optional=True),
        _text("decided_by"),
        _text("decided_at", is_optional=True),
        _text("reason"),
        _text("deliver_at", is_optional=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _text("delivered_at", is_optional=True),
        _text("delivery_error"),
        sa.UniqueConstraint("project", "id"),
    )
    op.create_index("reviews_by_state", "reviews", ["project", "state", "seq"])
    op.create_index("reviews_by_delivery", "reviews", ["project", "deliver_at"])


def _text(name: str, *, is_optional: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=is_optional)
