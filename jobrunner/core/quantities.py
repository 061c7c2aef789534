"""Amounts as people write them: memory (``512Mi``), cpu (``1000m``), durations (``10m5s``).

Parsers raise ValueError with a sentence that names the value and the allowed form.
"""

from __future__ import annotations

import re

MAX_MEMORY = 2**63 - 1
MAX_CPUS = 100_000

_UNITS: dict[str, int] = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_SECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def parse_memory(text: str) -> int:
    """Bytes of ``512Mi``, ``1.5Gi``, ``500M`` or ``1048576``; a broken byte is rounded up."""
    match = re.fullmatch(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?([kKMGTPE]i?)?", text)
    unit = _UNITS.get(match[3] or "") if match else None
    if match is None or unit is None:
        raise ValueError(f"'{text}' is not an amount of memory; write it as 512Mi, 2Gi or 500M")
    fraction = match[2] or ""
    scale: int = 10 ** len(fraction)
    size = -(-int(match[1] + fraction) * unit // scale)
    if not 0 < size <= MAX_MEMORY:
        raise ValueError(f"'{text}' is out of range; memory is more than 0 and less than 8Ei")
    return size


def format_memory(size: int) -> str:
    """The shortest exact form of ``size`` bytes in binary units: ``512Mi``."""
    for unit in _BINARY:
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def parse_cpu(text: str) -> float:
    """CPUs of ``1000m``, ``2`` or ``0.5``; steps of 0.001."""
    match = re.fullmatch(r"([0-9]{1,9})m|([0-9]{1,6})(?:\.([0-9]{1,3}))?", text)
    if match is None:
        raise ValueError(f"'{text}' is not an amount of cpu; write it as 1, 0.5 or 1000m")
    if match[1]:
        milli = int(match[1])
    else:
        milli = int(match[2]) * 1000 + int((match[3] or "").ljust(3, "0"))
    if not 0 < milli <= MAX_CPUS * 1000:
        raise ValueError(f"'{text}' is out of range; cpu is more than 0 and at most {MAX_CPUS}")
    return milli / 1000


def format_cpu(cpus: float) -> str:
    """The contract's form: ``1000m``."""
    return f"{round(cpus * 1000)}m"


def parse_duration(text: str) -> float:
    """Seconds of ``10m5s``, ``1.5h``, ``2d``, ``500ms``, ``600s`` or plain ``600``."""
    stripped = text.strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", stripped):
        return float(stripped)
    parts = re.findall(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|[dhms])", stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(f"'{text}' is not a duration; write it as 90, 90s, 10m5s, 1h or 2d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) / 1000


def format_duration(seconds: float) -> str:
    """What :func:`parse_duration` reads as ``seconds``, to the millisecond: ``1h5s``, ``0.5s``."""
    milli = round(seconds * 1000)
    if milli == 0:
        return "0s"
    text = ""
    for unit in ("d", "h", "m"):
        count, milli = divmod(milli, _SECONDS[unit])
        text += f"{count}{unit}" if count else ""
    if milli:
        whole, rest = divmod(milli, 1000)
        fraction = f".{rest:03d}".rstrip("0") if rest else ""
        text += f"{whole}{fraction}s"
    return text
