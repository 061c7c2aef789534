"""Durable state on SQLite and PostgreSQL, table classes private to this room; may import ports and what is below."""
