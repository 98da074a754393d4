"""Items are found by when they ended, and by what they are about."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = ("finished_at", "certificate_id", "deployment_id", "server_id")


def upgrade() -> None:
    """Go one step forward."""
    for column in _COLUMNS:
        op.create_index(op.f(f"ix_item_{column}"), "item", [column])


def downgrade() -> None:
    """Go one step back."""
    for column in _COLUMNS:
        op.drop_index(op.f(f"ix_item_{column}"), "item")
