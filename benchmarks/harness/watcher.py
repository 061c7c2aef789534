"""Runs one command and writes down what it took, itself and everything it left behind.

    python watcher.py RESULT.json SECONDS COMMAND [ARG...]

A process of its own: it is the subreaper of whatever the command starts, so that a supervisor that
outlives its runner is waited for and its CPU time counted. Memory is VmHWM, which (unlike the peak
that wait4 gives) does not hold what the starter had before the exec.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
EVERY_SECONDS = 0.02
SUPERVISOR = b"jobrunner.backends.supervisor"
TICK = 1 / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def is_supervisor(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return SUPERVISOR in file.read()
    except OSError:
        return False


def peak_kb(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def own_cpu(pid: int) -> float:
    """Seconds of the process itself, without its children."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK


class Sampler(threading.Thread):
    """Looks at the command and its supervisor fifty times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.over = threading.Event()
        self.main_kb = self.supervisor_kb = 0
        self.supervisor_cpu = 0.0
        self.supervisor = 0

    def run(self) -> None:
        while not self.over.wait(EVERY_SECONDS):
            self.look()

    def look(self) -> None:
        self.main_kb = max(self.main_kb, peak_kb(self.pid))
        if not self.supervisor:
            candidates = children(self.pid) + children(os.getpid())
            self.supervisor = next(filter(is_supervisor, candidates), 0)
        if self.supervisor:
            self.supervisor_kb = max(self.supervisor_kb, peak_kb(self.supervisor))
            self.supervisor_cpu = max(self.supervisor_cpu, own_cpu(self.supervisor))


def end_all(pid: int) -> None:
    """Kills the command and every process that descends from this one."""
    open_ends = [os.getpid()]
    found = [pid]
    while open_ends:
        below = children(open_ends.pop())
        found += below
        open_ends += below
    for one in found:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue


def main() -> None:
    result, limit, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    sampler = Sampler(pid)
    sampler.start()
    late = threading.Timer(float(limit), end_all, [pid])
    late.daemon = True
    late.start()
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    main_cpu = used.ru_utime + used.ru_stime
    rest_cpu = 0.0
    while True:
        try:
            _, _, more = os.wait4(-1, 0)
        except ChildProcessError:
            break
        rest_cpu += more.ru_utime + more.ru_stime
    gone = time.perf_counter() - began
    sampler.over.set()
    sampler.join()
    document = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "gone": gone,
        "main_cpu": main_cpu,
        "rest_cpu": rest_cpu,
        "main_kb": sampler.main_kb,
        "supervisor_kb": sampler.supervisor_kb,
        "supervisor_cpu": sampler.supervisor_cpu,
        "timed_out": gone >= float(limit),
    }
    with open(result, "w", encoding="utf-8") as file:
        json.dump(document, file)


if __name__ == "__main__":
    main()
