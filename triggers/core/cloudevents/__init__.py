"""CloudEvents 1.0 over HTTP and in Eventarc's publishing API: bytes to values and back."""
