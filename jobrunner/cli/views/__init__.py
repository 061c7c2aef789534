"""Stored values as tables and documents. Keys of documents are camelCase, as in the contract."""
