"""What a runner costs that waits for one long task."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from harness.context import Context
from harness.measure import Failed
from harness.product import Homes, command_line, environment, shown
from harness.report import Report, limit_row
from harness.watcher import children, is_supervisor, own_cpu

SECONDS = 20.0
SETTLE_SECONDS = 1.0
READY_SECONDS = 30.0
LIMIT_PERCENT = 1.0
SLEEP = ("/bin/sleep", "600")


def run(context: Context) -> Report:
    with Homes() as homes:
        runner, supervisor = look(homes, context)
    rows = [
        limit_row("runner", [runner], LIMIT_PERCENT, "% of a core"),
        limit_row("supervisor", [supervisor], LIMIT_PERCENT, "% of a core"),
    ]
    return Report(
        "idle",
        f"one task that sleeps, {SECONDS:.0f} s long",
        rows,
        commands=[shown(command_line(1, 1, SLEEP))],
    )


def look(homes: Homes, context: Context) -> tuple[float, float]:
    """Percent of a core, of the runner and of its supervisor."""
    home = homes.fresh()
    process = subprocess.Popen(
        command_line(1, 1, SLEEP), env={**os.environ, **environment(home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        supervisor = find_supervisor(process, str(home))
        time.sleep(SETTLE_SECONDS)
        before = cpu(process.pid), cpu(supervisor)
        context.tell(f"watching for {SECONDS:.0f} s")
        time.sleep(SECONDS)
        after = cpu(process.pid), cpu(supervisor)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    percent = [100 * (b - a) / SECONDS for a, b in zip(before, after, strict=True)]
    return percent[0], percent[1]


def cpu(pid: int) -> float:
    """Seconds; finer than a clock tick where the kernel tells."""
    try:
        total = 0
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                total += int(file.read().split()[0])
        return total / 1e9
    except (OSError, ValueError, IndexError):
        return own_cpu(pid)


def find_supervisor(runner: subprocess.Popen[bytes], home: str) -> int:
    """The supervisor of ``home``, once it has a child."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if runner.poll() is not None:
            raise Failed(f"the runner ended with {runner.returncode}")
        for name in os.listdir("/proc"):
            if name.isdigit() and is_supervisor(int(name)) and children(int(name)):
                with open(f"/proc/{name}/cmdline", "rb") as words:
                    line = words.read()
                with open(f"/proc/{name}/environ", "rb") as variables:
                    if home.encode() in variables.read() + line:
                        return int(name)
        time.sleep(0.05)
    raise Failed(f"no supervisor runs a task after {READY_SECONDS:.0f} s")
