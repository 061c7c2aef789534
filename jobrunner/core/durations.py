"""Durations as Google's APIs write them: ``"600s"``, with up to nine digits of fraction."""

from __future__ import annotations

import re

from jobrunner.core.documents import Node


def read_duration(node: Node, key: str) -> float | None:
    """Seconds; ``None`` if there is none."""
    value = node.raw(key)
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s", value):
        return float(value[:-1])
    node.wrong(node.at(key), value, 'a duration; write seconds as text, such as "600s"')
    return None


def duration(seconds: float) -> str:
    """With as many digits of fraction as are needed, down to microseconds."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
