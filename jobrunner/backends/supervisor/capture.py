"""One attempt's output: two pipes, read without blocking, into one log."""

from __future__ import annotations

import os
import select
import time

from jobrunner.lib.framelog import FrameWriter

CHUNK = 64 * 1024
DRAIN_BYTES = 2 * 1024 * 1024
"""The most that can be left in a pipe at the end: twice its largest size without privilege."""


class Stream:
    """The read end of one pipe. ``number`` is 1 (standard output) or 2 (standard error)."""

    __slots__ = ("fd", "number", "watched", "writer")

    def __init__(self, fd: int, number: int, writer: FrameWriter) -> None:
        self.fd = fd
        self.number = number
        self.writer = writer
        self.watched = False

    def pump(self) -> bool:
        """Reads once. False at the end of the stream."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        self.writer.write(time.time(), self.number, data)
        return True

    def drain(self) -> None:
        """Reads what is left, without waiting for the end: a stranger may hold the other side."""
        left = DRAIN_BYTES
        while left > 0:
            try:
                data = os.read(self.fd, CHUNK)
            except BlockingIOError:
                return
            if not data:
                return
            self.writer.write(time.time(), self.number, data)
            left -= len(data)


class Watch:
    """Which streams the loop listens to.

    A stream is listened to only after its attempt has lived for a moment: a task of a millisecond
    is read once, at its end, and costs no registration and no wake-up.
    """

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self.by_fd: dict[int, Stream] = {}

    def add(self, stream: Stream) -> None:
        self._poll.register(stream.fd, select.EPOLLIN)
        self.by_fd[stream.fd] = stream
        stream.watched = True

    def close(self, stream: Stream) -> None:
        if stream.fd < 0:
            return
        if stream.watched:
            # Before the close: a child between its birth and its exec still holds a copy, with
            # which the registration would live on under a number that is soon somebody else's.
            self._poll.unregister(stream.fd)
            del self.by_fd[stream.fd]
            stream.watched = False
        os.close(stream.fd)
        stream.fd = -1
