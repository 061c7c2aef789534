"""What a runner and a supervisor say to each other over the private socket.

A frame is ``>I`` (length) and a JSON array of messages; a message is an array whose first item is
one of the words below. Each side sends at most one frame per turn of its loop, so many requests
and answers share one system call. The first message of each side is ``hello``.

=========== =============================================== ==================================
 request     items                                           answer
=========== =============================================== ==================================
 hello       version                                         hello version, or refused text
 template    number, fields                                  none
 drop        number                                          none
 spawn       number, key, env, log, lease                    started or failed; later exited
 watch       keys                                            exited at once or later; unknown
 stop        key, grace                                      none
 withdraw    key                                             none
 look        tag, keys or null (all)                         seen tag, sightings
 ack         keys                                            none
 fence       tag, execution, lease                           fenced tag
=========== =============================================== ==================================

Answers: ``started key pid ticks at``, ``failed key permanent reason message``, ``exited`` + the
items of :class:`Exit`, ``seen tag [[key pid ticks at exit-or-null] …]``, ``fenced tag``,
``unknown key``, ``refused text``. Instants are Unix seconds, durations seconds, sizes bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as quote
from typing import NamedTuple

VERSION = 1
LENGTH = struct.Struct(">I")
MAX_FRAME = 64 * 1024 * 1024

HELLO = "hello"
TEMPLATE = "template"
DROP = "drop"
SPAWN = "spawn"
WATCH = "watch"
STOP = "stop"
WITHDRAW = "withdraw"
LOOK = "look"
ACK = "ack"
FENCE = "fence"
STARTED = "started"
FAILED = "failed"
EXITED = "exited"
SEEN = "seen"
FENCED = "fenced"
UNKNOWN = "unknown"
REFUSED = "refused"

TIMEOUT = "timeout"
"""The only reason for which a supervisor ends an attempt by itself."""


class SupervisorFault(Exception):
    """Something is wrong between a runner and a supervisor; one sentence for people."""


class Exit(NamedTuple):
    """How an attempt ended. Exactly one of ``code`` and ``signal`` is set. ``output`` counts the
    bytes written by the attempt, ``lost`` those of them that could not be stored (disk full)."""

    key: str
    code: int | None
    signal: int | None
    user: float
    system: float
    max_rss: int
    started: float
    ended: float
    stopped: str | None
    output: int
    lost: int

    def text(self) -> str:
        """As a JSON array. Written by hand: three documents per task are a tenth of our time."""
        return (
            f"[{quote(self.key)},{_number(self.code)},{_number(self.signal)},{self.user!r},"
            f"{self.system!r},{self.max_rss},{self.started!r},{self.ended!r},"
            f"{quote(self.stopped) if self.stopped else 'null'},{self.output},{self.lost}]"
        )


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def started_text(key: str, pid: int, ticks: int, at: float) -> str:
    """A whole ``started`` message as JSON."""
    return f'["{STARTED}",{quote(key)},{pid},{ticks},{at!r}]'


def exited_text(exit_text: str) -> str:
    """A whole ``exited`` message around the text of an :class:`Exit`."""
    return f'["{EXITED}",{exit_text[1:]}'


class Inbox:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields each complete body. Raises SupervisorFault for a length beyond all reason."""
        rest = self._rest + data if self._rest else data
        at, end = 0, len(rest)
        while end - at >= 4:
            (length,) = LENGTH.unpack_from(rest, at)
            if length > MAX_FRAME:
                raise SupervisorFault(f"a frame of {length} bytes; at most {MAX_FRAME} are allowed")
            if end - at - 4 < length:
                break
            yield rest[at + 4 : at + 4 + length]
            at += 4 + length
        self._rest = rest[at:]
