"""Alembic's way in: the connection comes from `Database.migrate`."""

from alembic import context

from notafter.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
