"""How much and how long the HTTP face takes, in one value. Seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """``head``: request line and headers, bytes. ``head_seconds``: until they are complete.
    ``body``: bytes; ``body_seconds``: until it is complete. ``calls``: at once; ``connections``:
    at once, of which some may be idle for ``idle_seconds``. ``call_seconds``: until a method has
    answered. ``send_seconds``: until the client has taken a piece of an answer. ``streams``:
    answers without an end (followed logs) at once."""

    head: int = 64 * 1024
    head_seconds: float = 10.0
    body: int = 10 * 1024 * 1024
    body_seconds: float = 30.0
    calls: int = 1000
    call_seconds: float = 120.0
    streams: int = 250
    connections: int = 2000
    idle_seconds: float = 75.0
    send_seconds: float = 30.0

    def with_connections(self, connections: int) -> Limits:
        return replace(self, connections=connections)


DEFAULTS = Limits()
