"""The first tables."""

import sqlalchemy as sa
from alembic import op
from notafter.store import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward."""
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("bundle_pem", sa.Text(), nullable=True),
        sa.Column("root_pem", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("sealed_key", sa.Text(), nullable=False),
        sa.Column("eab_key_id", sa.Text(), nullable=True),
        sa.Column("sealed_eab_hmac_key", sa.Text(), nullable=True),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    op.create_table(
        "canary",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canary")),
    )
    op.create_table(
        "dns_credential",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("variable_names", sa.JSON(), nullable=False),
        sa.Column("sealed_variables", sa.Text(), nullable=False),
        sa.Column("propagation_seconds", sa.Integer(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dns_credential")),
        sa.UniqueConstraint("name", name=op.f("uq_dns_credential_name")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "scan",
                "renew",
                "deploy",
                "verify",
                "revoke",
                "report",
                name="jobkind",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "running",
                "succeeded",
                "failed",
                "cancelled",
                "lost",
                name="jobstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("whole_fleet", sa.Boolean(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("token_hash", sa.Text(), nullable=True),
        sa.Column("report_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("report_id", name=op.f("uq_job_report_id")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_state"), ["state"], unique=False)

    op.create_table(
        "server",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("enrolled_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_missed_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_scan_at", types.UtcDateTime(), nullable=True),
        sa.Column("scan_wanted_at", types.UtcDateTime(), nullable=True),
        sa.Column("scan_failures", sa.Integer(), nullable=False),
        sa.Column("last_problem", sa.Text(), nullable=True),
        sa.Column("machine_id", sa.Text(), nullable=True),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("booted_at", types.UtcDateTime(), nullable=True),
        sa.Column("same_as_id", sa.Integer(), nullable=True),
        sa.Column("left_at", types.UtcDateTime(), nullable=True),
        sa.Column("former_names", sa.JSON(), nullable=False),
        sa.Column("scan_pages", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["same_as_id"], ["server.id"], name=op.f("fk_server_same_as_id_server")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server")),
        sa.UniqueConstraint("name", name=op.f("uq_server_name")),
    )
    with op.batch_alter_table("server", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_server_machine_id"), ["machine_id"], unique=False)

    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_token_hash")),
        sa.UniqueConstraint("name", name=op.f("uq_token_name")),
    )
    op.create_table(
        "certificate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("key_type", sa.Text(), nullable=False),
        sa.Column("current_version_id", sa.Integer(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("adopted_at", types.UtcDateTime(), nullable=True),
        sa.Column("auto_renew", sa.Boolean(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("credential_id", sa.Integer(), nullable=True),
        sa.Column("challenge", sa.JSON(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.Column("preferred_chain", sa.Text(), nullable=True),
        sa.Column("minimum_validity_seconds", sa.Integer(), nullable=True),
        sa.Column("issuer_host", sa.Text(), nullable=True),
        sa.Column("renew_before_seconds", sa.Integer(), nullable=True),
        sa.Column("waves", sa.JSON(), nullable=False),
        sa.Column("max_fail_percentage", sa.Integer(), nullable=False),
        sa.Column("first_renewal_at", types.UtcDateTime(), nullable=True),
        sa.Column("renew_at", types.UtcDateTime(), nullable=True),
        sa.Column("wanted_at", types.UtcDateTime(), nullable=True),
        sa.Column("wanted_by", sa.Text(), nullable=True),
        sa.Column("next_attempt_at", types.UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_certificate_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["dns_credential.id"],
            name=op.f("fk_certificate_credential_id_dns_credential"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificate")),
    )
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificate_renew_at"), ["renew_at"], unique=False)

    op.create_table(
        "alternative",
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_alternative_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["certificate.id"],
            name=op.f("fk_alternative_certificate_id_certificate"),
        ),
        sa.PrimaryKeyConstraint("certificate_id", "position", name=op.f("pk_alternative")),
    )
    op.create_table(
        "line",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_line_job_id_job")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_line")),
    )
    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("config_file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("listeners", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("managed_by", sa.Text(), nullable=True),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("adopted_at", types.UtcDateTime(), nullable=True),
        sa.Column("absent_since", types.UtcDateTime(), nullable=True),
        sa.Column("file_fingerprint", sa.Text(), nullable=True),
        sa.Column("live_fingerprint", sa.Text(), nullable=True),
        sa.Column("not_taken_fingerprint", sa.Text(), nullable=True),
        sa.Column("served", sa.JSON(), nullable=False),
        sa.Column("outside", sa.JSON(), nullable=False),
        sa.Column("verified_at", types.UtcDateTime(), nullable=True),
        sa.Column("deployed_at", types.UtcDateTime(), nullable=True),
        sa.Column("next_attempt_at", types.UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["certificate.id"],
            name=op.f("fk_deployment_certificate_id_certificate"),
        ),
        sa.ForeignKeyConstraint(["server_id"], ["server.id"], name=op.f("fk_deployment_server_id_server")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        sa.UniqueConstraint(
            "server_id", "service", "path", name=op.f("uq_deployment_server_id_service_path")
        ),
    )
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_deployment_certificate_id"), ["certificate_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployment_server_id"), ["server_id"], unique=False)

    op.create_table(
        "version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("key_type", sa.Text(), nullable=False),
        sa.Column("not_before", types.UtcDateTime(), nullable=False),
        sa.Column("not_after", types.UtcDateTime(), nullable=False),
        sa.Column("authority_key_id", sa.Text(), nullable=True),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("chain_pem", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.Text(), nullable=True),
        sa.Column(
            "origin",
            sa.Enum("issued", "scanned", "uploaded", name="origin", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("replaced_by_id", sa.Integer(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("ari_start", types.UtcDateTime(), nullable=True),
        sa.Column("ari_end", types.UtcDateTime(), nullable=True),
        sa.Column("ari_explanation", sa.Text(), nullable=True),
        sa.Column("ari_next_poll_at", types.UtcDateTime(), nullable=True),
        sa.Column("ari_failures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_version_account_id_account")),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["certificate.id"],
            name=op.f("fk_version_certificate_id_certificate"),
        ),
        sa.ForeignKeyConstraint(
            ["replaced_by_id"], ["version.id"], name=op.f("fk_version_replaced_by_id_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_version_fingerprint")),
    )
    with op.batch_alter_table("version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_version_certificate_id"), ["certificate_id"], unique=False)

    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column(
            "subject",
            sa.Enum("certificate", "deployment", "server", name="subject", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("certificate_id", sa.Integer(), nullable=True),
        sa.Column("deployment_id", sa.Integer(), nullable=True),
        sa.Column("server_id", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "running",
                "succeeded",
                "failed",
                "deferred",
                "skipped",
                "cancelled",
                "lost",
                name="itemstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("due_reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("wanted_fingerprint", sa.Text(), nullable=True),
        sa.Column("before_fingerprint", sa.Text(), nullable=True),
        sa.Column("after_fingerprint", sa.Text(), nullable=True),
        sa.Column(
            "order_kind",
            sa.Enum("new", "same_names", "replaces", name="orderkind", native_enum=False, length=32),
            nullable=True,
        ),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column(
            "limited_by",
            sa.Enum(
                "account",
                "registered_domain",
                "exact_set",
                "failed_authorisation",
                name="key",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("retry_after", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_item_account_id_account")),
        sa.ForeignKeyConstraint(
            ["certificate_id"], ["certificate.id"], name=op.f("fk_item_certificate_id_certificate")
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployment.id"], name=op.f("fk_item_deployment_id_deployment")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_item_job_id_job")),
        sa.ForeignKeyConstraint(["server_id"], ["server.id"], name=op.f("fk_item_server_id_server")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_item_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_item_job_id"), ["job_id"], unique=False)
        batch_op.create_index(
            "uq_item_open_certificate",
            ["certificate_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'running') AND subject = 'certificate'"),
            postgresql_where=sa.text("state IN ('waiting', 'running') AND subject = 'certificate'"),
        )
        batch_op.create_index(
            "uq_item_open_deployment",
            ["deployment_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'running')"),
            postgresql_where=sa.text("state IN ('waiting', 'running')"),
        )
        batch_op.create_index(
            "uq_item_open_server",
            ["server_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'running') AND subject = 'server'"),
            postgresql_where=sa.text("state IN ('waiting', 'running') AND subject = 'server'"),
        )

    op.create_table(
        "revocation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column(
            "reason",
            sa.Enum(
                "unspecified",
                "keyCompromise",
                "affiliationChanged",
                "superseded",
                "cessationOfOperation",
                name="revocationreason",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "by",
            sa.Enum("account", "key", name="revocationby", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("forced_because", sa.Text(), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", types.UtcDateTime(), nullable=False),
        sa.Column("done_at", types.UtcDateTime(), nullable=True),
        sa.Column("next_attempt_at", types.UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_revocation_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["certificate.id"],
            name=op.f("fk_revocation_certificate_id_certificate"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["version.id"], name=op.f("fk_revocation_version_id_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocation")),
        sa.UniqueConstraint("version_id", name=op.f("uq_revocation_version_id")),
    )
    with op.batch_alter_table("revocation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_revocation_certificate_id"), ["certificate_id"], unique=False)

    op.create_table(
        "request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("certificate_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("key_type", sa.Text(), nullable=False),
        sa.Column("csr_pem", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.Text(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("abandoned_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_request_account_id_account")),
        sa.ForeignKeyConstraint(
            ["certificate_id"],
            ["certificate.id"],
            name=op.f("fk_request_certificate_id_certificate"),
        ),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_request_version_id_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )
    with op.batch_alter_table("request", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_request_certificate_id"), ["certificate_id"], unique=False)
        batch_op.create_index(
            "uq_request_open_certificate",
            ["certificate_id"],
            unique=True,
            sqlite_where=sa.text("version_id IS NULL AND abandoned_at IS NULL"),
            postgresql_where=sa.text("version_id IS NULL AND abandoned_at IS NULL"),
        )


def downgrade() -> None:
    """Go one step back."""
    with op.batch_alter_table("request", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_request_open_certificate",
            sqlite_where=sa.text("version_id IS NULL AND abandoned_at IS NULL"),
            postgresql_where=sa.text("version_id IS NULL AND abandoned_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_request_certificate_id"))

    op.drop_table("request")
    with op.batch_alter_table("revocation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_revocation_certificate_id"))

    op.drop_table("revocation")
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_item_open_server",
            sqlite_where=sa.text("state IN ('waiting', 'running') AND subject = 'server'"),
            postgresql_where=sa.text("state IN ('waiting', 'running') AND subject = 'server'"),
        )
        batch_op.drop_index(
            "uq_item_open_deployment",
            sqlite_where=sa.text("state IN ('waiting', 'running')"),
            postgresql_where=sa.text("state IN ('waiting', 'running')"),
        )
        batch_op.drop_index(
            "uq_item_open_certificate",
            sqlite_where=sa.text("state IN ('waiting', 'running') AND subject = 'certificate'"),
            postgresql_where=sa.text("state IN ('waiting', 'running') AND subject = 'certificate'"),
        )
        batch_op.drop_index(batch_op.f("ix_item_job_id"))
        batch_op.drop_index(batch_op.f("ix_item_account_id"))

    op.drop_table("item")
    with op.batch_alter_table("version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_version_certificate_id"))

    op.drop_table("version")
    with op.batch_alter_table("deployment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deployment_server_id"))
        batch_op.drop_index(batch_op.f("ix_deployment_certificate_id"))

    op.drop_table("deployment")
    op.drop_table("line")
    op.drop_table("alternative")
    with op.batch_alter_table("certificate", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificate_renew_at"))

    op.drop_table("certificate")
    op.drop_table("token")
    with op.batch_alter_table("server", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_server_machine_id"))

    op.drop_table("server")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_state"))

    op.drop_table("job")
    op.drop_table("dns_credential")
    op.drop_table("canary")
    op.drop_table("account")
