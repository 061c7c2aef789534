"""Pub/Sub push requests, field for field as production sends them, and read from anybody.

What is prescribed for every push (``User-Agent``, ``From`` and their like) and the token is added
by whoever sends; here are the body and the headers that belong to the message.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from jobrunner.core.timestamps import format_time, parse_time
from triggers.core.cloudevents.jsontext import read_json
from triggers.core.cron import show
from triggers.core.events import PubsubMessage
from triggers.core.plain_envelopes import read_plain
from triggers.core.records import Headers
from triggers.core.subscriptions import Wrapping
from triggers.errors import InvalidEvent

PREFIX = "x-goog-pubsub-"
SUBSCRIPTION_NAME = f"{PREFIX}subscription-name"
MESSAGE_ID = f"{PREFIX}message-id"
PUBLISH_TIME = f"{PREFIX}publish-time"
ORDERING_KEY = f"{PREFIX}ordering-key"
_EMULATORS_ORDERING_KEY = "x-goog-ordering-key"

WRAPPED_HEADERS: Headers = (("Content-Type", "application/json"),)
"""Of a wrapped push, and of no other."""

MAX_MESSAGE = 10 * 1024 * 1024
"""Bytes of data and attributes together."""

_HALF = re.compile("[\ud800-\udfff]")
_ATTEMPT = re.compile(rb'\{"deliveryAttempt":[0-9]+,')
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
# What belongs to the request rather than to the message.
_OF_REQUESTS = frozenset({
    "accept", "accept-charset", "accept-encoding", "accept-language", "authorization",
    "cache-control", "connection", "content-length", "cookie", "expect", "forwarded", "from",
    "host", "keep-alive", "origin", "pragma", "proxy-authorization", "proxy-connection", "referer",
    "te", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "user-agent",
    "via",
})  # fmt: skip
_OF_PROXIES = ("x-forwarded-", "x-real-ip", "x-cloud-trace-context", "sec-")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Envelope:
    """``subscription`` is the full name as the sender gives it, empty if it gives none.
    ``invented`` says that id and time of the message are not Pub/Sub's: it cannot be told apart
    from another of the same content."""

    message: PubsubMessage
    subscription: str = ""
    invented: bool = False


def format_millis(at: float) -> str:
    """RFC 3339 with exactly three digits of fraction, as in every push."""
    return f"{format_time(at)[:23]}Z"


def message_document(message: PubsubMessage) -> dict[str, object]:
    """The ``message`` of an envelope: ids and times in both spellings, nothing that is empty."""
    at = format_millis(message.published_at)
    document: dict[str, object] = {}
    if message.attributes:
        document["attributes"] = dict(message.attributes)
    if message.data:
        document["data"] = base64.b64encode(message.data).decode()
    document["messageId"] = document["message_id"] = message.message_id
    if message.ordering_key:
        document["orderingKey"] = message.ordering_key
    document["publishTime"] = document["publish_time"] = at
    return document


def encode_wrapped(message: PubsubMessage, subscription: str) -> bytes:
    """The body of a wrapped push; goes with ``Content-Type: application/json``. The number of the
    attempt is in it only where the message has one: its subscription has a dead-letter policy."""
    document: dict[str, object] = {}
    if message.delivery_attempt is not None:
        document["deliveryAttempt"] = message.delivery_attempt
    document["message"] = message_document(message)
    document["subscription"] = subscription
    return msgspec.json.encode(document)


def with_attempt(body: bytes, number: int) -> bytes:
    """A body of :func:`encode_wrapped` for attempt ``number``; as it is if it counts none."""
    return _ATTEMPT.sub(b'{"deliveryAttempt":%d,' % number, body, count=1)


def encode_push(message: PubsubMessage, subscription: str, form: Wrapping) -> tuple[Headers, bytes]:
    """Headers and body of a push in that form. An attribute that cannot be a header, or that would
    pass for something of Pub/Sub's, is left out of an unwrapped one."""
    if form is Wrapping.WRAPPED:
        return WRAPPED_HEADERS, encode_wrapped(message, subscription)
    if form is Wrapping.UNWRAPPED:
        return (("Content-Type", "application/octet-stream"),), message.data
    headers = {
        SUBSCRIPTION_NAME: (SUBSCRIPTION_NAME, subscription),
        MESSAGE_ID: (MESSAGE_ID, message.message_id),
        PUBLISH_TIME: (PUBLISH_TIME, format_millis(message.published_at)),
    }
    if message.ordering_key and _HEADER_VALUE.fullmatch(message.ordering_key):
        headers[ORDERING_KEY] = (ORDERING_KEY, message.ordering_key)
    for name, value in message.attributes:
        plain = name.lower()
        if plain in _OF_REQUESTS or plain.startswith(PREFIX) or plain in headers:
            continue
        if _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value):
            headers[plain] = (name, value)
    headers.setdefault("content-type", ("Content-Type", "application/octet-stream"))
    return tuple(headers.values()), message.data


# ---------------------------------------------------------------- what comes in


def decode_wrapped(body: bytes, *, limit: int = MAX_MESSAGE) -> Envelope:
    """The envelope of a wrapped push, from production, the emulator or another emulator. Members
    that nobody knows are skipped. Raises InvalidEvent."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"the body is not UTF-8, at byte {error.start}") from None
    # A message is no larger than its envelope.
    plain = read_plain(text) if len(text) <= limit else None
    if plain is not None:
        return Envelope(*plain)
    try:
        document = read_json(text)
    except ValueError:
        raise InvalidEvent(
            "the body is not JSON; a push without an envelope needs a subscription that accepts it"
        ) from None
    envelope = _object(document, "")
    if envelope.get("message") is None:
        raise InvalidEvent("it is missing; this is not the envelope of a push", field="message")
    message = _object(envelope["message"], "message")
    subscription = _text(envelope, "", "subscription") or ""
    return Envelope(_message(message, _attempt(envelope), limit), subscription)


def decode_unwrapped(
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    message_id: str,
    now: float,
    limit: int = MAX_MESSAGE,
) -> Envelope:
    """A push without an envelope. ``message_id`` and ``now`` are for one that brings no metadata.
    Without them nothing in the headers is known to belong to the message; with them, everything is
    that does not belong to a request. Raises InvalidEvent."""
    pairs = [(name.lower(), value.strip(" \t")) for name, value in headers]
    known = dict(pairs)
    given = known.get(MESSAGE_ID)
    if not given:
        message = PubsubMessage(message_id, format_time(now), now, body)
        _check_size(message, limit)
        return Envelope(message, known.get(SUBSCRIPTION_NAME, ""), invented=True)
    _check_id(given, MESSAGE_ID)
    stamp = known.get(PUBLISH_TIME)
    if stamp is None:
        raise InvalidEvent("it is missing", field=PUBLISH_TIME)
    attributes = tuple(
        (name, value)
        for name, value in dict(pairs).items()
        if name not in _OF_REQUESTS
        and not name.startswith((PREFIX, *_OF_PROXIES))
        and name != _EMULATORS_ORDERING_KEY
        and not (name == "content-type" and value.lower().startswith(_FORM))
    )
    ordering_key = known.get(ORDERING_KEY) or known.get(_EMULATORS_ORDERING_KEY, "")
    at = _instant(stamp, PUBLISH_TIME)
    message = PubsubMessage(given, stamp, at, body, attributes, ordering_key)
    _check_size(message, limit)
    return Envelope(message, known.get(SUBSCRIPTION_NAME, ""))


def _message(document: Mapping[str, object], attempt: int | None, limit: int) -> PubsubMessage:
    where = "message"
    message_id = _text(document, where, "messageId", "message_id")
    if not message_id:
        raise InvalidEvent("it is missing or empty", field=f"{where}.messageId")
    _check_id(message_id, f"{where}.messageId")
    stamp = _text(document, where, "publishTime", "publish_time")
    if not stamp:
        raise InvalidEvent("it is missing or empty", field=f"{where}.publishTime")
    message = PubsubMessage(
        message_id,
        stamp,
        _instant(stamp, f"{where}.publishTime"),
        _data(document.get("data")),
        _attributes(document.get("attributes")),
        _text(document, where, "orderingKey", "ordering_key") or "",
        attempt,
    )
    _check_size(message, limit)
    return message


def _attempt(envelope: Mapping[str, object]) -> int | None:
    value = envelope.get("deliveryAttempt")
    if value is None or value == 0:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
        return value
    raise InvalidEvent("it is not a whole number from 1", field="deliveryAttempt")


def _data(value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
        except ValueError:
            pass
    raise InvalidEvent("it is not base64 with padding", field="message.data")


def _attributes(value: object) -> Headers:
    if value is None:
        return ()
    found = []
    for name, text in _object(value, "message.attributes").items():
        where = f"message.attributes[{show(name)}]"
        if not isinstance(text, str):
            raise InvalidEvent("it is not text", field=where)
        if _HALF.search(name) or _HALF.search(text):
            raise InvalidEvent("it has half of a surrogate pair in it", field=where)
        found.append((name, text))
    return tuple(found)


def _check_id(text: str, field: str) -> None:
    if len(text) > 256 or any(not "!" <= c <= "~" for c in text):
        form = "allowed: up to 256 printable ASCII characters"
        raise InvalidEvent(f"'{show(text)}' is not the id of a message; {form}", field=field)


def _check_size(message: PubsubMessage, limit: int) -> None:
    size = len(message.data) + sum(len(name) + len(value) for name, value in message.attributes)
    if size > limit:
        problem = f"the message has {size} bytes; allowed: at most {limit}"
        raise InvalidEvent(problem, status=413)


def _instant(text: str, field: str) -> float:
    try:
        return parse_time(text)
    except ValueError:
        form = "write it as 2025-05-01T10:00:00.123Z"
        raise InvalidEvent(f"'{show(text)}' is not a time; {form}", field=field) from None


def _text(document: Mapping[str, object], where: str, *names: str) -> str | None:
    """By the first of the spellings that is there."""
    for name in names:
        value = document.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidEvent("it is not text", field=f"{where}.{name}" if where else name)
        if _HALF.search(value):
            problem = "it has half of a surrogate pair in it"
            raise InvalidEvent(problem, field=f"{where}.{name}" if where else name)
        return value
    return None


def _object(value: object, field: str) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    raise InvalidEvent("it is not an object", field=field)
