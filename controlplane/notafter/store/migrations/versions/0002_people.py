"""People, their logins, and what tokens may do."""

import sqlalchemy as sa
from alembic import op
from notafter.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: Until now a token could do everything.
_EVERYTHING = '["read", "own", "operate", "revoke", "report", "manage", "administer"]'


def upgrade() -> None:
    """Go one step forward."""
    op.create_table(
        "user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "role",
            sa.Enum("viewer", "operator", "admin", name="role", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("password_is_one_time", sa.Boolean(), nullable=False),
        sa.Column("password_changed_at", types.UtcDateTime(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("disabled_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_login_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("name", name=op.f("uq_user_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "login",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("began_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column(
            "end",
            sa.Enum(
                "logged_out",
                "reused",
                "password_changed",
                "disabled",
                name="loginend",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_login_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_login_user_id"), "login", ["user_id"])
    op.create_table(
        "refresh_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("login_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["login_id"], ["login.id"], name=op.f("fk_refresh_token_login_id_login")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_refresh_token_hash")),
    )
    op.create_index(op.f("ix_refresh_token_login_id"), "refresh_token", ["login_id"])
    op.create_table(
        "signing_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sealed_secret", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("replaced_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_key")),
    )
    op.create_table(
        "guess",
        sa.Column(
            "kind",
            sa.Enum("account", "address", name="guessing", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "who", name=op.f("pk_guess")),
    )
    op.create_index(op.f("ix_guess_last_at"), "guess", ["last_at"])
    with op.batch_alter_table("token", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.drop_constraint(op.f("uq_token_name"), type_="unique")
        batch_op.add_column(sa.Column("user_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("scopes", sa.JSON(), nullable=False, server_default=_EVERYTHING))
        batch_op.add_column(sa.Column("last_used_at", types.UtcDateTime(), nullable=True))
        batch_op.create_foreign_key(op.f("fk_token_user_id_user"), "user", ["user_id"], ["id"])
        batch_op.create_index(op.f("ix_token_user_id"), ["user_id"])
        batch_op.create_unique_constraint(op.f("uq_token_user_id_name"), ["user_id", "name"])
    with op.batch_alter_table("token", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.alter_column("scopes", server_default=None)


def downgrade() -> None:
    """Go one step back."""
    with op.batch_alter_table("token") as batch_op:
        batch_op.drop_constraint(op.f("uq_token_user_id_name"), type_="unique")
        batch_op.create_unique_constraint(op.f("uq_token_name"), ["name"])
        batch_op.drop_index(op.f("ix_token_user_id"))
        batch_op.drop_constraint(op.f("fk_token_user_id_user"), type_="foreignkey")
        batch_op.drop_column("last_used_at")
        batch_op.drop_column("scopes")
        batch_op.drop_column("user_id")
    for table in ("guess", "signing_key", "refresh_token", "login", "user"):
        op.drop_table(table)
