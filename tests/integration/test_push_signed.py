"""Signed pushes at a real server: by the keys of a stand-in for Google, and by ours."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.pushing import ENVELOPE, Issuer
from tests.support.receiver import Receiver, receiving
from tests.support.served import Served, served
from tests.support.waiting import until

PATH = "/jobrunner/v1/subscriptions"
EMAIL = "pusher@p.iam.gserviceaccount.com"
GOOGLE = Issuer()


class Keys(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        Keys.asked += 1
        body = json.dumps(GOOGLE.jwks()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "public, max-age=3600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=keys.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{keys.server_address[1]}/certs"
    home = tmp_path_factory.mktemp("signed") / "home"
    with served(home, env={"JOBRUNNER_GOOGLE_KEYS": url}) as one:
        yield one
    keys.shutdown()
    keys.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def make(server: Served, name: str, **fields: Any) -> str:
    return str(server.call("POST", PATH, {"name": name, **fields})["pushUrl"])


def post(url: str, bearer: str) -> int:
    headers = {"Authorization": f"Bearer {bearer}"}
    request = urllib.request.Request(url, json.dumps(ENVELOPE).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_what_google_has_signed_comes_in_and_nothing_else(
    server: Served, receiver: Receiver
) -> None:
    url = make(
        server, "theirs", httpTarget={"uri": f"{receiver.url}/g"},
        senderToken={"serviceAccountEmail": EMAIL},
    )  # fmt: skip
    now = time.time()

    def token(issuer: Issuer = GOOGLE, **claims: Any) -> str:
        return issuer.token(**({"aud": url, "iat": now, "exp": now + 60} | claims))

    assert post(url, token()) == 204
    wrong = [
        token(Issuer(whose="stranger")),
        token(aud="http://127.0.0.1:1/push/theirs"),
        token(exp=now - 60, iat=now - 3600),
        token(email="other@p.iam.gserviceaccount.com"),
        token()[:-4],
        "nonsense",
    ]
    assert [post(url, one) for one in wrong] == [401] * len(wrong)
    assert Keys.asked == 1
    until(lambda: receiver.done["/g"] == 1)


def test_a_call_that_we_sign_is_a_push_that_we_let_in(server: Served, receiver: Receiver) -> None:
    end = make(
        server, "end", httpTarget={"uri": f"{receiver.url}/end"},
        senderToken={"keys": "ours", "serviceAccountEmail": EMAIL},
    )  # fmt: skip
    signs = {"uri": end, "oidcToken": {"serviceAccountEmail": EMAIL}}
    begin = make(server, "begin", httpTarget=signs, pushToken="a-token-of-sixteen-or-more")
    request = urllib.request.Request(
        f"{begin}?token=a-token-of-sixteen-or-more", json.dumps(ENVELOPE).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 204
    until(lambda: receiver.done["/end"] == 1)
    body = json.loads(receiver.bodies["/end"])
    assert body["message"]["messageId"] == ENVELOPE["message"]["messageId"]
    assert body["subscription"] == "projects/local/subscriptions/end"
    assert post(end, GOOGLE.token(aud=end)) == 401


def test_a_server_whose_keys_cannot_be_had_lets_the_sender_wait(tmp_path: Path) -> None:
    gone = {"JOBRUNNER_GOOGLE_KEYS": "http://127.0.0.1:9/certs"}
    with served(tmp_path / "home", env=gone) as server:
        url = make(server, "theirs", httpTarget={"uri": "http://127.0.0.1:9/"}, senderToken={})
        now = time.time()
        assert post(url, GOOGLE.token(aud=url, iat=now, exp=now + 60)) == 503
