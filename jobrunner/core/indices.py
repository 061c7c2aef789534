"""Lists of task indices as people write them: ``3,7-9``."""

from __future__ import annotations

from collections.abc import Iterable

from jobrunner.core.limits import MAX_TASKS

_FORM = "write indices and ranges, as 3,7-9"


def parse_indices(text: str) -> tuple[int, ...]:
    """The indices named, in order, each once. Raises ValueError with a sentence.

    Every index is one that some execution can have: 0 to 9999.
    """
    found: set[int] = set()
    for part in text.split(","):
        piece = part.strip()
        first, dash, last = (end.strip() for end in piece.partition("-"))
        low = _index(first, text)
        high = _index(last, text) if dash else low
        if low > high:
            raise ValueError(f"'{piece}' is an empty range; write {high}-{low}")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def format_indices(indices: Iterable[int]) -> str:
    """``3,7-9``: sorted, each once, neighbours as a range. Empty text for no index."""
    runs: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _index(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"'{whole}' is not a list of task indices; {_FORM}")
    # A long number is out of range whatever its digits, and is not worth converting.
    if len(text) > 9 or int(text) >= MAX_TASKS:
        shown = text if len(text) <= 12 else text[:9] + "…"
        raise ValueError(f"task index {shown} is out of range; allowed: 0 to {MAX_TASKS - 1}")
    return int(text)
