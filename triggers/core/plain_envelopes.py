"""Reads the envelopes that Pub/Sub and its emulators write, and nothing else.

What is unusual in any way, let alone wrong, is left to :mod:`triggers.core.envelopes`, which says
what is the matter with it. So this reader may be quick: it takes a third of the time.
"""

from __future__ import annotations

import base64
import re

import msgspec

from jobrunner.core.timestamps import parse_time
from triggers.core.events import PubsubMessage

_ID = re.compile(r"[!-~]{1,256}")


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    attributes: dict[str, str] | None = None
    data: str | None = None
    message_id: str | None = None
    camel_id: str | None = msgspec.field(default=None, name="messageId")
    publish_time: str | None = None
    camel_time: str | None = msgspec.field(default=None, name="publishTime")
    ordering_key: str | None = None
    camel_key: str | None = msgspec.field(default=None, name="orderingKey")


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    message: _Message
    subscription: str | None = None
    deliveryAttempt: int | None = None  # noqa: N815


_decode = msgspec.json.Decoder(_Envelope).decode


def read_plain(text: str) -> tuple[PubsubMessage, str] | None:
    """The message, and the name of the subscription (empty for none). ``None`` for whatever this
    reader does not know. The size of the message is not looked at."""
    try:
        envelope = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    found = envelope.message
    message_id = found.message_id if found.camel_id is None else found.camel_id
    stamp = found.publish_time if found.camel_time is None else found.camel_time
    if not message_id or not stamp or _ID.fullmatch(message_id) is None:
        return None
    attempt = envelope.deliveryAttempt
    if attempt is not None and not 0 < attempt < 2**31:
        return None
    try:
        at = parse_time(stamp)
        data = b"" if found.data is None else base64.b64decode(found.data, validate=True)
    except ValueError:
        return None
    message = PubsubMessage(
        message_id,
        stamp,
        at,
        data,
        tuple(found.attributes.items()) if found.attributes else (),
        (found.ordering_key if found.camel_key is None else found.camel_key) or "",
        attempt,
    )
    return message, envelope.subscription or ""
