"""How far readers of feeds have come: a row for each, locked while somebody reads on from there."""

from __future__ import annotations

from jobrunner.lib.database import Session
from jobrunner.transactions import Transactions

_SELECT = "SELECT position FROM cursors WHERE name = ?"
_INSERT = "INSERT INTO cursors (name, position) VALUES (?, 0) ON CONFLICT DO NOTHING"
_PUT = "UPDATE cursors SET position = ? WHERE name = ?"


class SqlCursors(Transactions):
    """See :class:`triggers.event_ports.Cursors`."""

    def take(self, name: str) -> int | None:
        def work(session: Session) -> int | None:
            locking = _SELECT + session.unlocked
            rows = session.execute(locking, (name,)).fetchall()
            if not rows:
                if session.execute(_SELECT, (name,)).fetchall():
                    return None
                session.execute(_INSERT, (name,))
                rows = session.execute(locking, (name,)).fetchall()
            return int(rows[0][0]) if rows else None

        return self._write(work)

    def put(self, name: str, position: int) -> None:
        self._write(lambda s: s.execute(_PUT, (position, name)))
