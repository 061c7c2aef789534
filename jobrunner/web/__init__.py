"""The dashboard pages, which read through service; may import service and what is below, not api or client."""
