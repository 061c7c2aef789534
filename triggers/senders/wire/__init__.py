"""HTTP/1.1 as a client: requests and answers as bytes, connections, and those kept for reuse."""
