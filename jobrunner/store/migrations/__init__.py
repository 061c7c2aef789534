"""Steps from each revision of the schema to the next, for alembic; the same on both databases."""
