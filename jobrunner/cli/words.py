"""Numbers as people read them."""

from __future__ import annotations

import signal
import time

from jobrunner.core.timestamps import format_time


def plural(count: int, word: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """``0.4s``, ``12.3s``, ``2m5s``, ``1h02m``, ``3d4h``."""
    seconds = max(seconds, 0.0)
    if seconds < 59.95:
        return f"{seconds:.1f}s" if seconds >= 0.095 else f"{seconds * 1000:.0f}ms"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours}h"


def size_text(count: float) -> str:
    """``512 B``, ``1.5 KiB``, ``3.0 GiB``."""
    if count < 1024:
        return f"{count:.0f} B"
    units = ["KiB", "MiB", "GiB", "TiB"]
    count /= 1024
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    return f"{count:.1f} {units[0]}"


def age_text(seconds: float) -> str:
    """How long ago, in one unit: ``45s``, ``12m``, ``3h``, ``9d``."""
    seconds = max(seconds, 0.0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def time_text(at: float) -> str:
    """Local time for people: ``2025-05-01 10:00:00``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def rfc3339(at: float | None) -> str | None:
    """``2025-05-01T10:00:00.123456Z``, the contract's form; ``None`` stays ``None``."""
    return None if at is None else format_time(at)


def signal_text(number: int) -> str:
    """``signal 9 (SIGKILL)``."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
