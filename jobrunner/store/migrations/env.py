"""What alembic runs for every command; :mod:`jobrunner.store.migrate` hands it the connection."""

from alembic import context

from jobrunner.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
