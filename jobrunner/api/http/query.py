"""The query string: parameters of the method, and parameters that every method of Google has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from jobrunner.api.errors import MalformedCall

MOST = 100
"""Parameters of one request."""

IGNORED = frozenset(
    {
        "alt", "fields", "key", "access_token", "oauth_token", "quotaUser", "userIp", "uploadType",
        "upload_protocol", "prettyPrint",
    }
)  # fmt: skip
"""System parameters: accepted and without effect, but for ``prettyPrint``. So is everything that
begins with ``$`` (``$alt``, ``$.xgafv``)."""


@dataclass(frozen=True, slots=True)
class Query:
    """``pretty``: the answer is for people."""

    params: Mapping[str, str] = field(default_factory=dict)
    pretty: bool = False


_NONE = Query()


def query_token(raw: bytes) -> str | None:
    """``access_token``: where senders of webhooks put their token that cannot set a header. Raises
    MalformedCall for two of them."""
    if b"access_token=" not in raw:
        return None
    try:
        pairs = parse_qsl(raw.decode("ascii"), max_num_fields=MOST)
    except ValueError:
        return None
    found = [value for name, value in pairs if name == "access_token"]
    if len(found) > 1:
        raise MalformedCall("the parameter 'access_token' occurs twice")
    return found[0] if found else None


def read_query(raw: bytes) -> Query:
    """Raises MalformedCall for what is no query string, or has two readings."""
    if not raw or raw == b"alt=json":
        return _NONE
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST
        )
    except UnicodeDecodeError:
        raise MalformedCall("the query string is not percent-encoded UTF-8") from None
    except ValueError:
        raise MalformedCall(f"the query string has more than {MOST} parameters") from None
    params: dict[str, str] = {}
    pretty = False
    for name, value in pairs:
        if name in ("callback", "$callback"):
            raise MalformedCall("answers are JSON only; remove the parameter 'callback'")
        if name.removeprefix("$") == "prettyPrint":
            pretty = value.lower() in ("", "1", "true")
        if name in IGNORED or name.startswith("$"):
            continue
        if "\0" in name or "\0" in value:
            raise MalformedCall(f"the parameter {name[:60]!a} holds the character \\u0000")
        if name in params:
            raise MalformedCall(f"the parameter {name[:60]!a} occurs twice")
        params[name] = value
    return Query(params, pretty)
