"""What the owner of the server decides about calls: read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from jobrunner.errors import UsageError
from triggers.senders.reach import Reach, parse_rules


class TokenKind(StrEnum):
    LOCAL = "local"
    """Signed with a key of this server, which publishes its public half."""
    GOOGLE = "google"
    """Fetched from Google by the application default credentials."""


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """``ca_file`` is trusted beside the system's authorities. ``proxy`` carries the calls of every
    target that names none itself; it is the owner's choice and not subject to ``reach``.
    ``issuer`` is the URL that tokens name and receivers find the keys under, empty for the
    server's own. ``google_keys`` is where the keys are that Google signs with, empty for Google."""

    reach: Reach = field(default_factory=Reach)
    ca_file: str | None = None
    proxy: str | None = None
    tokens: TokenKind = TokenKind.LOCAL
    issuer: str = ""
    google_keys: str = ""


def from_environment(env: Mapping[str, str]) -> SenderOptions:
    """From ``JOBRUNNER_TARGETS_ALLOW``, ``JOBRUNNER_TARGETS_DENY``, ``JOBRUNNER_TARGETS_CA_FILE``,
    ``JOBRUNNER_TARGETS_PROXY``, ``JOBRUNNER_TOKENS``, ``JOBRUNNER_ISSUER`` and
    ``JOBRUNNER_GOOGLE_KEYS``. Raises UsageError naming the variable and the allowed form."""
    allow = env.get("JOBRUNNER_TARGETS_ALLOW", "").strip()
    return SenderOptions(
        reach=Reach(
            allow=parse_rules(allow, "JOBRUNNER_TARGETS_ALLOW") if allow else None,
            deny=parse_rules(env.get("JOBRUNNER_TARGETS_DENY", ""), "JOBRUNNER_TARGETS_DENY"),
        ),
        ca_file=_file(env, "JOBRUNNER_TARGETS_CA_FILE"),
        proxy=_url(env, "JOBRUNNER_TARGETS_PROXY", ("http",)) or None,
        tokens=_kind(env.get("JOBRUNNER_TOKENS") or TokenKind.LOCAL),
        issuer=_url(env, "JOBRUNNER_ISSUER", ("http", "https")).rstrip("/"),
        google_keys=_url(env, "JOBRUNNER_GOOGLE_KEYS", ("http", "https")),
    )


def _file(env: Mapping[str, str], name: str) -> str | None:
    path = env.get(name)
    if not path:
        return None
    if not os.access(path, os.R_OK) or not os.path.isfile(path):
        raise UsageError(f"{name}: '{path}' is not a file that can be read")
    return path


def _url(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    text = env.get(name, "")
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        right = parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        right = False
    if not right:
        # Neither is shown: a URL may hold a password.
        raise UsageError(f"{name}: the value is not of the form {schemes[0]}://HOST:PORT")
    return text


def _kind(text: str) -> TokenKind:
    try:
        return TokenKind(text)
    except ValueError:
        allowed = ", ".join(TokenKind)
        raise UsageError(f"JOBRUNNER_TOKENS: '{text}' is not allowed; allowed: {allowed}") from None
