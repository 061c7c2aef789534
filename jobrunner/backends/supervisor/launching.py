"""Starting one attempt: limits, working directory, command, pipes, birth."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from jobrunner.backends.supervisor import program
from jobrunner.backends.supervisor.attempt import Attempt, Template, encode_env
from jobrunner.backends.supervisor.capture import Stream
from jobrunner.backends.supervisor.limits import OpenFiles
from jobrunner.backends.supervisor.procfs import MARK, TICKS_PER_SECOND
from jobrunner.backends.supervisor.program import Refusal
from jobrunner.lib.framelog import FrameWriter

FILES_PER_ATTEMPT = 3
SPARE_FILES = 32
PARK = "/"


class Launcher:
    """``mark_prefix`` is what precedes the key in every child's mark."""

    def __init__(self, mark_prefix: str) -> None:
        self._mark_prefix = mark_prefix.encode()
        self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._low = (os.dup(self._null), os.dup(self._null))
        self._files = OpenFiles()
        self._room = self._files.caller - SPARE_FILES
        self._cwd = PARK

    def launch(
        self, key: str, template: Template, env: Mapping[str, str], log: str, living: int
    ) -> Attempt | Refusal:
        """Starts a process. ``living`` is how many attempts hold descriptors now."""
        if living * FILES_PER_ATTEMPT >= self._room and self._files.raise_limit():
            self._room = self._files.mine - SPARE_FILES
        if living * FILES_PER_ATTEMPT >= self._room:
            return program.too_many_files(template.argv[0])
        if template.cwd != self._cwd:
            refusal = program.enter(template.cwd)
            if refusal is not None:
                return refusal
            self._cwd = template.cwd
        full = template.env.copy()
        if env:
            full.update(encode_env(env))
        full[MARK] = self._mark_prefix + key.encode()
        try:
            out, out_end = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            return program.explain(error, template.argv[0], 0)
        try:
            err, err_end = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            os.close(out)
            os.close(out_end)
            return program.explain(error, template.argv[0], 0)
        ticks = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_SECOND)
        pid = self._spawn(template, full, out_end, err_end)
        os.close(out_end)
        os.close(err_end)
        if isinstance(pid, Refusal):
            os.close(out)
            os.close(err)
            return pid
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        writer = FrameWriter(log, head=template.head, tail=template.tail)
        return Attempt(
            key, template, pid, ticks, time.time(),
            writer, Stream(out, 1, writer), Stream(err, 2, writer),
        )  # fmt: skip

    def park(self) -> None:
        """After a batch of starts: no directory of a user is held."""
        if self._cwd != PARK:
            os.chdir(PARK)
            self._cwd = PARK

    def _spawn(
        self, template: Template, env: dict[bytes, bytes], out: int, err: int
    ) -> int | Refusal:
        file = template.file
        if file is None:
            found = program.find(template.argv[0], env)
            if isinstance(found, Refusal):
                return found
            file = template.file = found
        lowered = self._files.raised
        if lowered:
            # The C library refuses to hand on a number that is beyond the limit it finds.
            out, err = os.dup2(out, self._low[0], False), os.dup2(err, self._low[1], False)
            self._files.as_the_caller()
        actions = (
            (os.POSIX_SPAWN_DUP2, self._null, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, err, 2),
        )
        try:
            # No signal needs a default here: main.py gave all of them theirs.
            return os.posix_spawn(
                file, template.argv, env, file_actions=actions, setsid=True, setsigmask=()
            )
        except (OSError, ValueError) as error:
            template.file = None
            return program.explain(error, file, program.size_of(file, template.argv, env))
        finally:
            if lowered:
                self._files.as_myself()
                for number in self._low:
                    os.dup2(self._null, number, False)
