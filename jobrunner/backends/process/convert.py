"""Between the words of the ports and those of the supervisor's protocol."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from jobrunner.backends.supervisor.protocol import TIMEOUT
from jobrunner.core.records import ExitStatus, Usage
from jobrunner.core.states import StopReason
from jobrunner.errors import LaunchFailed
from jobrunner.ports import LaunchTemplate

log = logging.getLogger("jobrunner.process")


def exit_status(items: Sequence[Any]) -> ExitStatus:
    """From the items of a :class:`~jobrunner.backends.supervisor.protocol.Exit`."""
    key, code, signal, user, system, max_rss, started, ended, stopped, output, lost = items
    if lost:
        _, task, number = key.rsplit("/", 2)
        log.warning("task %s, attempt %s: %d bytes of output were not stored", task, number, lost)
    return ExitStatus(
        code=code,
        signal=signal,
        started_at=started,
        ended_at=ended,
        usage=Usage(user, system, max_rss),
        stopped=StopReason.TIMEOUT if stopped == TIMEOUT else None,
        output=output,
    )


def template_fields(template: LaunchTemplate, cwd: str) -> dict[str, object]:
    """The fields of a ``template`` request. ``cwd`` is where processes without a directory of
    their own run. Raises LaunchFailed for what a process cannot have."""
    argv = [*template.command, *template.args]
    if not argv:
        raise LaunchFailed(
            "there is no command to run: a process needs one",
            permanent=True,
            reason="CommandMissing",
        )
    if template.secret_files or template.tmpfs or template.binds:
        raise LaunchFailed(
            "volumes need an image: a plain process sees the files of the machine and nothing else",
            permanent=True,
            reason="VolumesNeedAnImage",
        )
    return {
        "execution": template.execution,
        "argv": argv,
        "env": dict(template.env),
        "cwd": template.working_dir or cwd,
        "timeout": template.timeout,
        "grace": template.grace,
        "head": template.log_limits.head,
        "tail": template.log_limits.tail,
    }
