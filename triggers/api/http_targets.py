"""What the HTTP calls in Google's APIs have in common: methods, bodies, headers, tokens. Pure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping

from jobrunner.core.documents import Document, Node
from jobrunner.core.problems import Problems
from triggers.core.records import Headers, OAuthToken, OidcToken

HTTP_METHODS = {
    "HTTP_METHOD_UNSPECIFIED": 0,
    "POST": 1,
    "GET": 2,
    "HEAD": 3,
    "PUT": 4,
    "DELETE": 5,
    "PATCH": 6,
    "OPTIONS": 7,
}
_COMPUTED = frozenset({"user-agent", "host", "content-length"})
"""Headers that are computed, whatever the caller wrote."""


def enum_name(value: object, names: Mapping[str, int]) -> str | None:
    """Of a name or a number, the two forms that clients send; ``None`` for what is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return next((name for name, number in names.items() if number == value), None)
    return value if isinstance(value, str) and value in names else None


def read_enum(node: Node, key: str, names: Mapping[str, int], what: str) -> str:
    """The first of ``names`` is the unspecified one: it reads as an empty text, as does nothing."""
    value = node.raw(key)
    if value in (None, "", 0) and not isinstance(value, bool):
        return ""
    unspecified, *allowed = names
    name = enum_name(value, names)
    if name is None:
        node.wrong(node.at(key), value, f"{what}; allowed: {', '.join(allowed)}")
    return "" if name in (None, unspecified) else str(name)


def read_method(node: Node, key: str = "httpMethod") -> str:
    """Empty where there is none."""
    return read_enum(node, key, HTTP_METHODS, "a method")


def read_bytes(node: Node, key: str) -> bytes:
    """Base64 in either alphabet, with or without padding."""
    text = node.text(key).rstrip("=")
    try:
        plain = text.replace("-", "+").replace("_", "/")
        return b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        node.wrong(node.at(key), node.raw(key), "base64")
        return b""


def read_headers(node: Node, key: str = "headers") -> Headers:
    """Without those that are computed."""
    found = node.text_map(key).items()
    return tuple((name, value) for name, value in found if name.lower() not in _COMPUTED)


def read_token(node: Node, problems: Problems) -> OidcToken | OAuthToken | None:
    """``node`` is what has ``oidcToken`` or ``oauthToken``."""
    oidc, oauth = node.node("oidcToken"), node.node("oauthToken")
    if oidc.present and oauth.present:
        problems.add(node.at("oidcToken"), "oauthToken is set too; allowed: one of both")
    token: OidcToken | OAuthToken | None = None
    for one in (oidc, oauth):
        if not one.present:
            continue
        account = one.text("serviceAccountEmail")
        if not account:
            problems.add(one.at("serviceAccountEmail"), "it is missing")
        if one is oidc:
            token = OidcToken(account, one.text("audience"))
        else:
            token = OAuthToken(account, one.text("scope") or OAuthToken("").scope)
        one.end()
    return token


def token_document(token: OidcToken | OAuthToken | None, audience: str | None = None) -> Document:
    """``audience`` is shown where the token names none; ``None`` for nothing."""
    match token:
        case OidcToken(account, named):
            shown = named or audience
            audiences = {} if shown is None else {"audience": shown}
            return {"oidcToken": {"serviceAccountEmail": account, **audiences}}
        case OAuthToken(account, scope):
            return {"oauthToken": {"serviceAccountEmail": account, "scope": scope}}
        case None:
            return {}


def headers_document(headers: Headers, user_agent: str) -> dict[str, str]:
    """With the user agent of the service, which is part of what is stored at Google."""
    others = [(name, value) for name, value in headers if name.lower() != "user-agent"]
    return dict([*others, ("User-Agent", user_agent)])
