"""The dashboard pages, reading through service. May import service and below, not api or client."""
