"""The typed client of our own API; may import service and what is below, not api or web."""
