"""The history of our schema, for alembic."""
