"""Jobs end before their time when somebody wants it; requests with an Idempotency-Key are done once."""

import sqlalchemy as sa
from alembic import op
from notafter.store import types

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("job", sa.Column("cancel_wanted_at", types.UtcDateTime(), nullable=True))
    op.add_column("job", sa.Column("cancel_wanted_by", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.create_table(
        "idempotency",
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("begun_at", types.UtcDateTime(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_begun_at"), "idempotency", ["begun_at"])


def downgrade() -> None:
    """Go one step back."""
    op.drop_table("idempotency")
    for column in ("cancel_reason", "cancel_wanted_by", "cancel_wanted_at"):
        op.drop_column("job", column)
