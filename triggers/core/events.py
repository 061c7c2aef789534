"""What comes in: CloudEvents 1.0 and Pub/Sub messages as frozen values.

Instants are kept as the text that was given, and as Unix seconds (float, UTC) where somebody counts
with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from triggers.core.records import Headers

SPEC_VERSION = "1.0"
HOPS = "jobrunnerhops"
"""The extension that counts how many of our events led to this one."""

CORE_ATTRIBUTES = (
    "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
)  # fmt: skip


class AttributeType(StrEnum):
    """The type system of CloudEvents."""

    BOOLEAN = "Boolean"
    INTEGER = "Integer"
    STRING = "String"
    BINARY = "Binary"
    URI = "URI"
    URI_REF = "URI-reference"
    TIMESTAMP = "Timestamp"


AttributeValue = bool | int | str | bytes


@dataclass(frozen=True, slots=True)
class Extension:
    """``value`` is ``bool``, ``int`` or ``bytes`` for the types of these names, else ``str``. What
    came by a header is a String: HTTP does not say more."""

    name: str
    value: AttributeValue
    type: AttributeType = AttributeType.STRING


class DataKind(StrEnum):
    """How an event carried its data; what it is encoded as again follows from it."""

    NONE = "none"
    JSON = "json"
    """``data`` is a JSON document in UTF-8."""
    TEXT = "text"
    """``data`` is text in UTF-8."""
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """``time`` is RFC 3339 text. ``extensions`` are in the order in which they came, each name
    once. ``data`` is empty if ``kind`` is NONE."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: tuple[Extension, ...] = ()
    data: bytes = b""
    kind: DataKind = DataKind.NONE

    @property
    def specversion(self) -> str:
        return SPEC_VERSION

    @property
    def hops(self) -> int:
        """0 for an event that none of ours led to."""
        for extension in self.extensions:
            if extension.name == HOPS:
                return _count(extension.value)
        return 0

    def with_hops(self, hops: int) -> CloudEvent:
        others = tuple(one for one in self.extensions if one.name != HOPS)
        if hops:
            others += (Extension(HOPS, hops, AttributeType.INTEGER),)
        return replace(self, extensions=others)

    def attribute(self, name: str) -> AttributeValue | None:
        """The value of an attribute by its name in lower case; ``None`` if the event has none."""
        if name in CORE_ATTRIBUTES:
            value: AttributeValue | None = getattr(self, name)
            return value
        for extension in self.extensions:
            if extension.name == name:
                return extension.value
        return None

    def attributes(self) -> Iterator[tuple[str, AttributeValue]]:
        """Those that the event has: the core ones, then the extensions in their order."""
        for name in CORE_ATTRIBUTES:
            value = self.attribute(name)
            if value is not None:
                yield name, value
        for extension in self.extensions:
            yield extension.name, extension.value


def _count(value: AttributeValue) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(0, value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:9])
    return 0


class MessageKey(NamedTuple):
    """What makes a message one of a kind. The emulator counts ids from 1 again when it is started
    again, and the instant tells those apart; in milliseconds, which is what a push carries."""

    subscription: str
    message_id: str
    published_ms: int

    def __str__(self) -> str:
        return f"{self.subscription}/{self.message_id}/{self.published_ms}"


@dataclass(frozen=True, slots=True)
class PubsubMessage:
    """``publish_time`` is the text as it came, ``published_at`` the same in Unix seconds.
    ``ordering_key`` is empty for none. ``delivery_attempt`` counts from 1; only a subscription with
    a dead-letter policy counts."""

    message_id: str
    publish_time: str
    published_at: float
    data: bytes = b""
    attributes: Headers = ()
    ordering_key: str = ""
    delivery_attempt: int | None = None

    def attribute(self, name: str) -> str | None:
        for key, value in self.attributes:
            if key == name:
                return value
        return None

    def key(self, subscription: str) -> MessageKey:
        """``subscription`` is the uid of ours."""
        return MessageKey(subscription, self.message_id, int(self.published_at * 1000 + 1e-3))
