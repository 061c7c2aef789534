"""Where things are written: two streams of bytes, and on a terminal one line that is redrawn.

The block is erased before anything else is written to a terminal and drawn again afterwards, so
the output of tasks scrolls above it and is never torn. A stream whose reader went away swallows
the rest.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, TextIO

STDOUT, STDERR = 1, 2
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
FALLBACK_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal can do. ``live`` says that a line may be redrawn on standard error."""

    live: bool
    colour: bool
    unicode: bool
    stdout_is_terminal: bool


def look_at(env: Mapping[str, str]) -> Look:
    """From the streams and ``TERM`` and ``NO_COLOR``."""
    term = env.get("TERM", "")
    live = _is_terminal(sys.stderr) and term not in ("", "dumb") and in_foreground(sys.stderr)
    encoding = (getattr(sys.stderr, "encoding", "") or "").lower().replace("-", "")
    return Look(
        live=live,
        colour=live and not env.get("NO_COLOR"),
        unicode=encoding == "utf8",
        stdout_is_terminal=_is_terminal(sys.stdout),
    )


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    try:
        return bool(isatty and isatty())
    except ValueError:
        return False


def in_foreground(stream: BinaryIO | TextIO) -> bool:
    """Whether the terminal behind ``stream`` is ours to draw on: one in the background (``&``) must
    not draw where its user types. A terminal that does not control us is."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True


class Screen:
    """Writes bytes to the two standard streams in the order given. Used by one thread at a time."""

    def __init__(self, out: BinaryIO, err: BinaryIO, look: Look) -> None:
        self._streams: dict[int, BinaryIO] = {STDOUT: out, STDERR: err}
        self._gone: set[int] = set()
        self._dirty: set[int] = set()
        self._last = 0
        self._block = ""
        self._drawn = ""
        self.look = look

    def write(self, stream: int, data: bytes) -> None:
        """Bytes for standard output (1) or error (2); buffered until :meth:`flush`."""
        if stream in self._gone:
            return
        if self._drawn and (stream == STDERR or self.look.stdout_is_terminal):
            self._erase()
        if self._last != stream:
            # Both may be the same terminal or file: what came first is to be seen first.
            self.flush()
            self._last = stream
        self._put(stream, data)

    def say(self, text: str) -> None:
        """A line of talk on standard error."""
        self.write(STDERR, text.encode("utf-8", "replace") + b"\n")

    def show(self, line: str) -> None:
        """Redraws the block; the empty line removes it. Nothing happens off a terminal."""
        if not self.look.live:
            return
        if line == self._drawn:
            return
        if line and not in_foreground(self._streams[STDERR]):
            return
        if self._drawn:
            self._erase()
        if line:
            self.flush()
            self._put(STDERR, line.encode("utf-8", "replace"))
            self._last = STDERR
            self._drawn = line
        self.flush()

    def _erase(self) -> None:
        # After the window became narrower, the terminal may have wrapped the line.
        columns = max(self.width(), 1)
        rows = max(-(-len(_COLOUR_CODES.sub("", self._drawn)) // columns), 1)
        self._drawn = ""
        self.flush()
        self._put(STDERR, b"\r\x1b[K" + b"\x1b[1A\x1b[K" * (rows - 1))
        self._last = STDERR

    def width(self) -> int:
        """Columns of the terminal now."""
        try:
            return os.get_terminal_size(self._streams[STDERR].fileno()).columns or FALLBACK_WIDTH
        except (OSError, ValueError):
            return FALLBACK_WIDTH

    def _put(self, stream: int, data: bytes) -> None:
        if stream in self._gone:
            return
        try:
            self._streams[stream].write(data)
        except BrokenPipeError:
            self._give_up(stream)
        else:
            self._dirty.add(stream)

    def flush(self) -> None:
        for stream in list(self._dirty):
            self._dirty.discard(stream)
            try:
                self._streams[stream].flush()
            except BrokenPipeError:
                self._give_up(stream)

    def _give_up(self, stream: int) -> None:
        """The reader went away (``… | head``): the tasks carry on, and their logs hold it all."""
        self._gone.add(stream)
        self._dirty.discard(stream)
        from jobrunner.cli.guard import silence

        silence(self._streams[stream])
