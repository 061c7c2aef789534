"""Durable state on SQLite and PostgreSQL, table classes private. May import ports and below."""
