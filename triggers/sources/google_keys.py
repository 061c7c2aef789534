"""The public keys of Google, or of whoever publishes a JWK set in their place: fetched when a token
needs them, and kept as long as the publisher says."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from jobrunner.errors import RunnerFault
from jobrunner.ports import MachineClock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v3/certs"
TIMEOUT = 5.0
LEAST, MOST = 300.0, 86_400.0
"""Seconds that keys are kept, whatever the publisher says."""
PAUSE = 30.0
"""Between two fetches for keys that are not known: anybody can name one."""
LARGEST = 256 * 1024

Fetch = Callable[[str], Awaitable[tuple[bytes, str]]]
"""The document at a URL and its ``Cache-Control``. Raises OSError, TimeoutError, ValueError."""

log = logging.getLogger("jobrunner.subscriptions")


class FetchedKeys:
    """:class:`triggers.sources.id_tokens.PublicKeys` behind a URL."""

    def __init__(self, url: str, clock: MachineClock, fetch: Fetch) -> None:
        self._url = url
        self._clock = clock
        self._fetch = fetch
        self._keys: dict[str, RSAPublicKey] = {}
        self._until = -1.0
        self._asked_at: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> RSAPublicKey | None:
        moment = self._clock.monotonic()
        if kid in self._keys and moment < self._until:
            return self._keys[kid]
        async with self._lock:
            await self._refresh(kid)
        return self._keys.get(kid)

    async def _refresh(self, kid: str) -> None:
        moment = self._clock.monotonic()
        fresh = moment < self._until
        asked = self._asked_at is not None and moment - self._asked_at < PAUSE
        if (fresh and kid in self._keys) or (asked and self._keys):
            return
        self._asked_at = moment
        try:
            body, control = await self._fetch(self._url)
            keys = read_keys(body)
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("The keys at %s cannot be had: %s", self._url, _said(error))
            if self._keys:
                # An old key is as good as it was; a publisher that is away must not stop all.
                return
            raise RunnerFault("the keys of the token's issuer cannot be had now") from None
        self._keys = keys
        self._until = moment + lifetime(control)


def read_keys(body: bytes) -> dict[str, RSAPublicKey]:
    """The RSA keys of a JWK set by their ids. Raises ValueError."""
    document: Any = json.loads(body)
    found = {}
    for jwk in document["keys"] if isinstance(document, dict) and "keys" in document else ():
        if isinstance(jwk, dict) and jwk.get("kty") == "RSA" and jwk.get("kid"):
            found[str(jwk["kid"])] = _key(jwk)
    if not found:
        raise ValueError("it is not a JWK set with RSA keys")
    return found


def lifetime(control: str) -> float:
    """Seconds, by a ``Cache-Control``."""
    match = re.search(r"max-age=([0-9]{1,9})", control)
    return min(max(float(match[1]) if match else 0.0, LEAST), MOST)


def fetcher(ca_file: str | None, proxy: str | None) -> Fetch:
    """By aiohttp, which is imported by the first fetch."""

    async def fetch(url: str) -> tuple[bytes, str]:
        import aiohttp

        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        limit = aiohttp.ClientTimeout(total=TIMEOUT)
        connector = aiohttp.TCPConnector(ssl=context)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, connector=connector) as session,
                session.get(url, proxy=proxy, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise ValueError(f"the answer is {response.status}")
                body = await response.content.read(LARGEST + 1)
                while len(body) <= LARGEST and (more := await response.content.read(LARGEST)):
                    body += more
                if len(body) > LARGEST:
                    raise ValueError(f"the answer is larger than {LARGEST} bytes")
                return body, response.headers.get("Cache-Control", "")
        except aiohttp.ClientError as error:
            raise OSError(_said(error)) from None

    return fetch


def _key(jwk: dict[str, Any]) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    try:
        return RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    except (KeyError, TypeError) as error:
        raise ValueError(f"a key lacks {error}") from None


def _number(text: str) -> int:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return int.from_bytes(raw, "big")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
