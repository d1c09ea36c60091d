"""Run by Alembic for every command: migrate over the connection that `migrate()` hands in, in its transaction."""

from alembic import context

from plaudit.feedback.events.schema import metadata

# SQLite cannot alter most things in place: a batch copies the table instead.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
