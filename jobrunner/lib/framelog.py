"""The file format of one attempt's output: timed chunks of two streams, bounded in size.

``BASE.log`` holds the first ``head`` bytes of output; when it is full, ``BASE.t1``, ``BASE.t2``, …
follow, each of half the tail's size, and the oldest is removed when a fourth is begun: at least the
last ``tail`` bytes stay, the disk is bounded, memory is not used at all. Nothing is created before
the first byte of output. ``BASE.t1`` is emptied instead of removed: while it is missing a reader
knows, without listing a directory that may hold the logs of 10,000 tasks, that there is no tail.

A frame is ``>dBI`` (Unix seconds, stream, length) and its bytes. Streams are 1 (standard output)
and 2 (standard error); stream 0 opens a tail file and carries ``>Q``, the number of output bytes
that came before it, from which a reader tells how many are missing. A torn last frame is ignored.
Standard library only: the supervisor process writes these files too.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct(">dBI")
OFFSET = struct.Struct(">Q")
HEAD_SUFFIX = ".log"
MARK = 0
KEPT_SEGMENTS = 3


class Frame(NamedTuple):
    """``stream`` 1 or 2 with ``data``; ``dropped`` bytes are missing right before it."""

    at: float
    stream: int
    data: bytes
    dropped: int = 0


class FrameWriter:
    """Appends frames. Not safe for use by two writers at once.

    A write error (disk full) loses output, never the task: it is counted in ``lost`` and the
    file stays readable. ``written`` counts all output bytes offered.
    """

    def __init__(self, base: str, *, head: int, tail: int) -> None:
        self._base = base
        self._head = head
        self._segment_size = max(tail // 2, 1)
        self._fd = -1
        self._segment = 0
        self._used = 0
        self.written = 0
        self.lost = 0

    def write(self, at: float, stream: int, data: bytes) -> None:
        try:
            self._write(at, stream, data)
        except OSError:
            self.lost += len(data)
        self.written += len(data)

    def _write(self, at: float, stream: int, data: bytes) -> None:
        if self._fd < 0:
            self._fd = self._open(self._base + HEAD_SUFFIX)
        elif self._used >= (self._segment_size if self._segment else self._head):
            self._next_segment(at)
        frame = HEADER.pack(at, stream, len(data)) + data
        done = os.write(self._fd, frame)
        if done != len(frame):
            size = os.fstat(self._fd).st_size
            os.ftruncate(self._fd, size - done)
            raise OSError("short write")
        self._used += len(data)

    def _next_segment(self, at: float) -> None:
        fd = self._open(f"{self._base}.t{self._segment + 1}")
        os.write(fd, HEADER.pack(at, MARK, OFFSET.size) + OFFSET.pack(self.written))
        os.close(self._fd)
        self._fd = fd
        self._segment += 1
        self._used = 0
        oldest = self._segment - KEPT_SEGMENTS
        if oldest == 1:
            os.truncate(f"{self._base}.t1", 0)
        elif oldest > 1:
            os.unlink(f"{self._base}.t{oldest}")

    @staticmethod
    def _open(path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FrameReader:
    """Reads what is there, and, called again, what came since: good for following a live file.

    A log that was written anew from its beginning (a container's, by the runner that adopted it)
    is read from its beginning too, and what was yielded of each stream before is left out.
    ``place`` is what :meth:`place` of an earlier reader of this log said: reading goes on there.
    Raises ValueError for other text.
    """

    def __init__(self, base: str, place: str = "") -> None:
        self._base = base
        numbers, _, first = (place or "0 0 0 0 0 0 0:").partition(":")
        self._segment, self._position, self._seen, *streams = map(int, numbers.split())
        if len(streams) != 4 or "-" in numbers:
            raise ValueError(f"not a place in a log: {place!r}")
        self._first = bytes.fromhex(first)
        self._yielded = {1: streams[0], 2: streams[1]}
        self._skip = {1: streams[2], 2: streams[3]}

    def place(self) -> str:
        """Where reading stands, as text: after the last frame that :meth:`read` has yielded, even
        if it was left there."""
        numbers = (
            self._segment,
            self._position,
            self._seen,
            *self._yielded.values(),
            *self._skip.values(),
        )
        return f"{' '.join(map(str, numbers))}:{self._first.hex()}"

    def read(self) -> Iterator[Frame]:
        """Yields every complete frame not yielded before, in the order of writing."""
        self._notice_rewriting()
        while True:
            yield from self._read_file()
            following = self._following_segment()
            if following is None:
                return
            # A frame may have been completed between our last read and the birth of its successor.
            yield from self._read_file()
            self._segment, self._position = following, 0

    def _notice_rewriting(self) -> None:
        try:
            with open(self._base + HEAD_SUFFIX, "rb") as file:
                first = file.read(HEADER.size)
        except FileNotFoundError:
            return
        if len(first) < HEADER.size or first == self._first:
            return
        if self._first:
            self._segment = self._position = self._seen = 0
            self._skip = dict(self._yielded)
        self._first = first

    def _path(self) -> str:
        return self._base + (f".t{self._segment}" if self._segment else HEAD_SUFFIX)

    def _following_segment(self) -> int | None:
        if self._segment == 0:
            if not os.path.exists(f"{self._base}.t1"):
                return None
        elif self._segment > 1:
            following = self._segment + 1
            if os.path.exists(f"{self._base}.t{following}"):
                return following
            if os.path.exists(self._path()):
                return None
        folder, name = os.path.split(self._base)
        prefix = name + ".t"
        try:
            found = [
                int(entry[len(prefix) :])
                for entry in os.listdir(folder or ".")
                if entry.startswith(prefix) and entry[len(prefix) :].isdigit()
            ]
        except FileNotFoundError:
            return None
        later = [number for number in found if number > self._segment]
        return min(later, default=None)

    def _read_file(self) -> Iterator[Frame]:
        try:
            file = open(self._path(), "rb")  # noqa: SIM115  # missing is no error, reading is
        except FileNotFoundError:
            return
        with file:
            file.seek(self._position)
            while True:
                header = file.read(HEADER.size)
                if len(header) < HEADER.size:
                    return
                at, stream, length = HEADER.unpack(header)
                data = file.read(length)
                if len(data) < length:
                    return
                self._position += HEADER.size + length
                if stream == MARK and length == OFFSET.size:
                    offset = OFFSET.unpack(data)[0]
                    if offset > self._seen and not any(self._skip.values()):
                        missing, self._seen = offset - self._seen, offset
                        yield Frame(at, 1, b"", dropped=missing)
                    continue
                if stream not in self._skip:
                    # Not a frame of ours: what follows cannot be told apart any more.
                    return
                self._seen += length
                known = min(self._skip[stream], length)
                if known:
                    self._skip[stream] -= known
                    data = data[known:]
                if data or not length:
                    self._yielded[stream] += len(data)
                    yield Frame(at, stream, data)


def read_frames(base: str) -> Iterator[Frame]:
    """Every frame of a log, from the beginning. Nothing for a log that does not exist."""
    return FrameReader(base).read()


def remove(base: str) -> None:
    """Deletes the files of a log. Nothing happens where there are none."""
    folder, name = os.path.split(base)
    for entry in os.listdir(folder):
        if entry == name + HEAD_SUFFIX or entry.startswith(name + ".t"):
            os.unlink(os.path.join(folder, entry))
