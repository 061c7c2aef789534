"""Tokens of Google, from a fake metadata server and a fake of the service that impersonates."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from google.auth import iam
from google.auth.compute_engine import _metadata

from jobrunner.errors import JobrunnerError, Refused, RunnerFault
from jobrunner.lib.clock import SystemClock
from triggers.core.records import OAuthToken, OidcToken
from triggers.senders.google import GoogleTokens

MINE = "runner@p.iam.gserviceaccount.com"
OTHER = "other@p.iam.gserviceaccount.com"
FAR = 4_102_444_800


def jwt(audience: str) -> str:
    parts = ({"alg": "none"}, {"aud": audience, "exp": FAR})
    text = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(one.rstrip("=") for one in text), "sig"])


class Fake(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, object]] = []
        self.broken = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Fake

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.seen.append((parts.path, query))
        if self.server.broken and "token" in parts.path:
            return self.say(400, b"no")
        if parts.path.endswith("/token"):
            token = {"access_token": "access", "expires_in": 3599, "token_type": "Bearer"}
            return self.say(200, json.dumps(token).encode(), "application/json")
        if parts.path.endswith("/identity"):
            return self.say(200, jwt(query["audience"]).encode())
        if query.get("recursive") == "true":
            info = {"email": MINE, "scopes": [], "aliases": ["default"]}
            return self.say(200, json.dumps(info).encode(), "application/json")
        if parts.path.endswith("/universe-domain"):
            return self.say(404, b"")
        if parts.path.endswith("/project-id"):
            return self.say(200, b"p")
        return self.say(200, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, (self.headers["Authorization"], body)))
        if self.path.endswith(":generateIdToken"):
            return self.say(200, json.dumps({"token": jwt(body["audience"])}).encode())
        granted = {"accessToken": "impersonated", "expireTime": "2100-01-01T00:00:00Z"}
        return self.say(200, json.dumps(granted).encode())

    def say(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    fake = Fake()
    thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_IP", fake.host)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", fake.host)
    for name in ("_IAM_IDTOKEN_ENDPOINT", "_IAM_ENDPOINT"):
        there = getattr(iam, name).replace(
            "https://iamcredentials.googleapis.com", f"http://{fake.host}"
        )
        monkeypatch.setattr(iam, name, there)
    try:
        yield fake
    finally:
        fake.shutdown()
        thread.join()
        fake.server_close()


async def test_the_account_of_the_machine_gets_its_token_from_the_metadata_server(
    cloud: Fake,
) -> None:
    tokens = GoogleTokens(SystemClock())
    assert await tokens.bearer(OidcToken(MINE), "https://svc") == jwt("https://svc")
    assert await tokens.bearer(OidcToken(""), "https://other") == jwt("https://other")
    assert not [path for path, _ in cloud.seen if path.startswith("/v1/")]


async def test_an_access_token_of_the_machine_has_the_scope_asked_for(cloud: Fake) -> None:
    token = await GoogleTokens(SystemClock()).bearer(OAuthToken(MINE, "https://scope"), "")
    assert token == "access"
    asked = [query for path, query in cloud.seen if path.endswith("/token")]
    assert {"scopes": "https://scope"} in asked


async def test_another_account_is_impersonated(cloud: Fake) -> None:
    tokens = GoogleTokens(SystemClock())
    assert await tokens.bearer(OidcToken(OTHER), "https://svc") == jwt("https://svc")
    ((path, (authorization, body)),) = [  # type: ignore[misc]
        entry for entry in cloud.seen if entry[0].endswith(":generateIdToken")
    ]
    assert path == f"/v1/projects/-/serviceAccounts/{OTHER}:generateIdToken"
    assert authorization == "Bearer access"
    assert body["audience"] == "https://svc"
    assert body["includeEmail"] in (True, "true")
    assert await tokens.bearer(OAuthToken(OTHER), "") == "impersonated"


async def test_a_token_is_asked_for_once_by_however_many_at_a_time(cloud: Fake) -> None:
    tokens = GoogleTokens(SystemClock())
    asked = [tokens.bearer(OidcToken(MINE), "https://svc") for _ in range(10)]
    assert set(await asyncio.gather(*asked)) == {jwt("https://svc")}
    await tokens.bearer(OidcToken(MINE), "https://svc")
    assert len([path for path, _ in cloud.seen if path.endswith("/identity")]) == 1


async def test_a_metadata_server_that_refuses_is_said_in_one_sentence(cloud: Fake) -> None:
    cloud.broken = True
    with pytest.raises(RunnerFault, match="Google gives none") as caught:
        await GoogleTokens(SystemClock()).bearer(OAuthToken(MINE), "")
    assert "\n" not in caught.value.message


async def test_without_credentials_it_says_what_to_do(
    cloud: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    with pytest.raises(Refused, match="no application default credentials") as caught:
        await GoogleTokens(SystemClock()).bearer(OidcToken(MINE), "https://svc")
    assert isinstance(caught.value, JobrunnerError)
    assert "JOBRUNNER_TOKENS=local" in (caught.value.hint or "")
