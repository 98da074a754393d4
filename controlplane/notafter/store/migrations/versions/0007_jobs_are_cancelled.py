"""Jobs end before their time when somebody wants it."""

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


def downgrade() -> None:
    """Go one step back."""
    for column in ("cancel_reason", "cancel_wanted_by", "cancel_wanted_at"):
        op.drop_column("job", column)
