"""Path patterns of Eventarc's ``match-path-pattern``.

``*`` is any run of characters within one segment, ``**`` zero or more whole segments. ``{name}``
and ``{name=*}`` keep one segment, ``{name=**}`` any number, by that name. One leading slash does
not count, on either side. Everything else stands for itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from jobrunner.errors import InvalidSpec, Violation
from triggers.core.cron import show

MAX_PATTERN = 2048
"""Characters."""

_CAPTURE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:=(\*\*?))?\}")


@dataclass(frozen=True, slots=True)
class Segment:
    """``pieces`` are what stands between the stars: one is a literal. ``many`` is ``**``. ``name``
    is of the capture, empty for none."""

    pieces: tuple[str, ...] = ("",)
    many: bool = False
    name: str = ""


PathPattern = tuple[Segment, ...]


@lru_cache(maxsize=1024)
def parse_path_pattern(text: str, field: str = "value") -> PathPattern:
    """Raises InvalidSpec."""
    if len(text) > MAX_PATTERN:
        problem = f"{len(text)} characters are too many; allowed: at most {MAX_PATTERN}"
        raise InvalidSpec([Violation(field, problem)])
    segments: list[Segment] = []
    for part in text.removeprefix("/").split("/"):
        segment, problem = _segment(part)
        if not problem and segment.name and segment.name in {one.name for one in segments}:
            problem = f"'{{{segment.name}}}' is there twice"
        if problem:
            raise InvalidSpec(
                [Violation(field, f"'{show(text)}' is not a path pattern: {problem}")]
            )
        segments.append(segment)
    return tuple(segments)


def match_path(pattern: PathPattern, text: str) -> dict[str, str] | None:
    """What was kept by name; ``None`` if it does not match. Takes time in proportion to the
    segments of both; ``**`` takes as many as it can."""
    parts = text.removeprefix("/").split("/")
    table = _reachable(pattern, parts)
    if not table[0][0]:
        return None
    kept: dict[str, str] = {}
    at = 0
    for place, segment in enumerate(pattern):
        end = at + 1
        if segment.many:
            end = max(n for n in range(at, len(parts) + 1) if table[place + 1][n])
        if segment.name:
            kept[segment.name] = "/".join(parts[at:end])
        at = end
    return kept


def why_not(pattern: PathPattern, text: str) -> str:
    """In words, for a text that does not match."""
    parts = text.removeprefix("/").split("/")
    for place, segment in enumerate(pattern):
        if segment.many:
            return f"what stands at or behind its '**' does not fit '{show(text)}'"
        if place >= len(parts):
            return f"it has {len(pattern)} segments, and '{show(text)}' has {len(parts)}"
        if not _fits(segment, parts[place]):
            wanted = "*".join(segment.pieces)
            return f"segment {place + 1} is '{show(parts[place])}', not '{show(wanted)}'"
    return f"it has {len(pattern)} segments, and '{show(text)}' has {len(parts)}"


def _segment(part: str) -> tuple[Segment, str]:
    if part == "**":
        return Segment(many=True), ""
    captured = _CAPTURE.fullmatch(part)
    if captured:
        return Segment(("", ""), captured[2] == "**", captured[1]), ""
    if "{" in part or "}" in part:
        return Segment(), f"'{show(part)}' is not {{name}}, {{name=*}} or {{name=**}}"
    if "**" in part:
        return Segment(), "'**' is a whole segment"
    return Segment(tuple(part.split("*"))), ""


def _reachable(pattern: PathPattern, parts: list[str]) -> list[list[bool]]:
    """``[i][j]``: whether the segments from ``i`` on match the parts from ``j`` on."""
    size = len(parts)
    row = [False] * size + [True]
    table = [row]
    for segment in reversed(pattern):
        before, row = row, [False] * (size + 1)
        for at in range(size, -1, -1):
            if segment.many:
                row[at] = before[at] or (at < size and row[at + 1])
            else:
                row[at] = at < size and before[at + 1] and _fits(segment, parts[at])
        table.append(row)
    table.reverse()
    return table


def _fits(segment: Segment, part: str) -> bool:
    first, *rest = segment.pieces
    if not rest:
        return part == first
    *middle, last = rest
    if len(part) < len(first) + len(last) or not (part.startswith(first) and part.endswith(last)):
        return False
    at, end = len(first), len(part) - len(last)
    for piece in middle:
        found = part.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
