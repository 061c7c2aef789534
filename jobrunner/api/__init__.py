"""The HTTP face in Cloud Run shapes. May import service and below, not web or client."""
