"""The feed of life-cycle changes: a position in the whole, a sequence number per execution.

Entries of one transaction get their positions together, right before the commit: one statement for
a whole group, and the lock that orders positions is the last one that anybody takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobrunner.core.records import ExecutionChange
from jobrunner.lib.database import Row, Session
from jobrunner.store.documents import encode
from jobrunner.store.rows import CHANGE, change_of, columns, marks

# Holding the counter's row until the commit makes positions visible in their order.
_RESERVE = "UPDATE counters SET value = value + ? WHERE name = 'changes' RETURNING value"
_INSERT = f"INSERT INTO changes ({columns(CHANGE)}) VALUES ({marks(CHANGE)})"
_SELECT = f"SELECT {columns(CHANGE)} FROM changes WHERE position > ? ORDER BY position LIMIT ?"
_LAST = "SELECT value FROM counters WHERE name = 'changes'"
_ONE = f"SELECT {columns(CHANGE)} FROM changes WHERE execution = ? AND sequence = ?"
_PRUNE = "DELETE FROM changes WHERE at < ?"


def append(
    session: Session,
    execution: str,
    last_sequence: int,
    at: float,
    entries: Sequence[tuple[str, Mapping[str, str]]],
) -> None:
    """``last_sequence`` is the number that the last of ``entries`` gets."""
    first = last_sequence - len(entries) + 1
    session.later += [
        (execution, sequence, kind, at, encode(data))
        for sequence, (kind, data) in enumerate(entries, first)
    ]


def write(session: Session, entries: list[Row]) -> None:
    """Gives ``entries`` (of :func:`append`) their positions, and writes them."""
    [(last,)] = session.execute(_RESERVE, (len(entries),)).fetchall()
    first = last - len(entries) + 1
    rows = [(position, *entry) for position, entry in enumerate(entries, first)]
    if len(rows) == 1:
        session.execute(_INSERT, rows[0])
    else:
        session.executemany(_INSERT, rows)


def read(session: Session, after: int, limit: int) -> Sequence[ExecutionChange]:
    return [change_of(row) for row in session.execute(_SELECT, (after, limit))]


def last(session: Session) -> int:
    return int(session.execute(_LAST).fetchall()[0][0])


def one(session: Session, execution: str, sequence: int) -> ExecutionChange | None:
    rows = session.execute(_ONE, (execution, sequence)).fetchall()
    return change_of(rows[0]) if rows else None


def prune(session: Session, before: float) -> int:
    return session.execute(_PRUNE, (before,)).rowcount
