"""ID tokens of OpenID Connect: what they say, and whether that is what was asked for. Whether they
were signed by whom they name is for others to find out."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from triggers.core.cloudevents.jsontext import read_json
from triggers.core.cron import show

LEEWAY = 10.0
"""Seconds that the clocks of two machines may be apart."""
LONGEST = 16 * 1024
GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")


class BadToken(ValueError):
    """Why a token is refused; the text never shows the token."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """``signed`` is what the signature is of; RS256 by the key ``kid``."""

    kid: str
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Expected:
    """What the claims must say. An ``email`` that is empty is any. ``audiences`` are exact."""

    issuers: Collection[str]
    audiences: Collection[str]
    email: str = ""


def read_token(text: str) -> IdToken:
    """Raises BadToken for what is no token signed by RS256."""
    parts = text.split(".")
    if len(text) > LONGEST or len(parts) != 3:
        raise BadToken("it is not a JSON Web Token")
    head, claims = (_object(part) for part in parts[:2])
    if head.get("alg") != "RS256":
        raise BadToken("it is not signed by RS256")
    kid = head.get("kid")
    if not isinstance(kid, str) or not kid:
        raise BadToken("it names no key")
    return IdToken(kid, claims, f"{parts[0]}.{parts[1]}".encode(), _bytes(parts[2]))


def check_claims(claims: Mapping[str, object], expected: Expected, now: float) -> None:
    """Raises BadToken."""
    ends, began = _number(claims, "exp"), _number(claims, "iat")
    if ends is None or now >= ends + LEEWAY:
        raise BadToken("it has expired" if ends is not None else "it has no 'exp'")
    starts = _number(claims, "nbf")
    if max(began or 0.0, starts or 0.0) > now + LEEWAY:
        raise BadToken("it is from the future")
    if _text(claims, "iss") not in expected.issuers:
        raise BadToken(f"its issuer is '{show(_text(claims, 'iss'))}'")
    if _text(claims, "aud") not in expected.audiences:
        raise BadToken(f"its audience is '{show(_text(claims, 'aud'))}'")
    if expected.email:
        email, verified = _text(claims, "email"), claims.get("email_verified")
        if email != expected.email or verified not in (True, "true"):
            raise BadToken(f"it is of '{show(email)}'")


def _object(part: str) -> Mapping[str, object]:
    try:
        found = read_json(_bytes(part).decode())
    except ValueError:
        raise BadToken("it is not a JSON Web Token") from None
    if not isinstance(found, dict):
        raise BadToken("it is not a JSON Web Token")
    return found


def _bytes(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadToken("it is not a JSON Web Token") from None


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _number(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
