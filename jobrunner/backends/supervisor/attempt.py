"""What a supervisor holds in memory: templates of executions, and one record per attempt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobrunner.backends.supervisor.protocol import Exit

if TYPE_CHECKING:
    from jobrunner.backends.supervisor.capture import Stream
    from jobrunner.backends.supervisor.peer import Peer
    from jobrunner.lib.framelog import FrameWriter


def encode_env(env: Mapping[str, str]) -> dict[bytes, bytes]:
    """Encoded once per execution, not once per start."""
    return {os.fsencode(name): os.fsencode(value) for name, value in env.items()}


class Template:
    """What all attempts of an execution share, as the kernel wants it. ``file`` caches what the
    command was found to be."""

    __slots__ = ("argv", "cwd", "env", "execution", "file", "grace", "head", "tail", "timeout")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.execution: str = fields["execution"]
        self.argv: list[bytes] = [os.fsencode(word) for word in fields["argv"]]
        self.env: dict[bytes, bytes] = encode_env(fields["env"])
        self.cwd: str = fields["cwd"]
        self.timeout: float | None = fields["timeout"]
        self.grace: float = fields["grace"]
        self.head: int = fields["head"]
        self.tail: int = fields["tail"]
        self.file: bytes | None = None


class Attempt:
    """A started attempt, until its end is acknowledged.

    ``kill_at`` (monotonic seconds) is set while it is being stopped. ``status`` and ``usage`` are
    known once the main process has ended, ``exit`` once its whole tree has.
    """

    __slots__ = (
        "at", "ended", "err", "exit", "exit_text", "key", "kill_at", "out", "pid", "status",
        "stopped", "template", "ticks", "usage", "watchers", "withdrawn", "writer",
    )  # fmt: skip

    def __init__(
        self, key: str, template: Template, pid: int, ticks: int, at: float,
        writer: FrameWriter, out: Stream, err: Stream,
    ) -> None:  # fmt: skip
        self.key = key
        self.template = template
        self.pid = pid
        self.ticks = ticks
        self.at = at
        self.writer = writer
        self.out = out
        self.err = err
        self.ended = 0.0
        self.kill_at: float | None = None
        self.stopped: str | None = None
        self.status: int | None = None
        self.usage: Any = None
        self.exit: Exit | None = None
        self.exit_text = ""
        self.withdrawn = False
        self.watchers: list[Peer] = []
