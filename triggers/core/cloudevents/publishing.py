"""Events in the JSON of ``publishEvents``: typed attributes of the protobuf format, or CloudEvents
as text. Both spellings of a member are read, ``textData`` and ``text_data``."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence

from triggers.core.cloudevents.attributes import (
    check_integer,
    check_name,
    check_version,
    is_json_type,
    make_event,
)
from triggers.core.cloudevents.decode import (
    MAX_EVENT,
    MAX_EVENTS,
    decode_structured,
    kind_of,
    read_base64,
)
from triggers.core.cloudevents.jsontext import is_json
from triggers.core.events import (
    CORE_ATTRIBUTES,
    SPEC_VERSION,
    AttributeType,
    AttributeValue,
    CloudEvent,
    DataKind,
    Extension,
)
from triggers.errors import InvalidEvent

ANY_TYPE = "type.googleapis.com/io.cloudevents.v1.CloudEvent"
ANY_TYPES = (ANY_TYPE, "type.googleapis.com/google.cloud.eventarc.publishing.v1.CloudEvent")
"""Two names of one message: clients pack either."""

_TYPES = {
    "ceBoolean": AttributeType.BOOLEAN,
    "ceInteger": AttributeType.INTEGER,
    "ceString": AttributeType.STRING,
    "ceBytes": AttributeType.BINARY,
    "ceUri": AttributeType.URI,
    "ceUriRef": AttributeType.URI_REF,
    "ceTimestamp": AttributeType.TIMESTAMP,
}
_MEMBERS = {kind: member for member, kind in _TYPES.items()}
_CORE_MEMBERS = {"time": "ceTimestamp", "dataschema": "ceUri"}
_DATA = ("binaryData", "textData", "protoData")


def decode_publish(
    document: object, *, limit: int = MAX_EVENT, most: int = MAX_EVENTS
) -> list[CloudEvent]:
    """The events of a request's body. Raises InvalidEvent."""
    body = _object(document, "")
    events, texts = _both(body, "events"), _both(body, "textEvents")
    if events and texts:
        raise InvalidEvent("a request has either events or textEvents", field="textEvents")
    given = _list(events or texts, "events" if events else "textEvents")
    if not given:
        raise InvalidEvent("there is none; allowed: events or textEvents", field="events")
    if len(given) > most:
        raise InvalidEvent(f"{len(given)} events are too many; allowed: {most}", status=413)
    read = decode_proto if events else _decode_text
    found = []
    for place, value in enumerate(given):
        try:
            event = read(value)
            size = len(event.data) + sum(
                len(name) + len(str(value)) for name, value in event.attributes()
            )
            if size > limit:
                problem = f"the event has {size} bytes; allowed: at most {limit}"
                raise InvalidEvent(problem, status=413)
        except InvalidEvent as error:
            raise error.within(place) from None
        found.append(event)
    return found


def decode_proto(document: object) -> CloudEvent:
    """One event in the JSON of the protobuf format. Raises InvalidEvent."""
    body = _object(document, "")
    kind = body.get("@type", ANY_TYPE)
    if kind not in ANY_TYPES:
        raise InvalidEvent(f"it is not a CloudEvent; allowed: {ANY_TYPE}", field="@type")
    check_version(_both(body, "specVersion"))
    core: dict[str, str] = {}
    for name in ("id", "source", "type"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidEvent("it is not text", field=name)
        core[name] = value
    extensions = []
    for name, value in _object(body.get("attributes") or {}, "attributes").items():
        check_name(name, name)
        if name in {"id", "source", "type", "specversion", "data"}:
            raise InvalidEvent("it is a member of the event, not of attributes", field=name)
        extension = _attribute(name, _object(value, name))
        if name not in CORE_ATTRIBUTES:
            extensions.append(extension)
        elif isinstance(extension.value, str):
            core[name] = extension.value
        else:
            raise InvalidEvent("it is not text", field=name)
    data, kind_of_data = _data(body, core)
    return make_event(core, extensions, data, kind_of_data)


def encode_proto(event: CloudEvent) -> dict[str, object]:
    """One event in the JSON of the protobuf format."""
    attributes: dict[str, object] = {}
    for name, value in event.attributes():
        if name in {"subject", "datacontenttype", *_CORE_MEMBERS}:
            attributes[name] = {_CORE_MEMBERS.get(name, "ceString"): value}
    for extension in event.extensions:
        plain = extension.value
        if isinstance(plain, bytes):
            plain = base64.b64encode(plain).decode()
        attributes[extension.name] = {_MEMBERS[_type_of(extension)]: plain}
    found: dict[str, object] = {
        "@type": ANY_TYPE,
        "id": event.id,
        "source": event.source,
        "specVersion": SPEC_VERSION,
        "type": event.type,
    }
    if attributes:
        found["attributes"] = attributes
    match event.kind:
        case DataKind.NONE:
            pass
        case DataKind.BINARY:
            found["binaryData"] = base64.b64encode(event.data).decode()
        case _:
            found["textData"] = event.data.decode()
    return found


def _type_of(extension: Extension) -> AttributeType:
    """What its value can be; a type that does not fit it gives way."""
    match extension.value:
        case bool():
            return AttributeType.BOOLEAN
        case int():
            return AttributeType.INTEGER
        case bytes():
            return AttributeType.BINARY
        case _:
            texts = {AttributeType.URI, AttributeType.URI_REF, AttributeType.TIMESTAMP}
            return extension.type if extension.type in texts else AttributeType.STRING


def _decode_text(value: object) -> CloudEvent:
    if not isinstance(value, str):
        raise InvalidEvent("it is not text; each is one CloudEvent in JSON")
    return decode_structured(value)


def _attribute(name: str, value: Mapping[str, object]) -> Extension:
    given = [(member, _both(value, member)) for member in _TYPES]
    set_ = [(member, plain) for member, plain in given if plain is not None]
    if len(set_) != 1 or len(value) != 1:
        raise InvalidEvent(f"it has exactly one of {', '.join(_TYPES)}", field=name)
    member, plain = set_[0]
    return Extension(name, _READERS[member](name, plain), _TYPES[member])


def _flag(name: str, value: object) -> AttributeValue:
    if isinstance(value, bool):
        return value
    raise InvalidEvent("ceBoolean is true or false", field=name)


def _integer(name: str, value: object) -> AttributeValue:
    if isinstance(value, int) and not isinstance(value, bool):
        return check_integer(name, value)
    raise InvalidEvent("ceInteger is a whole number", field=name)


def _text(name: str, value: object) -> AttributeValue:
    if isinstance(value, str):
        return value
    raise InvalidEvent("it is not text", field=name)


_READERS: dict[str, Callable[[str, object], AttributeValue]] = {
    "ceBoolean": _flag,
    "ceInteger": _integer,
    "ceBytes": lambda name, value: read_base64(value, name),
    **dict.fromkeys(("ceString", "ceUri", "ceUriRef", "ceTimestamp"), _text),
}


def _data(body: Mapping[str, object], core: dict[str, str]) -> tuple[bytes, DataKind]:
    given = [(name, value) for name in _DATA if (value := _both(body, name)) is not None]
    if len(given) > 1:
        raise InvalidEvent(f"an event has one of {', '.join(_DATA)}", field=given[1][0])
    if not given:
        return b"", DataKind.NONE
    name, value = given[0]
    if name == "protoData":
        return _proto_data(_object(value, name), core)
    content_type = core.get("datacontenttype")
    if name == "binaryData":
        data = read_base64(value, name)
        return data, kind_of(content_type, data)
    if not isinstance(value, str):
        raise InvalidEvent("it is not text", field=name)
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("it has half of a surrogate pair in it", field=name) from None
    if not data:
        return b"", DataKind.NONE
    if is_json_type(content_type) and is_json(data):
        return data, DataKind.JSON
    return data, DataKind.TEXT


def _proto_data(value: Mapping[str, object], core: dict[str, str]) -> tuple[bytes, DataKind]:
    """A message of a type that we do not know comes as bytes; any other as its JSON."""
    if set(value) == {"@type", "value"} and isinstance(value["value"], str):
        core.setdefault("datacontenttype", "application/protobuf")
        data = read_base64(value["value"], "protoData")
        return data, DataKind.BINARY if data else DataKind.NONE
    members = {name: member for name, member in value.items() if name != "@type"}
    core.setdefault("datacontenttype", "application/json")
    try:
        return json.dumps(members, separators=(",", ":"), allow_nan=False).encode(), DataKind.JSON
    except (ValueError, TypeError, RecursionError):
        raise InvalidEvent("it is not JSON", field="protoData") from None


def _both(value: Mapping[str, object], name: str) -> object:
    """By either spelling, ``textData`` or ``text_data``."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    found = value.get(name)
    return value.get(snake) if found is None else found


def _object(value: object, field: str) -> Mapping[str, object]:
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return value
    raise InvalidEvent("it is not an object", field=field)


def _list(value: object, field: str) -> Sequence[object]:
    if value is None:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return value
    raise InvalidEvent("it is not a list", field=field)
