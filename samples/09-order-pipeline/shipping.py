"""The service that is told: prints each event that it gets."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Shipping(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tasks = f"{told['succeeded']} tasks of {told['job']}"
        print(f"{self.headers['ce-type']}: {tasks} are done", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


HTTPServer(("127.0.0.1", 8473), Shipping).serve_forever()
