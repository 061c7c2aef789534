"""The HTTP face in Cloud Run v1 and v2 shapes; may import service and what is below, not web or client."""
