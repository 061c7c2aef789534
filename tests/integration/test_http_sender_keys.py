"""A real server publishes the keys that its tokens are signed with, to whoever asks."""

from pathlib import Path

from google.auth.transport.requests import Request
from google.oauth2 import id_token
from requests import Session

from jobrunner.lib.clock import SystemClock
from tests.support.serving import announced, serving
from triggers.core.records import OidcToken
from triggers.senders.keyring import Keyring
from triggers.senders.tokens import LocalTokens


async def test_a_receiver_finds_the_keys_from_the_issuer_alone(home: Path) -> None:
    with serving() as server, Session() as session:
        entry = announced(server.pid)
        assert entry is not None
        issuer = entry.endpoint
        clock = SystemClock()
        token = await LocalTokens(Keyring(str(home), clock), issuer, clock).bearer(
            OidcToken("sa@x"), "https://svc"
        )
        session.headers["Authorization"] = "Bearer of-nobody"
        found = session.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
        assert found["issuer"] == issuer
        claims = id_token.verify_token(
            token, Request(session), audience="https://svc", certs_url=found["jwks_uri"]
        )
    assert claims["email"] == "sa@x"
