"""Rows of queues to values and back."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import msgspec

from jobrunner.lib.database import Row
from triggers.core.queues import HttpOverride, Queue, UriOverride
from triggers.core.records import Headers
from triggers.store.damage import Reader
from triggers.store.documents import _decode, _encode, _Token, token_of, token_with

_COLUMNS = ("uid", "project", "region", "name")
_OTHERS = [one for one in fields(Queue) if one.name not in (*_COLUMNS, "http")]
_NAMES = tuple(one.name for one in _OTHERS)


class _Override(msgspec.Struct, omit_defaults=True):
    """As the value, but that its token says of which kind it is."""

    uri: UriOverride | None = None
    method: str = ""
    headers: Headers = ()
    token: _Token | None = None


def _settings_fields() -> list[Any]:
    hints = get_type_hints(Queue)
    found: list[Any] = []
    for one in _OTHERS:
        if one.default_factory is not MISSING:
            found.append(
                (one.name, hints[one.name], msgspec.field(default_factory=one.default_factory))
            )
        else:
            found.append((one.name, hints[one.name], one.default))
    return [*found, ("http", _Override | None, None)]


# A field that is not there is its default: text of an older version reads well.
_Settings: Any = msgspec.defstruct("_Settings", _settings_fields(), omit_defaults=True)
_settings = msgspec.json.Decoder(_Settings)
_override = msgspec.json.Decoder(_Override)

QUEUE = "uid project region name settings"


def queue_row(queue: Queue) -> tuple[object, ...]:
    """In the order of ``QUEUE``."""
    values = {name: getattr(queue, name) for name in _NAMES}
    settings = _encode(_Settings(**values, http=_stored(queue.http)))
    return (queue.uid, queue.project, queue.region, queue.name, settings)


def _queue_of(row: Row) -> Queue:
    uid, project, region, name, settings = row
    found = _decode(_settings, settings)
    return Queue(
        uid=uid,
        project=project,
        region=region,
        name=name,
        http=_read(found.http),
        **{name: getattr(found, name) for name in _NAMES},
    )


QUEUES = Reader("Queue", _queue_of)


def encode_override(http: HttpOverride | None) -> str | None:
    return None if http is None else _encode(_stored(http))


def decode_override(text: str | None) -> HttpOverride | None:
    return None if text is None else _read(_decode(_override, text))


def _stored(http: HttpOverride | None) -> _Override | None:
    if http is None:
        return None
    return _Override(http.uri, http.method, http.headers, token_with(http.token))


def _read(found: _Override | None) -> HttpOverride | None:
    if found is None:
        return None
    return HttpOverride(found.uri, found.method, found.headers, token_of(found.token))
