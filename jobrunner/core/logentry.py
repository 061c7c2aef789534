"""A line of output as a log entry: text, or a JSON object with Cloud Logging's special fields.

A special field of the right type moves to the entry; of another type it stays in the payload, so
that nothing a program wrote is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobrunner.core.spec import StringMap
from jobrunner.core.timestamps import format_time, parse_time

MAX_LINE = 256 * 1024
"""Bytes of one entry; a longer line is cut into several."""

SEVERITIES = (
    "DEFAULT",
    "DEBUG",
    "INFO",
    "NOTICE",
    "WARNING",
    "ERROR",
    "CRITICAL",
    "ALERT",
    "EMERGENCY",
)

_ALIASES = {
    "TRACE": "DEBUG",
    "INFORMATION": "INFO",
    "INFORMATIONAL": "INFO",
    "WARN": "WARNING",
    "ERR": "ERROR",
    "SEVERE": "ERROR",
    "FATAL": "CRITICAL",
    "CRIT": "CRITICAL",
    "PANIC": "ALERT",
    "EMERG": "EMERGENCY",
}

_PREFIX = "logging.googleapis.com/"
_PARTS = {"seconds", "nanos"}
_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True, slots=True)
class SourceLocation:
    file: str = ""
    line: int | None = None
    function: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    id: str = ""
    producer: str = ""
    first: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Either ``text`` or ``payload`` is set. ``timestamp`` is the program's own time if it gave
    one, else when the line was read (``received_at``); Unix seconds. ``stream`` is 1 for standard
    output and 2 for standard error; it does not change the severity.
    """

    received_at: float
    timestamp: float
    stream: int
    severity: str = "DEFAULT"
    text: str | None = None
    payload: Mapping[str, Any] | None = None
    labels: StringMap = field(default_factory=dict)
    trace: str = ""
    span_id: str = ""
    trace_sampled: bool = False
    insert_id: str = ""
    http_request: Mapping[str, Any] | None = None
    operation: Operation | None = None
    source_location: SourceLocation | None = None

    @property
    def message(self) -> str:
        """What to show on one line: the text, the payload's message, or the payload as JSON."""
        if self.payload is None:
            return self.text or ""
        message = self.payload.get("message")
        if isinstance(message, str):
            return message
        return json.dumps(self.payload, ensure_ascii=False)


def cut_line(line: bytes) -> list[bytes]:
    """``line`` in pieces of at most :data:`MAX_LINE` bytes, never within a UTF-8 character."""
    if len(line) <= MAX_LINE:
        return [line]
    pieces = []
    start = 0
    while len(line) - start > MAX_LINE:
        end = start + MAX_LINE
        # Continuation bytes are 10xxxxxx, at most three in a row in valid text.
        for _ in range(3):
            if line[end] & 0xC0 == 0x80:
                end -= 1
        pieces.append(line[start:end])
        start = end
    pieces.append(line[start:])
    return pieces


def parse_entries(line: bytes, stream: int, at: float) -> list[LogEntry]:
    """The entries of one line, without its line end; more than one for a very long line."""
    return [parse_entry(piece, stream, at) for piece in cut_line(line)]


def parse_entry(line: bytes, stream: int, at: float) -> LogEntry:
    """One line of at most :data:`MAX_LINE` bytes. Bytes that are not UTF-8 are shown as U+FFFD.
    Never raises."""
    if line[:1] in (b"{", b" ", b"\t") and line.rstrip().endswith(b"}"):
        try:
            value = _decoder.decode(line.decode("utf-8"))
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return _structured(value, stream, at)
    return LogEntry(at, at, stream, text=line.decode("utf-8", "replace"))


def _no_json(word: str) -> float:
    """NaN and Infinity, which Python would read and no other reader takes."""
    raise ValueError(word)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_decoder = json.JSONDecoder(parse_constant=_no_json, parse_float=_finite)


def _structured(payload: dict[str, Any], stream: int, at: float) -> LogEntry:
    severity = _severity(payload)
    timestamp = _timestamp(payload, at)
    labels = _labels(payload)
    trace = _take(payload, _PREFIX + "trace", str, "")
    span_id = _take(payload, _PREFIX + "spanId", str, "")
    sampled = _take(payload, _PREFIX + "trace_sampled", bool, False)
    insert_id = _take(payload, _PREFIX + "insertId", str, "")
    http_request = _take(payload, "httpRequest", dict, None)
    operation = _operation(payload)
    source = _source_location(payload)
    text: str | None = None
    if payload.keys() == {"message"} and isinstance(payload["message"], str):
        text = payload["message"]
    return LogEntry(
        received_at=at,
        timestamp=timestamp,
        stream=stream,
        severity=severity,
        text=text,
        payload=payload if text is None else None,
        labels=labels,
        trace=trace,
        span_id=span_id,
        trace_sampled=sampled,
        insert_id=insert_id,
        http_request=http_request,
        operation=operation,
        source_location=source,
    )


def _take(payload: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = payload.get(key)
    if type(value) is not kind:
        return default
    del payload[key]
    return value


def _severity(payload: dict[str, Any]) -> str:
    value = payload.get("severity")
    if not isinstance(value, str):
        return "DEFAULT"
    word = value.strip().upper()
    word = _ALIASES.get(word, word)
    if word not in SEVERITIES:
        return "DEFAULT"
    del payload["severity"]
    return word


def _timestamp(payload: dict[str, Any], at: float) -> float:
    """The first of ``time``, ``timestamp`` and ``timestampSeconds`` that says a time."""
    for key in ("time", "timestamp"):
        value = payload.get(key)
        instant: float | None = None
        if isinstance(value, str):
            try:
                instant = parse_time(value)
            except ValueError:
                continue
        elif key == "timestamp" and isinstance(value, dict) and value.keys() <= _PARTS:
            instant = _instant(value.get("seconds"), value.get("nanos", 0))
        if instant is not None:
            del payload[key]
            return instant
    instant = _instant(payload.get("timestampSeconds"), payload.get("timestampNanos", 0))
    if instant is None:
        return at
    del payload["timestampSeconds"]
    payload.pop("timestampNanos", None)
    return instant


def _instant(seconds: Any, nanos: Any) -> float | None:
    whole, fraction = _whole(seconds), _whole(nanos)
    if whole is None or fraction is None or not 0 <= fraction < 1_000_000_000:
        return None
    return whole + fraction / 1e9 if 0 <= whole < _YEAR_10000 else None


def _whole(value: Any) -> int | None:
    """A number, or text of one, as JSON writers of 64-bit numbers use."""
    if isinstance(value, str) and len(value) <= 12 and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value if type(value) is int else None


def _labels(payload: dict[str, Any]) -> StringMap:
    value = payload.get(_PREFIX + "labels")
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        return {}
    del payload[_PREFIX + "labels"]
    return value


def _operation(payload: dict[str, Any]) -> Operation | None:
    value = payload.get(_PREFIX + "operation")
    if not isinstance(value, dict) or not _fits(
        value, {"id": str, "producer": str, "first": bool, "last": bool}
    ):
        return None
    del payload[_PREFIX + "operation"]
    return Operation(**value)


def _source_location(payload: dict[str, Any]) -> SourceLocation | None:
    key = _PREFIX + "sourceLocation"
    value = payload.get(key)
    if not isinstance(value, dict):
        return None
    rest = {name: part for name, part in value.items() if name != "line"}
    line = _whole(value.get("line"))
    if not _fits(rest, {"file": str, "function": str}) or ("line" in value and line is None):
        return None
    del payload[key]
    return SourceLocation(line=line, **rest)


def _fits(value: dict[str, Any], kinds: Mapping[str, type]) -> bool:
    return all(type(part) is kinds.get(name) for name, part in value.items())


def entry_as_json(entry: LogEntry) -> dict[str, Any]:
    """The entry with the keys of Cloud Logging's ``LogEntry``; what is not set is left out."""
    shown: dict[str, Any] = {
        "timestamp": format_time(entry.timestamp),
        "receiveTimestamp": format_time(entry.received_at),
        "severity": entry.severity,
    }
    if entry.payload is None:
        shown["textPayload"] = entry.text or ""
    else:
        shown["jsonPayload"] = dict(entry.payload)
    if entry.labels:
        shown["labels"] = dict(entry.labels)
    if entry.trace:
        shown["trace"] = entry.trace
    if entry.span_id:
        shown["spanId"] = entry.span_id
    if entry.trace_sampled:
        shown["traceSampled"] = True
    if entry.insert_id:
        shown["insertId"] = entry.insert_id
    if entry.http_request is not None:
        shown["httpRequest"] = dict(entry.http_request)
    if entry.operation is not None:
        operation = entry.operation
        flags = {"first": operation.first, "last": operation.last}
        texts = {"id": operation.id, "producer": operation.producer}
        shown["operation"] = {key: value for key, value in {**texts, **flags}.items() if value}
    if entry.source_location is not None:
        source = entry.source_location
        parts = {"file": source.file, "function": source.function}
        shown["sourceLocation"] = {key: value for key, value in parts.items() if value}
        if source.line is not None:
            shown["sourceLocation"]["line"] = str(source.line)
    return shown
