"""Stands for a chat or a pager: prints what it is told. Its port goes to the file that is named."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        print(f"{path}: {told['job']} {told['change']}: {told['message']}", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


server = HTTPServer(("127.0.0.1", 0), Webhook)
Path(sys.argv[1]).write_text(str(server.server_address[1]))
server.serve_forever()
