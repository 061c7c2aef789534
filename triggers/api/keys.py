"""The public keys of this server, where receivers of its tokens look for them.

The three documents are read without a token: a receiver has none, and there is nothing in them to
protect.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.service.parts import Ground
from triggers.senders.keyring import Keyring
from triggers.senders.options import from_environment

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/oauth2/v3/certs"
PEMS = "/oauth2/v1/certs"
"""Both forms in which Google publishes its own, under the same paths."""


def methods(ground: Ground) -> Sequence[Method]:
    """Reads the environment; raises UsageError as :func:`from_environment`."""
    issuer = from_environment(os.environ).issuer or ground.url
    return key_methods(Keyring(ground.home, ground.parts.machine), issuer)


def key_methods(keyring: Keyring, issuer: str) -> Sequence[Method]:
    """``issuer`` without a final slash."""
    return [
        _document("discovery", DISCOVERY, lambda: discovery(issuer), "Where the keys are"),
        _document("jwks", JWKS, lambda: jwks(keyring), "The public keys as a JWK set"),
        _document("pems", PEMS, lambda: pems(keyring), "The public keys as PEM, by key id"),
    ]


def discovery(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}{JWKS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email"],
        "claims_supported": [
            "aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub",
        ],
    }  # fmt: skip


def jwks(keyring: Keyring) -> dict[str, Any]:
    return {"keys": [key.jwk() for key in keyring.public()]}


def pems(keyring: Keyring) -> dict[str, Any]:
    return {key.kid: key.pem() for key in keyring.public()}


def _document(name: str, path: str, make: Callable[[], dict[str, Any]], summary: str) -> Method:
    async def answer(call: Call) -> Answer:
        return Answer(make())

    handler: Handler = answer
    return Method(
        f"jobrunner.keys.{name}", "GET", path, handler, Role.VIEWER, open=True, summary=summary
    )
