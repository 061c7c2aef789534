"""Requests that carry CloudEvents, in the three modes of the HTTP binding, into values.

Content types are told apart as the binding says: ``application/cloudevents-batch…`` is a batch,
``application/cloudevents…`` structured, anything else binary. Everything that can be wrong with an
event is an InvalidEvent with the status of the answer: 400, 413 for one that is too large, 415 for
a format that is not JSON.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from triggers.core.cloudevents.attributes import (
    check_integer,
    check_name,
    check_version,
    decode_value,
    is_json_type,
    is_text_type,
    make_event,
)
from triggers.core.cloudevents.jsontext import Member, is_json, read_object, read_objects
from triggers.core.cron import show
from triggers.core.events import (
    CORE_ATTRIBUTES,
    AttributeType,
    CloudEvent,
    DataKind,
    Extension,
)
from triggers.errors import InvalidEvent

MAX_EVENT = 512 * 1024
"""Bytes; Eventarc's limit, and more than the 64 KiB that everybody must take."""
MAX_BATCH = 10 * 1024 * 1024
MAX_EVENTS = 1000
PREFIX = "ce-"

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)\"?", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


class Mode(StrEnum):
    BINARY = "binary"
    STRUCTURED = "structured"
    BATCHED = "batched"


def mode_of(content_type: str) -> Mode:
    kind = content_type.strip().lower()
    if kind.startswith("application/cloudevents-batch"):
        return Mode.BATCHED
    if kind.startswith("application/cloudevents"):
        return Mode.STRUCTURED
    return Mode.BINARY


def decode(
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    limit: int = MAX_EVENT,
    batch_limit: int = MAX_BATCH,
    most: int = MAX_EVENTS,
) -> list[CloudEvent]:
    """The events of a request: one, unless it is a batch, which may have none. ``headers`` are
    names and values, bytes of the wire read as Latin-1; ``limit`` is for one event, ``batch_limit``
    for all. Raises InvalidEvent; then none of a batch is taken."""
    pairs = [(name.lower(), value) for name, value in headers]
    content_type = next((value for name, value in pairs if name == "content-type"), "")
    match mode_of(content_type):
        case Mode.BATCHED:
            _check_format(content_type, "application/cloudevents-batch")
            _check_size(len(body), batch_limit, "the batch")
            return decode_batch(_text(body, content_type), limit=limit, most=most)
        case Mode.STRUCTURED:
            _check_format(content_type, "application/cloudevents")
            _check_size(len(body), limit, "the event")
            return [decode_structured(_text(body, content_type))]
        case Mode.BINARY:
            return [_decode_binary(pairs, content_type, body, limit)]


def decode_structured(text: str) -> CloudEvent:
    """One event in the JSON format. Raises InvalidEvent."""
    return _from_members(read_object(text))


def decode_batch(text: str, *, limit: int = MAX_EVENT, most: int = MAX_EVENTS) -> list[CloudEvent]:
    """Events in the JSON batch format. Raises InvalidEvent."""
    found = read_objects(text)
    if len(found) > most:
        raise InvalidEvent(f"{len(found)} events are too many; allowed: {most}", status=413)
    events = []
    for place, (members, size) in enumerate(found):
        try:
            _check_size(size, limit, "the event")
            events.append(_from_members(members))
        except InvalidEvent as error:
            raise error.within(place) from None
    return events


# ---------------------------------------------------------------- binary mode


def _decode_binary(
    pairs: list[tuple[str, str]], content_type: str, body: bytes, limit: int
) -> CloudEvent:
    given: dict[str, str] = {}
    size = len(body)
    for header, value in pairs:
        if not header.startswith(PREFIX):
            continue
        name = header.removeprefix(PREFIX)
        check_name(name, header)
        if name == "datacontenttype":
            raise InvalidEvent("the type of the data is the header Content-Type", field=header)
        if name == "data":
            raise InvalidEvent("data is the body, never a header", field=header)
        if name in given:
            raise InvalidEvent("it is given twice", field=header)
        given[name] = decode_value(header, value)
        size += len(header) + len(value)
    if not given:
        raise InvalidEvent(
            "this is not a CloudEvent; send its attributes in ce-* headers, or all of it as "
            "application/cloudevents+json"
        )
    _check_size(size, limit, "the event")
    check_version(given.pop("specversion", None))
    core = {name: given.pop(name) for name in CORE_ATTRIBUTES if name in given}
    kind_of_data: str | None = content_type.strip() or None
    if kind_of_data is not None:
        core["datacontenttype"] = kind_of_data
    extensions = (Extension(name, value) for name, value in given.items())
    return make_event(core, extensions, body, kind_of(kind_of_data, body))


def kind_of(content_type: str | None, data: bytes) -> DataKind:
    """What bytes that came without a word about themselves are."""
    if not data:
        return DataKind.NONE
    if is_json_type(content_type) and is_json(data):
        return DataKind.JSON
    if content_type is not None and is_text_type(content_type):
        charset = _CHARSET.search(content_type)
        if charset is None or charset[1].lower() in {"utf-8", "utf8", "us-ascii"}:
            try:
                data.decode()
            except UnicodeDecodeError:
                return DataKind.BINARY
            return DataKind.TEXT
    return DataKind.BINARY


# ---------------------------------------------------------------- the JSON format


def _from_members(members: Mapping[str, Member]) -> CloudEvent:
    core: dict[str, str] = {}
    extensions: list[Extension] = []
    check_version(members["specversion"].value if "specversion" in members else None)
    for name, member in members.items():
        value = member.value
        if name in {"data", "data_base64", "specversion"} or value is None:
            continue
        check_name(name, name)
        if name in CORE_ATTRIBUTES:
            if not isinstance(value, str):
                raise InvalidEvent("it is not text", field=name)
            core[name] = value
        else:
            extensions.append(_extension(name, value))
    data, kind = _data(members, core.get("datacontenttype"))
    return make_event(core, extensions, data, kind)


def _extension(name: str, value: object) -> Extension:
    if isinstance(value, bool):
        return Extension(name, value, AttributeType.BOOLEAN)
    if isinstance(value, str):
        return Extension(name, value)
    if isinstance(value, int):
        return Extension(name, check_integer(name, value), AttributeType.INTEGER)
    form = "allowed: text, a whole number, true or false"
    raise InvalidEvent(f"it is not a value of an attribute; {form}", field=name)


def _data(members: Mapping[str, Member], content_type: str | None) -> tuple[bytes, DataKind]:
    data, base = members.get("data"), members.get("data_base64")
    if base is not None and base.value is not None:
        if data is not None:
            raise InvalidEvent("an event has either data or data_base64", field="data_base64")
        return _from_base64(base.value, content_type)
    if data is None:
        return b"", DataKind.NONE
    if is_json_type(content_type):
        try:
            return data.text.encode(), DataKind.JSON
        except UnicodeEncodeError:
            raise InvalidEvent("it has half of a surrogate pair in it", field="data") from None
    if data.value is None:
        return b"", DataKind.NONE
    if not isinstance(data.value, str):
        form = "with a datacontenttype that is not JSON it is text, or use data_base64"
        raise InvalidEvent(form, field="data")
    try:
        raw = data.value.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("it has half of a surrogate pair in it", field="data") from None
    return raw, DataKind.TEXT if raw else DataKind.NONE


def _from_base64(value: object, content_type: str | None) -> tuple[bytes, DataKind]:
    data = read_base64(value, "data_base64")
    kind = kind_of(content_type, data)
    return data, kind


def read_base64(value: object, field: str) -> bytes:
    """Standard base64 with its padding. Raises InvalidEvent."""
    if isinstance(value, str) and _BASE64.fullmatch(value):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            pass
    raise InvalidEvent("it is not standard base64 with padding", field=field)


# ---------------------------------------------------------------- what all share


def _check_format(content_type: str, plain: str) -> None:
    kind = content_type.strip().lower().split(";")[0].strip()
    if kind not in {plain, f"{plain}+json"}:
        form = f"allowed: {plain}+json"
        raise InvalidEvent(f"'{show(kind)}' is not a format that is read here; {form}", status=415)
    charset = _CHARSET.search(content_type)
    if charset is not None and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        problem = f"JSON is UTF-8, and not '{show(charset[1])}'"
        raise InvalidEvent(problem, field="content-type", status=415)


def _text(body: bytes, content_type: str) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        problem = f"the body is not UTF-8, at byte {error.start}"
        raise InvalidEvent(problem) from None


def _check_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise InvalidEvent(f"{what} has {size} bytes; allowed: at most {limit}", status=413)
