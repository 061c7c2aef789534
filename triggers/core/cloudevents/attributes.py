"""Names and values of attributes: what is allowed, and how they are written in headers.

Values in headers are percent-encoded as the HTTP binding says: space, ``"``, ``%`` and everything
outside U+0021 to U+007E, as bytes of UTF-8.
"""

from __future__ import annotations

import base64
import re
from calendar import monthrange
from collections.abc import Iterable
from typing import NoReturn

from triggers.core.cron import show
from triggers.core.events import (
    SPEC_VERSION,
    AttributeType,
    AttributeValue,
    CloudEvent,
    DataKind,
    Extension,
)
from triggers.errors import InvalidEvent

MAX_INTEGER, MIN_INTEGER = 2**31 - 1, -(2**31)

_NAME = re.compile(r"[a-z0-9]+")
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.+", re.DOTALL)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-]([0-9]{2}):([0-9]{2}))"
)
# Control characters, halves of surrogate pairs, and what Unicode says are no characters.
_NOT_IN_STRINGS = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN_TEXT = re.compile(r"[!#$&-~]*")
_PLAIN = frozenset(range(0x21, 0x7F)) - {0x22, 0x25}

JSON_TYPE = re.compile(r"[^/;\s]+/(?:json|[^;\s]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_TEXT_TYPE = re.compile(
    r"(?:text/[^;\s]+|application/(?:xml|[^;\s]+\+xml|yaml))\s*(?:;.*)?", re.IGNORECASE | re.DOTALL
)


def encode_value(text: str) -> str:
    """``text`` as it stands in a header. Raises InvalidEvent for half of a surrogate pair."""
    if _PLAIN_TEXT.fullmatch(text):
        # As nearly all is.
        return text
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise InvalidEvent("it has half of a surrogate pair in it") from None
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)


def decode_value(name: str, value: str) -> str:
    """What a header says: a quoted string is taken out of its quotes, then percent-decoded once.
    A ``%`` without two digits stands for itself. Raises InvalidEvent for what is not UTF-8."""
    try:
        raw = value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        raw = value.strip(" \t").encode("utf-8", "surrogatepass")
    if len(raw) > 1 and raw[:1] == raw[-1:] == b'"':
        raw = _QUOTED_PAIR.sub(rb"\1", raw[1:-1])
    raw = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidEvent("its value is not UTF-8 after percent-decoding", field=name) from None


def text_of(value: AttributeValue) -> str:
    """The canonical text of a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def is_json_type(content_type: str | None) -> bool:
    """Whether it names JSON; none at all does as well."""
    return content_type is None or JSON_TYPE.fullmatch(content_type.strip()) is not None


def is_text_type(content_type: str) -> bool:
    return _TEXT_TYPE.fullmatch(content_type.strip()) is not None


def check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        form = "names have lower-case letters and digits only"
        raise InvalidEvent(f"'{show(name)}' is not a name of an attribute; {form}", field=where)


def check_string(name: str, value: str) -> str:
    """Raises InvalidEvent for characters that no attribute may have."""
    found = _NOT_IN_STRINGS.search(value)
    if found is not None:
        code = f"U+{ord(found[0]):04X}"
        raise InvalidEvent(f"its value has {code} in it, which is not allowed", field=name)
    return value


def check_integer(name: str, value: int) -> int:
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        form = f"integers go from {MIN_INTEGER} to {MAX_INTEGER}"
        raise InvalidEvent(f"{show(str(value)[:40])} is out of bounds; {form}", field=name)
    return value


def check_uri(name: str, value: str) -> None:
    if not _URI.fullmatch(value):
        form = "a URI is ASCII, and everything else in it is percent-encoded"
        raise InvalidEvent(f"'{show(value)}' is not a URI-reference; {form}", field=name)


def check_absolute_uri(name: str, value: str) -> None:
    check_uri(name, value)
    if not _SCHEME.fullmatch(value):
        form = "it begins with a scheme, such as https:"
        raise InvalidEvent(f"'{show(value)}' is not an absolute URI; {form}", field=name)


def check_time(name: str, value: str) -> None:
    match = _TIME.fullmatch(value)
    if match is not None:
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        off_hour, off_minute = int(match[7] or 0), int(match[8] or 0)
        in_calendar = year > 0 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]
        in_day = hour < 24 and minute < 60 and second <= 60
        if in_calendar and in_day and off_hour < 24 and off_minute < 60:
            return
    form = "write it as 2025-05-01T10:00:00Z"
    raise InvalidEvent(f"'{show(value)}' is not a time of RFC 3339; {form}", field=name)


def check_version(value: object) -> None:
    if value is None:
        _missing("specversion")
    if value != SPEC_VERSION:
        shown = f"'{show(value)}'" if isinstance(value, str) else "what is not text"
        raise InvalidEvent(
            f"{shown} is not a version that is spoken here; allowed: {SPEC_VERSION}",
            field="specversion",
        )


def make_event(
    attributes: dict[str, str],
    extensions: Iterable[Extension],
    data: bytes,
    kind: DataKind,
) -> CloudEvent:
    """An event of core ``attributes`` (without ``specversion``) that were read from anywhere.
    Raises InvalidEvent for the first that breaks a rule."""
    for name in ("id", "source", "type"):
        if name not in attributes:
            _missing(name)
    for name, value in attributes.items():
        check_string(name, value)
        if not value:
            raise InvalidEvent("it is empty", field=name)
    check_uri("source", attributes["source"])
    if "time" in attributes:
        check_time("time", attributes["time"])
    if "dataschema" in attributes:
        check_absolute_uri("dataschema", attributes["dataschema"])
    own = tuple(extensions)
    for extension in own:
        _check_extension(extension)
    return CloudEvent(
        attributes["id"],
        attributes["source"],
        attributes["type"],
        attributes.get("subject"),
        attributes.get("time"),
        attributes.get("datacontenttype"),
        attributes.get("dataschema"),
        own,
        data,
        kind,
    )


def _check_extension(extension: Extension) -> None:
    value = extension.value
    if isinstance(value, str):
        check_string(extension.name, value)
        match extension.type:
            case AttributeType.TIMESTAMP:
                check_time(extension.name, value)
            case AttributeType.URI:
                check_absolute_uri(extension.name, value)
            case AttributeType.URI_REF:
                check_uri(extension.name, value)
            case _:
                pass
    elif isinstance(value, int) and not isinstance(value, bool):
        check_integer(extension.name, value)


def _missing(name: str) -> NoReturn:
    raise InvalidEvent("it is missing; every event has one", field=name)
