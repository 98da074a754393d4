"""Workers on other machines say that they hold their jobs."""

import sqlalchemy as sa
from alembic import op
from notafter.store import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("job", sa.Column("beat_at", types.UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Go one step back."""
    op.drop_column("job", "beat_at")
