"""CloudEvents as messages of Pub/Sub, binary mode: attributes with ``ce-`` before their names, the
type of the data in ``content-type``, the data as it is. Values are not escaped."""

from __future__ import annotations

from triggers.core.cloudevents.attributes import check_name, check_version, make_event, text_of
from triggers.core.cloudevents.decode import PREFIX, Mode, decode_structured, kind_of, mode_of
from triggers.core.cloudevents.encode import content_type_of
from triggers.core.events import CORE_ATTRIBUTES, CloudEvent, Extension, PubsubMessage
from triggers.core.records import Headers
from triggers.errors import InvalidEvent

_CONTENT_TYPE = "content-type"


def carries_event(message: PubsubMessage) -> bool:
    """Whether a message is a CloudEvent rather than somebody's own data."""
    if message.attribute("ce-specversion") is not None:
        return True
    return mode_of(_content_type(message)) is Mode.STRUCTURED


def decode_message(message: PubsubMessage) -> CloudEvent:
    """The event in a message. Raises InvalidEvent."""
    content_type = _content_type(message)
    if mode_of(content_type) is Mode.STRUCTURED:
        try:
            return decode_structured(message.data.decode())
        except UnicodeDecodeError:
            raise InvalidEvent("the data is not UTF-8") from None
    given: dict[str, str] = {}
    for key, value in message.attributes:
        if key.lower().startswith(PREFIX):
            name = key.lower().removeprefix(PREFIX)
            check_name(name, key)
            given[name] = value
    check_version(given.pop("specversion", None))
    core = {name: given.pop(name) for name in CORE_ATTRIBUTES if name in given}
    if content_type:
        core["datacontenttype"] = content_type
    own = (Extension(name, value) for name, value in given.items())
    return make_event(core, own, message.data, kind_of(content_type or None, message.data))


def encode_message(event: CloudEvent) -> tuple[Headers, bytes]:
    """Attributes and data of a message."""
    attributes = [
        (f"{PREFIX}{name}", text_of(value))
        for name, value in event.attributes()
        if name != "datacontenttype"
    ]
    content_type = content_type_of(event)
    if content_type:
        attributes.append((_CONTENT_TYPE, content_type))
    return tuple(attributes), event.data


def _content_type(message: PubsubMessage) -> str:
    for key, value in message.attributes:
        if key.lower() in {_CONTENT_TYPE, "ce-datacontenttype"}:
            return value
    return ""
