"""Where the output of tasks goes: one class per way of ``--output``."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

from jobrunner.cli.live.screen import STDERR, STDOUT, Screen
from jobrunner.core.records import Attempt, AttemptKey
from jobrunner.errors import RunnerFault
from jobrunner.ports import LogChunk
from jobrunner.service.logs import LineCutter, LogLine


class Sink(Protocol):
    """Gets the chunks of each attempt in order. ``live`` says whether it wants them while the
    attempt runs; else they come in one go after its end."""

    live: bool
    silent: bool
    """Wants nothing at all: logs need not be read."""

    def chunk(self, key: AttemptKey, chunk: LogChunk) -> None: ...

    def end(self, attempt: Attempt) -> None:
        """The attempt has ended and all of its chunks were given."""
        ...


def gap_text(dropped: int) -> bytes:
    return b"... %d bytes of output were dropped here: over the limit per attempt ..." % dropped


class NoSink:
    """``none``: the logs have it."""

    live = False
    silent = True

    def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
        pass

    def end(self, attempt: Attempt) -> None:
        pass


class RawSink:
    """One task: its bytes as they are, each stream to its own."""

    live = True
    silent = False

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
        if chunk.dropped:
            self._screen.write(STDERR, b"jobrunner: " + gap_text(chunk.dropped) + b"\n")
        if chunk.data:
            self._screen.write(chunk.stream, chunk.data)

    def end(self, attempt: Attempt) -> None:
        pass


class PrefixSink:
    """``prefix``: whole lines as they come, led by ``[INDEX] `` (``[INDEX.RETRY] `` in a retry)."""

    live = True
    silent = False

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._cutters: dict[AttemptKey, LineCutter] = {}

    def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
        cutter = self._cutters.get(key)
        if cutter is None:
            cutter = self._cutters[key] = LineCutter(key.index, key.number)
        for line in cutter.feed(chunk):
            self._write(line)

    def end(self, attempt: Attempt) -> None:
        cutter = self._cutters.pop(attempt.key, None)
        if cutter is not None:
            for line in cutter.finish():
                self._write(line)

    def _write(self, line: LogLine) -> None:
        if line.dropped:
            self._screen.write(STDERR, line_prefix(line) + gap_text(line.dropped) + b"\n")
        else:
            self._screen.write(line.stream, line_prefix(line) + line.data + b"\n")


def line_prefix(line: LogLine) -> bytes:
    if line.attempt:
        return b"[%d.%d] " % (line.index, line.attempt)
    return b"[%d] " % line.index


class GroupSink:
    """``group``: the output of an attempt in one piece when it has ended, without a prefix."""

    live = False
    silent = False

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._open_line: dict[int, bool] = {}

    def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
        if chunk.dropped:
            self._screen.write(STDERR, gap_text(chunk.dropped) + b"\n")
        if chunk.data:
            self._screen.write(chunk.stream, chunk.data)
            self._open_line[chunk.stream] = not chunk.data.endswith(b"\n")

    def end(self, attempt: Attempt) -> None:
        for stream, is_open in self._open_line.items():
            if is_open:
                self._screen.write(stream, b"\n")
        self._open_line.clear()


class DirSink:
    """``dir=DIR``: ``INDEX.out`` and ``INDEX.err``; a retry replaces what its forerunner wrote."""

    live = True
    silent = False

    def __init__(self, directory: str) -> None:
        self._directory = directory
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise RunnerFault(
                f"--output: the directory '{directory}' cannot be made: {error.strerror}"
            ) from None
        self._files: dict[AttemptKey, dict[int, BinaryIO]] = {}

    def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
        files = self._opened(key)
        if chunk.dropped:
            files[chunk.stream].write(gap_text(chunk.dropped) + b"\n")
        if chunk.data:
            files[chunk.stream].write(chunk.data)

    def end(self, attempt: Attempt) -> None:
        self._opened(attempt.key)
        for file in self._files.pop(attempt.key).values():
            file.close()

    def _opened(self, key: AttemptKey) -> dict[int, BinaryIO]:
        files = self._files.get(key)
        if files is None:
            base = os.path.join(self._directory, str(key.index))
            files = self._files[key] = {
                STDOUT: open(base + ".out", "wb", buffering=0),  # noqa: SIM115
                STDERR: open(base + ".err", "wb", buffering=0),  # noqa: SIM115
            }
        return files
