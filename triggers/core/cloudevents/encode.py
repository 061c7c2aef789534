"""CloudEvents into requests: binary mode as Eventarc delivers them, and the JSON format."""

from __future__ import annotations

import json
from collections.abc import Iterable

from triggers.core.cloudevents.attributes import encode_value, is_json_type, text_of
from triggers.core.cloudevents.jsontext import is_json
from triggers.core.events import (
    CORE_ATTRIBUTES,
    SPEC_VERSION,
    AttributeValue,
    CloudEvent,
    DataKind,
)
from triggers.core.records import Headers

STRUCTURED_TYPE = "application/cloudevents+json; charset=utf-8"
BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"


def content_type_of(event: CloudEvent) -> str:
    """What the data of an event is, said or not; empty for an event without."""
    if event.datacontenttype is not None:
        return event.datacontenttype
    match event.kind:
        case DataKind.NONE:
            return ""
        case DataKind.JSON:
            return "application/json"
        case DataKind.TEXT:
            return "text/plain; charset=utf-8"
        case DataKind.BINARY:
            return "application/octet-stream"


def encode_binary(event: CloudEvent) -> tuple[Headers, bytes]:
    """Headers and body of a request, in Eventarc's order and spelling."""
    headers = []
    content_type = content_type_of(event)
    if content_type:
        headers.append(("content-type", _content_type(content_type)))
    for name, value in event.attributes():
        if name != "datacontenttype":
            headers.append((f"ce-{name}", encode_value(text_of(value))))
    return tuple(headers), event.data


def encode_structured(event: CloudEvent) -> bytes:
    """One event in the JSON format; goes with the content type STRUCTURED_TYPE."""
    return _object(event).encode()


def encode_batch(events: Iterable[CloudEvent]) -> bytes:
    """Goes with the content type BATCH_TYPE."""
    return f"[{','.join(_object(event) for event in events)}]".encode()


def _content_type(text: str) -> str:
    """As it is where it can stand in a header, and that is nearly always."""
    if all(" " <= c <= "~" for c in text):
        return text
    return encode_value(text)


def _object(event: CloudEvent) -> str:
    members = [f'"specversion":"{SPEC_VERSION}"']
    for name in CORE_ATTRIBUTES[1:]:
        value = event.attribute(name)
        if value is not None:
            members.append(_member(name, value))
    for extension in event.extensions:
        members.append(_member(extension.name, extension.value))
    match event.kind:
        case DataKind.NONE:
            pass
        case DataKind.JSON if _says_json(event):
            members.append(f'"data":{event.data.decode()}')
        case DataKind.TEXT if event.datacontenttype is not None:
            members.append(f'"data":{_json(event.data.decode())}')
        case _:
            members.append(f'"data_base64":"{text_of(event.data)}"')
    return f"{{{','.join(members)}}}"


def _says_json(event: CloudEvent) -> bool:
    return is_json_type(event.datacontenttype) and is_json(event.data)


def _member(name: str, value: AttributeValue) -> str:
    if isinstance(value, bytes):
        value = text_of(value)
    return f'"{name}":{_json(value)}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
