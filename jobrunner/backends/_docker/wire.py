"""Bytes of HTTP/1.1 and of the engine's output streams, read without doing any I/O.

Each reader is fed whatever arrived, however it was split, and gives back what is complete.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from jobrunner.errors import BackendFault

FRAME_HEADER = 8
PARTIAL = 16 * 1024
"""The engine cuts lines that are longer than this when it stores them."""


class BadAnswer(BackendFault):
    """What came over the wire is not what an engine says."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of an answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int | None:
        """Bytes of the body, ``None`` if it is chunked or ends with the connection."""
        if self.status in (204, 304) or 100 <= self.status < 200:
            return 0
        text = self.headers.get("content-length")
        return int(text) if text is not None and text.isdecimal() else None

    @property
    def keeps_alive(self) -> bool:
        framed = self.chunked or self.length is not None
        return framed and self.headers.get("connection", "").lower() != "close"


def parse_head(raw: bytes) -> Head:
    """``raw`` goes up to and with the empty line. Raises BadAnswer."""
    lines = raw.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise BadAnswer(f"The container engine answered with {lines[0][:80]!r}, which is not HTTP.")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return Head(int(words[1]), headers)


class Chunks:
    """Takes the chunked coding off a body. ``done`` is set by the last chunk."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``. Raises BadAnswer."""
        buffer = self._rest + data if self._rest else data
        position, payload = 0, []
        while not self.done:
            if self._left > 2:
                piece = buffer[position : position + self._left - 2]
                payload.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if self._left > 2:
                    break
            if self._left:
                skipped = min(self._left, len(buffer) - position)
                position += skipped
                self._left -= skipped
                if self._left:
                    break
            end = buffer.find(b"\r\n", position)
            if end < 0:
                break
            try:
                size = int(buffer[position:end].split(b";")[0], 16)
            except ValueError:
                raise BadAnswer("The container engine sent a broken chunk.") from None
            if size == 0:
                # The trailer is empty with every engine; the connection is not used again
                # before its last two bytes were taken.
                if len(buffer) < end + 4:
                    break
                position, self.done = end + 4, True
                break
            position = end + 2
            self._left = size + 2
        self._rest = buffer[position:]
        return b"".join(payload)


class Entry(NamedTuple):
    """Bytes of one stream: 1 is standard output, 2 standard error."""

    stream: int
    data: bytes


class Frames:
    """Splits the engine's multiplexed output: eight bytes of header, then the data of a stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Entry]:
        buffer = self._rest + data if self._rest else data
        position, end = 0, len(buffer)
        entries = []
        while end - position >= FRAME_HEADER:
            start = position + FRAME_HEADER
            size = int.from_bytes(buffer[position + 4 : start], "big")
            if end - start < size:
                break
            stream = buffer[position]
            if stream in (1, 2):
                entries.append(Entry(stream, buffer[start : start + size]))
            elif stream == 3:
                text = buffer[start : start + size].decode("utf-8", "replace").strip()
                raise BadAnswer(f"The container engine could not read the output: {text}")
            position = start + size
        self._rest = buffer[position:]
        return entries


class Replay:
    """Turns stored log entries back into the bytes that were written.

    The engine's ``local`` log driver cuts long lines into entries of PARTIAL bytes and loses the
    newline after the last of them; every other line ends in its own. A long line that the task
    itself left without a newline at the very end of its output gets one: the stored form of the
    two is the same.
    """

    def __init__(self) -> None:
        self._cut = {1: False, 2: False}

    def restore(self, stream: int, data: bytes) -> bytes:
        if data.endswith(b"\n"):
            self._cut[stream] = False
        elif len(data) >= PARTIAL:
            self._cut[stream] = True
        elif self._cut[stream]:
            self._cut[stream] = False
            return data + b"\n"
        return data


def split_timestamp(data: bytes) -> tuple[float, bytes]:
    """``2026-01-02T03:04:05.123456789Z text`` → (Unix seconds, ``text``). Raises BadAnswer."""
    stamp, space, text = data.partition(b" ")
    instant = parse_instant(stamp.decode("latin-1")) if space else None
    if instant is None:
        raise BadAnswer("The container engine sent a line of output without its time.")
    return instant, text


def parse_instant(text: str) -> float | None:
    """Unix seconds of an RFC 3339 instant as engines write it; ``None`` for their zero time
    (year 1) and for anything else that is no instant."""
    whole, rest = text[:19], text[19:]
    seconds = _whole_seconds(whole)
    if seconds is None:
        return None
    fraction = 0.0
    if rest.startswith("."):
        digits = len(rest) - len(rest[1:].lstrip("0123456789"))
        fraction = float("0" + rest[:digits]) if digits > 1 else 0.0
        rest = rest[digits:]
    if rest in ("Z", ""):
        return seconds + fraction
    try:
        sign = {"+": -1, "-": 1}[rest[0]]
        return seconds + fraction + sign * (int(rest[1:3]) * 3600 + int(rest[4:6]) * 60)
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=64)
def _whole_seconds(text: str) -> int | None:
    try:
        parsed = time.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    return calendar.timegm(parsed) if parsed.tm_year > 1 else None
