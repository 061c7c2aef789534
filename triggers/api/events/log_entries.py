"""Entries of an audit log that come in as they are, without being an event: LogEntry in JSON, one,
a list, or what ``entries:write`` of Cloud Logging takes."""

from __future__ import annotations

from collections.abc import Sequence

from triggers.core.cloudevents.decode import MAX_EVENTS
from triggers.core.cloudevents.jsontext import read_json
from triggers.core.events import CloudEvent
from triggers.core.google_events import from_audit_entry, is_audit_entry
from triggers.errors import InvalidEvent


def read_entries(headers: Sequence[tuple[str, str]], body: bytes) -> list[CloudEvent] | None:
    """``None`` for what is something else. Raises InvalidEvent."""
    if b'"protoPayload"' not in body:
        return None
    types = [value for name, value in headers if name.lower() == "content-type"]
    plain = types and types[0].partition(";")[0].strip().lower() == "application/json"
    if not plain or any(name.lower().startswith("ce-") for name, _ in headers):
        return None
    try:
        found = read_json(body.decode())
    except ValueError:
        return None
    if isinstance(found, dict) and "entries" in found:
        found = found["entries"]
    entries = found if isinstance(found, list) else [found]
    if not entries or not all(is_audit_entry(entry) for entry in entries):
        return None
    if len(entries) > MAX_EVENTS:
        raise InvalidEvent(f"{len(entries)} entries are too many; allowed: {MAX_EVENTS}")
    return [from_audit_entry(entry) for entry in entries]
