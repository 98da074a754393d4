"""Findings are kept beside the facts that they are derived from, and derived anew where those change."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from notafter.store import types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward: all servers are to be looked through again."""
    with op.batch_alter_table("server") as batch_op:
        batch_op.add_column(sa.Column("findings_until", types.UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("findings_at", types.UtcDateTime(), nullable=True))
        batch_op.create_index(batch_op.f("ix_server_findings_until"), ["findings_until"])
        batch_op.create_index(batch_op.f("ix_server_findings_at"), ["findings_at"])
    server = sa.table("server", sa.column("findings_until", types.UtcDateTime()))
    op.execute(server.update().values(findings_until=datetime(1970, 1, 1, tzinfo=UTC)))
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("server", types.PlainText(), nullable=False),
        sa.Column("sentence", types.PlainText(), nullable=False),
        sa.Column("service", types.PlainText(), nullable=True),
        sa.Column("file", types.PlainText(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("certificate", types.PlainText(), nullable=True),
        sa.Column("fingerprint", types.PlainText(), nullable=True),
        sa.Column("moment", types.UtcDateTime(), nullable=True),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("said", types.PlainText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["server.id"], name=op.f("fk_finding_server_id_server"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
    )
    op.create_index(op.f("ix_finding_server_id"), "finding", ["server_id"])
    op.create_index(op.f("ix_finding_certificate"), "finding", ["certificate"])
    op.create_index("ix_finding_level", "finding", ["level", "server", "id"])
    op.create_index("ix_finding_kind", "finding", ["kind", "level", "server", "id"])
    op.create_table(
        "finding_count",
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("level", "kind", name=op.f("pk_finding_count")),
    )


def downgrade() -> None:
    """Go one step back."""
    op.drop_table("finding_count")
    op.drop_table("finding")
    with op.batch_alter_table("server") as batch_op:
        batch_op.drop_index(batch_op.f("ix_server_findings_at"))
        batch_op.drop_index(batch_op.f("ix_server_findings_until"))
        batch_op.drop_column("findings_at")
        batch_op.drop_column("findings_until")
