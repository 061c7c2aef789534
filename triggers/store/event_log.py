"""The log of events that came in: each method is one transaction, or a part of one.

The oldest go by their positions, so that neither a count nor an index is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec, NotFound
from jobrunner.lib.database import Database, Row, Session
from jobrunner.transactions import Transactions
from triggers.core.cloudevents.decode import decode_structured
from triggers.core.cloudevents.encode import encode_structured
from triggers.core.events import CloudEvent, DataKind
from triggers.event_ports import Led, Logged
from triggers.store.documents import _decode, unreadable
from triggers.store.selecting import given, joined

KEPT = 5000
"""Events."""
KEPT_DATA = 16 * 1024
"""Bytes; of an event with more of them only the attributes are kept."""

_COLUMNS = "position, at, project, region, channel, document"
_INSERT = (
    "INSERT INTO event_log (at, project, region, channel, type, document)"
    " VALUES (?, ?, ?, ?, ?, ?) RETURNING position"
)
_TRIM = "DELETE FROM event_log WHERE position <= ?"
_ONE = f"SELECT {_COLUMNS} FROM event_log WHERE position = ?"


class _Document(msgspec.Struct, omit_defaults=True):
    """``event`` is JSON within JSON: what a sender has written may be more than others read, half
    of a surrogate pair for one."""

    event: str
    led: tuple[Led, ...] = ()
    size: int = 0


_decoder = msgspec.json.Decoder(_Document)


class SqlEventLog(Transactions):
    """See :class:`triggers.event_ports.EventLog`."""

    def __init__(self, database: Database, *, kept: int = KEPT) -> None:
        super().__init__(database)
        self._kept = kept

    def append(self, entries: Sequence[Logged]) -> Sequence[int]:
        rows = [_row(entry) for entry in entries]

        def work(session: Session) -> list[int]:
            found = [int(session.execute(_INSERT, row).fetchall()[0][0]) for row in rows]
            if found:
                session.execute(_TRIM, (max(found) - self._kept,))
            return found

        return self._write(work)

    def listing(
        self,
        project: str | None = None,
        *,
        after: int | None = None,
        event_type: str | None = None,
        limit: int = 100,
    ) -> Sequence[Logged]:
        conditions, params = given(
            ("project = ?", project), ("type = ?", event_type), ("position > ?", after)
        )
        order = "DESC" if after is None else "ASC"
        where = joined(conditions)
        sql = f"SELECT {_COLUMNS} FROM event_log{where} ORDER BY position {order} LIMIT ?"
        rows = self._read(lambda s: s.execute(sql, (*params, limit)).fetchall())
        found = [_entry(row) for row in rows]
        return found[::-1] if after is None else found

    def get(self, position: int) -> Logged:
        rows = self._read(lambda s: s.execute(_ONE, (position,)).fetchall())
        if not rows:
            raise NotFound(
                f"There is no event {position} in the log.",
                hint=f"It keeps the last {self._kept}; see: jobrunner events tail",
            )
        return _entry(rows[0])


def _row(entry: Logged) -> tuple[object, ...]:
    event, size = entry.event, len(entry.event.data)
    if size > KEPT_DATA:
        event = replace(event, data=b"", kind=DataKind.NONE)
    document = msgspec.json.encode(
        _Document(encode_structured(event).decode(), entry.led, size)
    ).decode()
    scope = entry.scope
    return entry.at, scope.project, scope.region, entry.channel, event.type, document


def _entry(row: Row) -> Logged:
    position, at, project, region, channel, text = row
    read = _decode(_decoder, text)
    scope = Scope(project, region)
    return Logged(at, scope, channel, _event(read.event), read.led, read.size, position)


def _event(text: str) -> CloudEvent:
    try:
        return decode_structured(text)
    except InvalidSpec as error:
        raise unreadable(error.message) from error
