"""Tokens that calls carry, signed with a key of this server.

Claims as Google's, but for the issuer, which is this server: nothing here is ever signed as Google.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from jobrunner.ports import MachineClock
from triggers.core.records import OAuthToken, OidcToken
from triggers.senders.keyring import Keyring

LIFETIME = 3600
FRESH = 300.0
"""A token with less than this many seconds to live is made anew."""
MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """``until`` in Unix seconds."""

    token: str = field(repr=False)
    until: float


class TokenCache:
    """Tokens by what they were made for, until shortly before they end."""

    def __init__(self, clock: MachineClock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str, str], Kept] = {}

    def find(self, key: tuple[str, str, str]) -> str | None:
        kept = self._kept.get(key)
        if kept is None or self._clock.now() > kept.until - FRESH:
            return None
        return kept.token

    def keep(self, key: tuple[str, str, str], token: str, until: float) -> None:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[key] = Kept(token, until)


class LocalTokens:
    """``issuer`` is the URL that receivers find the keys under, without a final slash."""

    def __init__(self, keyring: Keyring, issuer: str, clock: MachineClock) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._clock = clock
        self._cache = TokenCache(clock)

    async def bearer(self, token: OidcToken | OAuthToken, audience: str) -> str:
        """An OIDC token for ``audience``, or what stands for an OAuth access token: the same
        account and the scope, and no audience. Raises RunnerFault without a usable key."""
        key = cache_key(token, audience)
        found = self._cache.find(key)
        if found is None:
            now = int(self._clock.now())
            found = self._signed(claims_of(token, audience, self._issuer, now))
            self._cache.keep(key, found, now + LIFETIME)
        return found

    def _signed(self, claims: Mapping[str, object]) -> str:
        key = self._keyring.signing()
        head = _part({"alg": "RS256", "kid": key.kid, "typ": "JWT"})
        text = f"{head}.{_part(claims)}"
        return f"{text}.{_text(key.sign(text.encode('ascii')))}"


def claims_of(
    token: OidcToken | OAuthToken, audience: str, issuer: str, now: int
) -> dict[str, object]:
    account = account_number(token.service_account)
    claims: dict[str, object] = {
        "azp": account,
        "email": token.service_account,
        "email_verified": True,
        "exp": now + LIFETIME,
        "iat": now,
        "iss": issuer,
        "sub": account,
    }
    if isinstance(token, OidcToken):
        return {"aud": audience, **claims}
    return {**claims, "scope": token.scope}


def account_number(email: str) -> str:
    """The number of a service account: 21 digits that are always the same for one address."""
    return "1" + str(int(hashlib.sha256(email.encode()).hexdigest(), 16) % 10**20).zfill(20)


def cache_key(token: OidcToken | OAuthToken, audience: str) -> tuple[str, str, str]:
    if isinstance(token, OidcToken):
        return ("oidc", token.service_account, audience)
    return ("oauth", token.service_account, token.scope)


def _part(value: Mapping[str, object]) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
