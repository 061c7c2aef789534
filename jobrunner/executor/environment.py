"""What a task finds in its environment. Precedence: base < template < injected."""

from __future__ import annotations

import os
from collections.abc import Mapping

from jobrunner.core.records import AttemptKey, Execution

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR")


def clean_base(env: Mapping[str, str]) -> dict[str, str]:
    """The small environment a stored job's process starts from: the same from a terminal, from
    cron and from a service manager. ``env`` is the runner's own."""
    base = {name: env[name] for name in KEPT if name in env}
    base.setdefault("HOME", os.path.expanduser("~"))
    base.setdefault("LANG", "C.UTF-8")
    base["PATH"] = DEFAULT_PATH
    return base


def shared_injected(execution: Execution) -> dict[str, str]:
    """Contract §2.7, the part that all tasks of an execution share."""
    return {
        "CLOUD_RUN_JOB": execution.job_name,
        "CLOUD_RUN_EXECUTION": execution.name,
        "CLOUD_RUN_TASK_COUNT": str(execution.env_task_count),
    }


def attempt_injected(key: AttemptKey) -> dict[str, str]:
    """Contract §2.7, the part of one attempt."""
    return {
        "CLOUD_RUN_TASK_INDEX": str(key.index),
        "CLOUD_RUN_TASK_ATTEMPT": str(key.number),
    }
