"""Stand for a chat and a mail server: print what they get."""

import json
import socketserver
import threading
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Chat(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.startswith("/services/"):
            self.send_error(404)
            return
        said = json.loads(body)["text"].replace("\n", " | ")
        print(f"chat: {said}", flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None: ...


class Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.answer("220 here")
        for line in self.rfile:
            word = line.split()[0].upper()
            if word == b"QUIT":
                self.answer("221 bye")
                return
            self.answer("354 go on" if word == b"DATA" else "250 ok")
            if word == b"DATA":
                self.take()

    def take(self) -> None:
        lines = iter(self.rfile.readline, b".\r\n")
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        text = mail.get_content().strip().replace("\n", " | ")
        print(f"mail to {mail['To']}: {mail['Subject']}: {text}", flush=True)
        self.answer("250 ok")

    def answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


socketserver.ThreadingTCPServer.allow_reuse_address = True
mails = socketserver.ThreadingTCPServer(("127.0.0.1", 8476), Mail)
threading.Thread(target=mails.serve_forever, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", 8475), Chat).serve_forever()
