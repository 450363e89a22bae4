"""Where Alembic finds the database: the connection that :mod:`tracking.database` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
