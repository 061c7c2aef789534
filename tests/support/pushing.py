"""The push ingress without a network, and tokens of a made-up Google."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from jobrunner.api.errors import envelope
from jobrunner.calls import Answer, Call, Method, Principal, Raw
from jobrunner.errors import JobrunnerError
from jobrunner.lib.database import Database
from tests.support.deliveries import NOW
from tests.support.dispatching import commit_at_once
from tests.support.events import Numbers
from tests.support.subscriptions import Room
from triggers.api.push.ingress import Intakes, push_methods
from triggers.api.push.proving import Prover
from triggers.core.subscriptions import TokenKeys
from triggers.service.settling import Settlements
from triggers.sources.google_keys import FetchedKeys
from triggers.sources.id_tokens import Verifier

ENVELOPE: dict[str, Any] = {
    "message": {"data": "aGk=", "messageId": "7", "publishTime": "2025-06-15T15:06:40.500Z"},
    "subscription": "projects/p/subscriptions/s",
}
URL = "http://localhost:8686/push/orders"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@cache
def _key(whose: str) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """Signs as somebody who publishes keys; ``fetches`` counts who asked for them."""

    def __init__(self, kid: str = "k1", whose: str = "google") -> None:
        self.key = _key(whose)
        self.kid = kid
        self.fetches = 0
        self.away = False

    async def fetch(self, url: str) -> tuple[bytes, str]:
        self.fetches += 1
        if self.away:
            raise OSError("nobody is there")
        return json.dumps(self.jwks()).encode(), "public, max-age=600"

    def jwks(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        n, e = (one.to_bytes((one.bit_length() + 7) // 8, "big") for one in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "kid": self.kid, "n": b64(n), "e": b64(e)}]}

    def token(self, *, head: dict[str, Any] | None = None, **claims: Any) -> str:
        said = {
            "iss": "https://accounts.google.com",
            "aud": URL,
            "email": "pusher@p.iam.gserviceaccount.com",
            "email_verified": True,
            "iat": NOW,
            "exp": NOW + 3600,
        } | claims
        parts = [{"alg": "RS256", "kid": self.kid, "typ": "JWT"} | (head or {}), said]
        text = ".".join(b64(json.dumps(part).encode()) for part in parts)
        signature = self.key.sign(text.encode(), PKCS1v15(), SHA256())
        return f"{text}.{b64(signature)}"


class Door:
    """``post`` gives status, JSON and headers of the answer."""

    def __init__(self, database: Database) -> None:
        self.room = Room(database)
        self.google, self.ours = Issuer(), Issuer("own", whose="us")
        self.looks = 0
        self.tokens: dict[str, Principal] = {}
        self.alone: Principal | None = Principal("root")
        clock = self.room.clock
        verifier = Verifier(
            {
                TokenKeys.GOOGLE: FetchedKeys("http://keys/", clock, self.google.fetch),
                TokenKeys.OURS: FetchedKeys("http://own/", clock, self.ours.fetch),
            },
            "http://localhost:8686",
            clock,
        )
        self.settlements = Settlements(self.room.deliveries)
        intakes = Intakes(
            self.room.arrivals,
            self.settlements,
            Prover(verifier, self.admit, lambda: bool(self.tokens), clock),
            commit_at_once,
            clock,
            Numbers(),
            self.look,
        )
        self.methods: list[Method] = list(push_methods(intakes))

    def admit(self, token: str | None) -> Principal | None:
        return self.alone if token is None else self.tokens.get(token)

    def look(self) -> None:
        self.looks += 1

    async def post(
        self,
        name: str = "orders",
        body: Any = None,
        *,
        bearer: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        **params: str,
    ) -> tuple[int, Any, dict[str, str]]:
        sent = [("host", "localhost:8686"), *headers]
        if bearer is not None:
            sent.append(("authorization", f"Bearer {bearer}"))
        raw = Raw(
            tuple((key.encode(), value.encode()) for key, value in sent),
            body if isinstance(body, bytes) else json.dumps(body or ENVELOPE).encode(),
        )
        call = Call({"subscription": name, **params}, raw=raw)
        try:
            answer: Answer = await self.methods[0].handler(call)
        except JobrunnerError as error:
            said = envelope(error)
            return said["error"]["code"], said, {}
        return answer.status, answer.body, dict(answer.headers)
