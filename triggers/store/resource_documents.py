"""Subscriptions, event triggers, channels and addresses as JSON text, by field name; a field that
is not there is its default, so text of an older version reads well as long as fields are only
added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec

from triggers.core.buckets import Bucket
from triggers.core.event_triggers import (
    Channel,
    Destination,
    EventTrigger,
    HttpDestination,
    JobDestination,
    ServiceAddress,
    ServiceDestination,
    TopicDestination,
)
from triggers.core.subscriptions import Subscription
from triggers.store.documents import _decode, _encode, decode_target, encode_target

T = TypeVar("T")


class Document(Generic[T]):
    """``odd`` names the fields that JSON does not take as they are: the type they have in the text,
    how they become that, and how they are read."""

    def __init__(
        self,
        kind: type[T],
        odd: Mapping[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] | None = None,
    ) -> None:
        self._kind = kind
        self._odd = odd or {}
        hints = get_type_hints(kind)
        self._fields = fields(kind)  # type: ignore[arg-type]
        self._struct: Any = msgspec.defstruct(
            kind.__name__,
            [self._field(one, hints[one.name]) for one in self._fields],
            omit_defaults=True,
        )
        self._decoder = msgspec.json.Decoder(self._struct)

    def encode(self, value: T) -> str:
        """Raises InvalidSpec for text that is no Unicode."""
        found = {one.name: getattr(value, one.name) for one in self._fields}
        for name, (_, write, _) in self._odd.items():
            found[name] = write(found[name])
        return _encode(self._struct(**found))

    def decode(self, text: str) -> T:
        """Raises StoreFault for what is damaged."""
        read = _decode(self._decoder, text)
        found = {one.name: getattr(read, one.name) for one in self._fields}
        for name, (_, _, revive) in self._odd.items():
            found[name] = revive(found[name])
        return self._kind(**found)

    def _field(self, one: Any, hint: Any) -> Any:
        hint = self._odd[one.name][0] if one.name in self._odd else hint
        if one.default is not MISSING:
            return one.name, hint, one.default
        if one.default_factory is not MISSING:
            return one.name, hint, msgspec.field(default_factory=one.default_factory)
        return one.name, hint


class _Destination(msgspec.Struct, omit_defaults=True):
    service: ServiceDestination | None = None
    job: JobDestination | None = None
    http: HttpDestination | None = None
    topic: TopicDestination | None = None


def _named(destination: Destination) -> _Destination:
    match destination:
        case ServiceDestination():
            return _Destination(service=destination)
        case JobDestination():
            return _Destination(job=destination)
        case HttpDestination():
            return _Destination(http=destination)
        case TopicDestination():
            return _Destination(topic=destination)


def _unnamed(read: _Destination) -> Destination | None:
    return read.service or read.job or read.http or read.topic


SUBSCRIPTION = Document(Subscription, {"target": (str, encode_target, decode_target)})
EVENT_TRIGGER = Document(EventTrigger, {"destination": (_Destination, _named, _unnamed)})
CHANNEL = Document(Channel)
ADDRESS = Document(ServiceAddress)
BUCKET = Document(Bucket)
