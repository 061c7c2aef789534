"""Durations as the contract words them in messages: ``56.03s``, ``2m29.63s``, ``1h0m3.5s``."""

from __future__ import annotations


def elapsed_text(seconds: float) -> str:
    """Hours, minutes and seconds with at most two decimals, trailing zeros cut. A negative span
    (a clock that was set back) reads as ``0s``."""
    hundredths = max(0, round(seconds * 100))
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    whole, fraction = divmod(rest, 100)
    text = f"{whole}.{fraction:02d}".rstrip("0").rstrip(".") if fraction else str(whole)
    if hours:
        return f"{hours}h{minutes}m{text}s"
    return f"{minutes}m{text}s" if minutes else f"{text}s"
