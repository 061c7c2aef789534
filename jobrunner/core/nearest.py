"""The name somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that is fewest typing mistakes away from ``name``; ``None`` if nothing
    is close (a third of the length, at least one mistake). The first of equals wins.

    A mistake is a character too many, missing, wrong, or swapped with its neighbour.
    """
    wanted = name.lower()[:_LONGEST]
    allowed = max(1, len(wanted) // 3)
    best: str | None = None
    best_distance = min(allowed + 1, len(wanted))
    for candidate in known:
        other = candidate.lower()[:_LONGEST]
        if abs(len(other) - len(wanted)) >= best_distance:
            continue
        distance = mistakes(wanted, other, best_distance)
        if distance < best_distance:
            best, best_distance = candidate, distance
    return best


def mistakes(first: str, second: str, enough: int = _LONGEST) -> int:
    """Edit distance in which swapped neighbours count once (optimal string alignment). Counting
    stops at ``enough``: the answer is then that or more."""
    same = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        same += 1
    first, second = first[same:], second[same:]
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) >= enough <= min(before):
            # What follows is made of these two rows and never smaller.
            return enough
    return row[-1]
