"""The feed of life-cycle changes: a position in the whole, a sequence number per execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobrunner.core.records import ExecutionChange
from jobrunner.lib.database import Session
from jobrunner.store.documents import encode
from jobrunner.store.rows import CHANGE, change_of, columns, marks

# Holding the counter's row until the commit makes positions visible in their order.
_RESERVE = "UPDATE counters SET value = value + ? WHERE name = 'changes' RETURNING value"
_INSERT = f"INSERT INTO changes ({columns(CHANGE)}) VALUES ({marks(CHANGE)})"
_SELECT = f"SELECT {columns(CHANGE)} FROM changes WHERE position > ? ORDER BY position LIMIT ?"
_PRUNE = "DELETE FROM changes WHERE at < ?"


def append(
    session: Session,
    execution: str,
    last_sequence: int,
    at: float,
    entries: Sequence[tuple[str, Mapping[str, str]]],
) -> None:
    """``last_sequence`` is the number that the last of ``entries`` gets."""
    count = len(entries)
    [(last,)] = session.execute(_RESERVE, (count,)).fetchall()
    session.executemany(
        _INSERT,
        [
            (last - left, execution, last_sequence - left, kind, at, encode(dict(data)))
            for left, (kind, data) in zip(range(count - 1, -1, -1), entries, strict=True)
        ],
    )


def read(session: Session, after: int, limit: int) -> Sequence[ExecutionChange]:
    return [change_of(row) for row in session.execute(_SELECT, (after, limit))]


def prune(session: Session, before: float) -> int:
    return session.execute(_PRUNE, (before,)).rowcount
