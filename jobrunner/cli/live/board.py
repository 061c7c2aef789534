"""How far an execution has come, and the lines that say so. Pure: told the time and the width."""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.cli.words import duration_text, plural
from jobrunner.core.records import Counters, Execution

BAR_WIDTHS = (24, 12)
"""The first that leaves room for everything else; else there is no bar."""
ESTIMATE_AFTER = 1.0
"""Seconds of running before the time left is worth a guess."""

GREEN, RED, YELLOW, DIM, RESET = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Board:
    """Counts of one moment. ``started_at`` is when the first look was taken (same clock as ``now``
    in the functions below); ``note`` is what is going on before the first task, or while ending."""

    name: str
    total: int
    counters: Counters
    started_at: float
    note: str = ""

    @property
    def done(self) -> int:
        return self.counters.succeeded + self.counters.failed + self.counters.cancelled


def board_of(execution: Execution, started_at: float, note: str = "") -> Board:
    return Board(execution.name, execution.task_count, execution.counters, started_at, note)


def time_left(board: Board, now: float) -> float | None:
    """Seconds, from the pace so far; ``None`` while it would be a mere guess."""
    elapsed = now - board.started_at
    if not board.done or elapsed < ESTIMATE_AFTER:
        return None
    return elapsed / board.done * (board.total - board.done)


def counts(board: Board) -> list[tuple[str, str]]:
    """(text, colour) for each count that is worth showing."""
    c = board.counters
    parts = [(f"{board.done}/{board.total} done", ""), (f"{c.running} running", "")]
    if c.failed:
        parts.append((f"{c.failed} failed", RED))
    if c.retried:
        parts.append((f"{c.retried} retried", YELLOW))
    if c.cancelled:
        parts.append((f"{c.cancelled} cancelled", YELLOW))
    return parts


def block_line(board: Board, now: float, *, width: int, colour: bool, unicode: bool) -> str:
    """One line of less than ``width`` columns for a terminal; what does not fit is left out."""
    left = time_left(board, now)
    tail = [(duration_text(now - board.started_at), DIM)]
    if board.note:
        tail.append((board.note, YELLOW))
    elif left is not None and board.done < board.total:
        tail.append((f"about {duration_text(left)} left", ""))
    said = [(board.name, ""), *counts(board), *tail]
    parts = said
    needed = sum(len(text) + 2 for text, _ in said)
    for size in BAR_WIDTHS:
        if needed + size < width:
            drawn = bar(board, size, unicode=unicode)
            parts = [said[0], (drawn, GREEN if not board.counters.failed else RED), *said[1:]]
            break
    else:
        if needed - 2 >= width:
            # What is going on matters more than whose it is.
            del parts[0]
    room, line = width - 1, ""
    for position, (text, code) in enumerate(parts):
        needed = len(text) + (2 if position else 0)
        if needed > room:
            if position == 0:
                continue
            break
        room -= needed
        line += ("  " if line else "") + (f"{code}{text}{RESET}" if colour and code else text)
    return line


def bar(board: Board, size: int, *, unicode: bool) -> str:
    full, empty = ("━", "╌") if unicode else ("#", "-")
    filled = size * board.done // board.total if board.total else 0
    return full * filled + empty * (size - filled)


def plain_line(board: Board, now: float) -> str:
    """The line that a file or a pipe gets, at most one a second."""
    parts = [text for text, _ in counts(board)]
    left = time_left(board, now)
    if left is not None and board.done < board.total and not board.note:
        parts.append(f"about {duration_text(left)} left")
    if board.note:
        parts.append(board.note)
    return f"{board.name}: {', '.join(parts)}"


def opening_line(execution: Execution) -> str:
    tasks = plural(execution.task_count, "task")
    at_once = f", {execution.parallelism} at once" if execution.task_count > 1 else ""
    return f"{execution.name}: {tasks}{at_once}"
