"""How an engine's record of a container is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobrunner.backends._docker.wire import parse_instant
from jobrunner.core.records import ExitStatus
from jobrunner.core.states import StopReason
from jobrunner.ports import Running, Sighting, Vanished

SIGNAL_BASE = 128
SIGKILL = 9

FIRST_PROCESS_SIGNALS = frozenset({4, 5, 7, 8, 9, 11, 31})
"""What can end the first process of a container: KILL from outside, and the faults that the kernel
forces on it (ILL, TRAP, BUS, FPE, SEGV, SYS). Every other signal that it does not handle is
ignored, so that 128+N for another N is a number that somebody chose: a shell, a JVM, an init."""

INIT_SIGNALS = FIRST_PROCESS_SIGNALS | {1, 2, 3, 6, 13, 14, 15}
"""With an init in front, the task's own process can be ended by any signal; the init tells by
leaving with 128+N."""

BOOT_SLACK = 5.0


def never_ran(state: Mapping[str, Any]) -> bool:
    return state.get("Status") == "created"


def read_sighting(
    found: Mapping[str, Any],
    *,
    booted_at: float | None = None,
    away_since: float | None = None,
    timeout: float | None = None,
) -> Sighting:
    """``found`` is an inspected container. ``booted_at`` is when the engine's machine was started,
    if that is known. ``away_since`` is set when the engine went away while the container ran: an
    end from then on is the engine's doing or nobody's knowledge, whatever the code says.
    ``timeout`` (seconds) is the attempt's: what lived that long has reached it, however it ended.
    """
    state = found["State"]
    started_at = parse_instant(state.get("StartedAt") or "")
    if state.get("Running") or state.get("Paused") or state.get("Restarting") or never_ran(state):
        return Running(started_at)
    if state.get("Dead") or state.get("Status") in ("removing", "dead"):
        return Vanished("Somebody removes its container.")
    ended_at = parse_instant(state.get("FinishedAt") or "")
    code = int(state.get("ExitCode") or 0)
    if _spans_a_boot(started_at, ended_at, booted_at):
        return Vanished("The machine was started anew while its container ran.")
    if away_since is not None and (ended_at is None or ended_at >= away_since):
        return Vanished(
            "The container engine went away while it ran; the container then ended with code "
            f"{code}."
        )
    host = found.get("HostConfig") or {}
    code_or_none, signal = split_code(code, init=bool(host.get("Init")))
    return ExitStatus(
        code=code_or_none,
        signal=signal,
        oom=bool(state.get("OOMKilled")),
        started_at=started_at,
        ended_at=ended_at,
        stopped=StopReason.TIMEOUT if _reached(timeout, started_at, ended_at) else None,
    )


def _reached(timeout: float | None, started_at: float | None, ended_at: float | None) -> bool:
    if timeout is None or started_at is None or ended_at is None:
        return False
    return ended_at - started_at >= timeout


def split_code(code: int, *, init: bool) -> tuple[int | None, int | None]:
    """An engine's exit code as (code, signal); exactly one of them is set."""
    number = code - SIGNAL_BASE
    if number in (INIT_SIGNALS if init else FIRST_PROCESS_SIGNALS):
        return None, number
    return code, None


def _spans_a_boot(
    started_at: float | None, ended_at: float | None, booted_at: float | None
) -> bool:
    """Nothing lives through a boot: an engine that finds a dead container then makes its end up."""
    if booted_at is None or started_at is None:
        return False
    return started_at < booted_at - BOOT_SLACK and (
        ended_at is None or ended_at >= booted_at - BOOT_SLACK
    )


def machine_booted_at() -> float | None:
    """Unix seconds, or ``None`` where the kernel does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            for line in file:
                if line.startswith("btime "):
                    return float(line.split()[1])
    except (OSError, ValueError):
        pass
    return None
