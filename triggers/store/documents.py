"""Targets, retry policies and payloads as JSON text, by field name, under the name of their kind; a
field that is not there is its default.

Text that was written by an older version reads well as long as fields are only added.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from operator import attrgetter
from typing import Any, TypeVar, get_type_hints

import msgspec

from jobrunner.errors import InvalidSpec, Violation
from triggers.core.records import (
    EventRetry,
    HttpTarget,
    JobTarget,
    ManualRetry,
    OAuthToken,
    OidcToken,
    Payload,
    PubsubTarget,
    PushRetry,
    QueueRetry,
    RetryPolicy,
    ScheduleRetry,
    Target,
)
from triggers.errors import DamagedRow

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

MOST_REMEMBERED = 4096
"""Documents of a kind that are kept decoded; they are frozen, so one may stand in many rows."""
LONGEST_REMEMBERED = 2048
"""Characters."""


@dataclass(frozen=True, slots=True)
class _Token:
    oidc: OidcToken | None = None
    oauth: OAuthToken | None = None


def _http_fields() -> list[Any]:
    """As of an HttpTarget, but that its token says of which kind it is."""
    hints = get_type_hints(HttpTarget) | {"token": _Token | None}
    return [
        (one.name, hints[one.name]) if one.default is MISSING
        else (one.name, hints[one.name], one.default)
        for one in fields(HttpTarget)
    ]  # fmt: skip


_HTTP = tuple(one.name for one in fields(HttpTarget))
_http_values = attrgetter(*_HTTP)
_Http: Any = msgspec.defstruct("_Http", _http_fields(), omit_defaults=True)


class _Target(msgspec.Struct, omit_defaults=True):
    http: _Http | None = None
    job: JobTarget | None = None
    pubsub: PubsubTarget | None = None


class _Retry(msgspec.Struct, omit_defaults=True):
    schedule: ScheduleRetry | None = None
    queue: QueueRetry | None = None
    push: PushRetry | None = None
    event: EventRetry | None = None
    manual: ManualRetry | None = None


_target = msgspec.json.Decoder(_Target)
_retry = msgspec.json.Decoder(_Retry)
_payload = msgspec.json.Decoder(Payload)
_targets: dict[str, Target] = {}
_texts: dict[Target, str] = {}
_retries: dict[str, RetryPolicy] = {}


def token_with(token: OidcToken | OAuthToken | None) -> _Token | None:
    """``token`` with the name of its kind."""
    match token:
        case OidcToken():
            return _Token(oidc=token)
        case OAuthToken():
            return _Token(oauth=token)
        case None:
            return None


def token_of(found: _Token | None) -> OidcToken | OAuthToken | None:
    return None if found is None else found.oidc or found.oauth


def encode_target(target: Target) -> str:
    """Raises InvalidSpec for text that is no Unicode (a lone surrogate)."""
    match target:
        case JobTarget():
            return _encode(_Target(job=target))
        case PubsubTarget():
            return _encode(_Target(pubsub=target))
        case HttpTarget():
            text = _texts.get(target)
            return _encoded(target) if text is None else text


def _encoded(target: HttpTarget) -> str:
    values = dict(zip(_HTTP, _http_values(target), strict=True))
    values["token"] = token_with(target.token)
    text = _encode(_Target(http=_Http(**values)))
    if len(text) <= LONGEST_REMEMBERED:
        _remember(_texts, target, text)
    return text


def decode_target(text: str) -> Target:
    known = _targets.get(text)
    if known is None:
        found = _decode(_target, text)
        known = found.job or found.pubsub
        if known is None and found.http is None:
            raise unreadable("it names no target")
        if known is None:
            values = dict(zip(_HTTP, _http_values(found.http), strict=True))
            values["token"] = token_of(values["token"])
            known = HttpTarget(**values)
            if len(text) <= LONGEST_REMEMBERED:
                # It goes out again as it came: what a schedule opens has its target.
                _remember(_texts, known, text)
        if len(text) <= LONGEST_REMEMBERED:
            _remember(_targets, text, known)
    return known


def encode_retry(policy: RetryPolicy) -> str:
    match policy:
        case ScheduleRetry():
            return _encode(_Retry(schedule=policy))
        case QueueRetry():
            return _encode(_Retry(queue=policy))
        case PushRetry():
            return _encode(_Retry(push=policy))
        case EventRetry():
            return _encode(_Retry(event=policy))
        case ManualRetry():
            return _encode(_Retry(manual=policy))


def decode_retry(text: str) -> RetryPolicy:
    known = _retries.get(text)
    if known is None:
        found = _decode(_retry, text)
        known = found.schedule or found.queue or found.push or found.event or found.manual
        if known is None:
            raise unreadable("it names no retry policy")
        if len(text) <= LONGEST_REMEMBERED:
            _remember(_retries, text, known)
    return known


def encode_payload(payload: Payload | None) -> str | None:
    return None if payload is None else _encode(payload)


def decode_payload(text: str | None) -> Payload | None:
    return None if text is None else _decode(_payload, text)


def _encode(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError as error:
        raise InvalidSpec(
            [Violation("", f"{error.object!r} is not valid Unicode text; encode the bytes first")]
        ) from error


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise unreadable(str(error)) from error


def unreadable(why: str, uid: str = "") -> DamagedRow:
    return DamagedRow(
        f"A stored document cannot be read: {why}.",
        uid=uid,
        hint="The database was changed by hand or is damaged; restore the last backup.",
    )


def _remember(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= MOST_REMEMBERED:
        known.clear()
    known[key] = value
