"""Items are found by when they ended."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward."""
    op.create_index(op.f("ix_item_finished_at"), "item", ["finished_at"])


def downgrade() -> None:
    """Go one step back."""
    op.drop_index(op.f("ix_item_finished_at"), "item")
