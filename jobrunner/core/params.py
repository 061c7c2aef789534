"""Typed reading of a call's parameters, for the methods of every API. Pure.

Parameters arrive as text (:class:`jobrunner.calls.Call`). Absent and empty mean the default, as
clients send ``pageToken=`` and ``pageSize=0``. Every reader raises InvalidSpec naming the
parameter, the value and the allowed form.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from jobrunner.errors import InvalidSpec, Violation

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
MAX_DIGITS = 19

_FLAGS = {"": False, "true": True, "false": False, "1": True, "0": False}

Params = Mapping[str, str]


def invalid(field: str, message: str) -> InvalidSpec:
    return InvalidSpec([Violation(field, message)])


def only(params: Params, *names: str) -> None:
    """Refuses parameters other than ``names``, which are those of the path and of the query."""
    found = [
        Violation(
            name,
            f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
            f" Field '{name}' could not be found in request message.",
        )
        for name in params
        if name not in names
    ]
    if found:
        raise InvalidSpec(found)


def required(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise invalid(name, f"the parameter '{name}' is required")
    return value


def flag(params: Params, name: str, *, default: bool = False) -> bool:
    """``true`` or ``false`` in any case (gcloud sends Python's ``False``), ``1`` or ``0``."""
    text = params.get(name, "")
    if not text:
        return default
    value = _FLAGS.get(text.lower())
    if value is None:
        raise invalid(name, f"'{text[:60]}' is not a truth value; write true or false")
    return value


def whole(
    params: Params,
    name: str,
    default: int,
    *,
    least: int = 0,
    most: int = 2**31 - 1,
) -> int:
    """A whole number from ``least`` to ``most``."""
    text = params.get(name, "")
    if not text:
        return default
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS:
        value = int(text)
        if least <= value <= most:
            return value
    raise invalid(name, f"'{text[:60]}' is not a whole number from {least} to {most}")


def page_size(
    params: Params, name: str = "pageSize", *, default: int = DEFAULT_PAGE, most: int = LARGEST_PAGE
) -> int:
    """How many items a page may hold. 0 means the default; above ``most`` it is ``most``."""
    return min(whole(params, name, default) or default, most)


def page_token(after: str, *bound: str) -> str:
    """A token for the page after the item ``after`` of a list with the parameters ``bound``
    (scope, filter: whatever must be the same on the next page)."""
    sealed = json.dumps([_mark(bound), after], separators=(",", ":"))
    return base64.urlsafe_b64encode(sealed.encode()).decode().rstrip("=")


def page_after(params: Params, *bound: str, name: str = "pageToken") -> str | None:
    """What :func:`page_token` was made from; ``None`` on the first page. A token that is not ours,
    or that belongs to other parameters, is refused."""
    token = params.get(name, "")
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        mark, after = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError):
        raise invalid(name, "it is not a token that this server gave out") from None
    if not isinstance(after, str) or not after.isprintable() or mark != _mark(bound):
        raise invalid(
            name, "it belongs to a list with other parameters; start again without a token"
        )
    return after


def _mark(bound: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(bound).encode()).hexdigest()[:12]
