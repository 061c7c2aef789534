"""Queues and their items: documents and methods of our own API."""
