"""Subscriptions: documents and methods of our own API."""
