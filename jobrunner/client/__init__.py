"""The typed client of our own API. May import service and below, not api or web."""
