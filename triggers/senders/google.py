"""Tokens that Google signs: by the application default credentials, for a server on Google Cloud.

google-auth is an extra (``pip install 'jobrunner[google]'``) and imported by the first token.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobrunner.errors import Refused, RunnerFault
from jobrunner.ports import MachineClock
from triggers.core.records import OAuthToken, OidcToken
from triggers.senders.tokens import LIFETIME, TokenCache, cache_key

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"

Key = tuple[str, str, str]


class GoogleTokens:
    """A token for the account that the credentials are of is theirs; one for another account is
    made by impersonation, which needs ``roles/iam.serviceAccountTokenCreator`` on it."""

    def __init__(self, clock: MachineClock) -> None:
        self._cache = TokenCache(clock)
        self._clock = clock
        self._asked: dict[Key, asyncio.Task[str]] = {}

    async def bearer(self, token: OidcToken | OAuthToken, audience: str) -> str:
        """Raises Refused without google-auth or credentials, RunnerFault where Google or the
        metadata server gives none now."""
        key = cache_key(token, audience)
        found = self._cache.find(key)
        if found is not None:
            return found
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(self._fetched(key, token, audience))
            task.add_done_callback(lambda done: self._forget(key, done))
        # Others wait for the same answer: one of them that leaves takes nothing from them.
        return await asyncio.shield(task)

    def _forget(self, key: Key, done: asyncio.Task[str]) -> None:
        del self._asked[key]
        if not done.cancelled():
            # Whoever waited has it; and there may be nobody left.
            done.exception()

    async def _fetched(self, key: Key, token: OidcToken | OAuthToken, audience: str) -> str:
        text, until = await asyncio.to_thread(_fetch, token, audience)
        lifetime = self._clock.now() + LIFETIME
        self._cache.keep(key, text, lifetime if until is None else min(until, lifetime))
        return text


def _fetch(token: OidcToken | OAuthToken, audience: str) -> tuple[str, float | None]:
    """The token and when it ends. Blocks."""
    try:
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    except ImportError:
        raise Refused(
            "tokens of Google need the package google-auth",
            hint="Install it with: pip install 'jobrunner[google]'",
        ) from None
    try:
        return _granted(token, audience)
    except DefaultCredentialsError as error:
        raise Refused(
            f"there are no application default credentials: {_said(error)}",
            hint="Run on Google Cloud, set GOOGLE_APPLICATION_CREDENTIALS, or sign with a key of"
            " this server: JOBRUNNER_TOKENS=local",
        ) from None
    except GoogleAuthError as error:
        raise RunnerFault(f"Google gives none: {_said(error)}") from None


def _granted(token: OidcToken | OAuthToken, audience: str) -> tuple[str, float | None]:
    import google.auth
    from google.auth.transport.requests import Request

    scope = token.scope if isinstance(token, OAuthToken) else CLOUD_PLATFORM
    with _session() as session:
        request = Request(session)
        source, _ = google.auth.default(scopes=[scope], request=request)
        source.refresh(request)
        own = getattr(source, "service_account_email", "")
        credentials: Credentials
        if token.service_account in ("", own):
            credentials = source
            if isinstance(token, OidcToken):
                credentials = _identity(audience, request)
                credentials.refresh(request)
        else:
            credentials = _impersonating(source, token, audience, scope)
            credentials.refresh(request)
    until = credentials.expiry
    return str(credentials.token), None if until is None else _seconds(until)


def _identity(audience: str, request: Any) -> Any:
    from google.oauth2.id_token import fetch_id_token_credentials

    return fetch_id_token_credentials(audience, request=request)


def _impersonating(
    source: Credentials, token: OidcToken | OAuthToken, audience: str, scope: str
) -> Any:
    from google.auth import impersonated_credentials

    other = impersonated_credentials.Credentials(
        source_credentials=source, target_principal=token.service_account, target_scopes=[scope]
    )
    if isinstance(token, OAuthToken):
        return other
    return impersonated_credentials.IDTokenCredentials(
        other, target_audience=audience, include_email=True
    )


def _session() -> Any:
    import requests

    return requests.Session()


def _seconds(at: datetime) -> float:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _said(error: Exception) -> str:
    return " ".join(str(error.args[0] if error.args else error).split())[:300]
