"""What alembic runs for every command; :mod:`triggers.store.migrate` hands it the connection."""

from alembic import context

import triggers.store.resources_tables
import triggers.store.schedules_tables  # noqa: F401  (their tables are among those of Base)
from triggers.store.revisions import VERSION_TABLE
from triggers.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    transactional_ddl=True,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
