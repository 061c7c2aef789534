"""Who a runner is, in a form from which another one on the same machine can tell that it is gone.

``pid 4711 on host (BOOT.NAMESPACE.STARTED.RANDOM)``: readable, unique, and checkable: a process of
this boot and this pid namespace that is not there any more, or was started at another moment, will
never renew a lease again. About runners elsewhere nothing can be told.
"""

from __future__ import annotations

import os
import re
import socket

_FORM = re.compile(r"pid (\d+) on .* \(([0-9a-f]+)\.(\d+)\.(\d+)\.\w+\)")


def boot_id() -> str:
    """The first eight digits of the kernel's boot id; new after each boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read(8)


def pid_namespace() -> str:
    return "".join(c for c in os.readlink("/proc/self/ns/pid") if c.isdigit())


def start_ticks(pid: int) -> int | None:
    """When a living process was started, in ticks since boot; ``None`` for none or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def runner_name(suffix: str) -> str:
    """The name of this process as a runner; ``suffix`` tells two runners of one process apart."""
    pid = os.getpid()
    where = f"{boot_id()}.{pid_namespace()}.{start_ticks(pid)}.{suffix}"
    return f"pid {pid} on {socket.gethostname()} ({where})"


def is_gone(name: str) -> bool:
    """Whether the runner ``name`` surely does not live any more."""
    match = _FORM.fullmatch(name)
    if match is None or match[3] != pid_namespace():
        return False
    if match[2] != boot_id():
        # Another boot of this machine, or another machine: the namespace number cannot tell.
        return False
    pid = int(match[1])
    started = start_ticks(pid)
    return started != int(match[4]) if started is not None else not _is_hidden(pid)


def of_this_boot(name: str) -> bool:
    """Whether ``name`` was given in this boot of this machine."""
    match = _FORM.fullmatch(name)
    return match is not None and match[2] == boot_id()


def _is_hidden(pid: int) -> bool:
    """Whether a process is there that only its own user may look at."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False
