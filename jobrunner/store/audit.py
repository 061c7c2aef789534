"""Statements about the audit log. Each runs inside the transaction of its caller."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import AuditEntry
from jobrunner.lib.database import Session
from jobrunner.ports import Page
from jobrunner.store.paging import after, bad_token, tail
from jobrunner.store.rows import AUDIT, clean, columns, marks

# As with the feed: holding the counter's row until the commit makes positions visible in order.
_RESERVE = "UPDATE counters SET value = value + ? WHERE name = 'audit' RETURNING value"
_INSERT = f"INSERT INTO audit ({columns(AUDIT)}) VALUES ({marks(AUDIT)})"
_SELECT = f"SELECT {columns(AUDIT)} FROM audit"
_AFTER = f"{_SELECT} WHERE position > ? ORDER BY position LIMIT ?"
_LAST = "SELECT value FROM counters WHERE name = 'audit'"
_PRUNE = "DELETE FROM audit WHERE at < ?"


def append(session: Session, entries: Sequence[AuditEntry]) -> None:
    if not entries:
        return
    [(last,)] = session.execute(_RESERVE, (len(entries),)).fetchall()
    session.executemany(
        _INSERT,
        [
            (
                position,
                entry.at,
                clean(entry.actor),
                clean(entry.method),
                clean(entry.resource),
                entry.code,
                clean(entry.detail),
            )
            for position, entry in enumerate(entries, last - len(entries) + 1)
        ],
    )


def listing(session: Session, page: Page | None) -> Sequence[AuditEntry]:
    where, params = "", list[object]()
    token = after(page)
    if token is not None:
        if not (token.isascii() and token.isdecimal() and len(token) < 19):
            raise bad_token(token, "the position of the last entry")
        where = " WHERE position < ?"
        params.append(int(token))
    limit, count = tail(page)
    rows = session.execute(f"{_SELECT}{where} ORDER BY position DESC{limit}", (*params, *count))
    return [AuditEntry(*row) for row in rows]


def following(session: Session, position: int, limit: int) -> Sequence[AuditEntry]:
    return [AuditEntry(*row) for row in session.execute(_AFTER, (position, limit))]


def last(session: Session) -> int:
    return int(session.execute(_LAST).fetchall()[0][0])


def prune(session: Session, before: float) -> int:
    return session.execute(_PRUNE, (before,)).rowcount
