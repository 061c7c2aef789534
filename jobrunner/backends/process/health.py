"""What this machine offers to plain processes."""

from __future__ import annotations

import os
import re
import resource
import tempfile

from jobrunner.ports import Health

OLDEST_KERNEL = (5, 4)


def examine(home: str) -> Health:
    """Looks at the kernel, /proc, the home and the limits. Never raises."""
    facts = {
        "kernel": os.uname().release,
        "open files": _limit(resource.RLIMIT_NOFILE),
        "processes": _limit(resource.RLIMIT_NPROC),
        "isolation": "none: processes run as the runner's user; cpu and memory limits do not apply",
    }
    for problem, hint in filter(None, (_kernel(), _proc(), _home(home))):
        return Health(False, problem, hint, facts)
    return Health(True, "plain processes can run here", facts=facts)


def _limit(which: int) -> str:
    soft, hard = (
        "unlimited" if value == resource.RLIM_INFINITY else str(value)
        for value in resource.getrlimit(which)
    )
    return soft if soft == hard else f"{soft} (at most {hard})"


def _kernel() -> tuple[str, str] | None:
    system, release = os.uname().sysname, os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    old = numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_KERNEL
    if system == "Linux" and not old and hasattr(os, "pidfd_open"):
        return None
    return (
        f"plain processes need Linux 5.4 or later with pidfd; this is {system} {release}",
        "run containers instead: give the job an image",
    )


def _proc() -> tuple[str, str] | None:
    if os.path.exists("/proc/self/environ") and os.path.exists("/proc/self/fd"):
        return None
    return "/proc is not mounted", "mount it: mount -t proc proc /proc"


def _home(home: str) -> tuple[str, str] | None:
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return None
    except OSError as error:
        return (
            f"the home {home} cannot be written: {error.strerror}",
            "check its owner and mode, or name another one: JOBRUNNER_HOME",
        )
