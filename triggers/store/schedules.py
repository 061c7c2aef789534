"""The store of schedules and occurrences: each method is one transaction, or a part of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, NotFound
from jobrunner.lib.database import Database, Row, Session
from jobrunner.ports import Page
from jobrunner.transactions import Transactions
from triggers.core.records import Occurrence, OccurrenceKey, Schedule, Unreadable
from triggers.core.states import SETTLED_OCCURRENCES, DeliveryState, OccurrenceState
from triggers.ports import Advance, Armed, Draft, Ended, Replay
from triggers.store import schedules_many as many
from triggers.store.rows import columns, marks, rows_of
from triggers.store.schedules_rows import (
    ARMED,
    OCCURRENCE,
    SCHEDULE,
    SELECT_ARMED,
    occurrence_of,
    occurrence_row,
    schedule_row,
)
from triggers.store.selecting import given, joined, page_by_name

_STATES: dict[str | None, DeliveryState | None] = {one.value: one for one in DeliveryState}
_STATES[None] = None

_INSERT = (
    f"INSERT INTO schedules ({columns(SCHEDULE)}) VALUES ({marks(SCHEDULE)}) ON CONFLICT DO NOTHING"
)
_START = "INSERT INTO schedule_clocks (last, next_at, uid) VALUES (?, ?, ?)"
_BY_NAME = f"{SELECT_ARMED} WHERE s.project = ? AND s.region = ? AND s.name = ?"
_BY_UID = f"{SELECT_ARMED} WHERE c.uid = ?"
# Whoever writes to a schedule begins here, and waits for whoever has taken it, on PostgreSQL too.
_TAKE = "UPDATE schedule_clocks SET uid = uid WHERE uid = ?"
_PUT = "UPDATE schedules SET state = ?, target = ?, retry = ?, settings = ? WHERE uid = ?"
_PUT_OFF = "UPDATE schedule_clocks SET next_at = ? WHERE uid = ? AND next_at IS NOT NULL"
_DELETE = "DELETE FROM schedules WHERE uid = ?"
_DUE = (
    "SELECT uid FROM schedule_clocks WHERE next_at IS NOT NULL AND next_at <= ?"
    " ORDER BY next_at, uid LIMIT ?"
)
_NEXT = "SELECT MIN(next_at) FROM schedule_clocks WHERE next_at IS NOT NULL"

_OCCURRENCES = f"SELECT {columns(OCCURRENCE)} FROM occurrences"
_OPEN = (
    f"INSERT INTO occurrences ({columns(OCCURRENCE)}) VALUES ({marks(OCCURRENCE)})"
    " ON CONFLICT DO NOTHING"
)
_KEY = "schedule = ? AND nominal = ? AND backfill = ?"
_BY_KEY = f"{_OCCURRENCES} WHERE {_KEY}"
_MOVE = (
    "UPDATE occurrences SET state = ?, reason = ?, delivery = ?, opened_at = ?, settled_at = ?"
    f" WHERE {_KEY} AND state = ?"
)
# With = SQLite would read the whole history of the schedule instead of the few that are open.
_LIVE = (
    f"{_OCCURRENCES} WHERE state = '{{}}' AND schedule BETWEEN ? AND ? ORDER BY nominal, backfill"
)
_LATEST = (
    f"{_OCCURRENCES} WHERE schedule = ? AND delivery IS NOT NULL"
    " ORDER BY nominal DESC, backfill DESC LIMIT 1"
)
_LATEST_OF = (
    "SELECT uid, (SELECT o.delivery FROM occurrences o"
    " WHERE o.schedule = s.uid AND o.delivery IS NOT NULL"
    " ORDER BY o.nominal DESC, o.backfill DESC LIMIT 1) FROM schedules s WHERE uid IN ({0})"
)
_ENDED = (
    f"SELECT {', '.join(f'o.{name}' for name in OCCURRENCE.split())}, d.state, d.execution"
    " FROM occurrences o LEFT JOIN deliveries d ON d.uid = o.delivery"
    " WHERE o.state = 'OPEN' AND (d.uid IS NULL OR d.settled_at IS NOT NULL)"
    " AND (o.schedule, o.nominal, o.backfill) > (?, ?, ?)"
    " ORDER BY o.schedule, o.nominal, o.backfill LIMIT ?"
)
_WAITING = "SELECT DISTINCT schedule FROM occurrences WHERE state = 'WAITING'"
# There are few replays, and an index of their parents, which this comparison lets SQLite use.
_REPLAYS = (
    "SELECT position, uid, settled_at, execution FROM deliveries WHERE parent > ''"
    " AND (settled_at IS NULL OR execution IS NOT NULL)"
    " AND project = ? AND region = ? AND source = 'schedule' AND source_name = ?"
)
_PRUNE = "DELETE FROM occurrences WHERE settled_at IS NOT NULL AND settled_at < ?"


class SqlSchedules(Transactions):
    """See :class:`triggers.ports.ScheduleStore`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._known: many.Known = {}

    # ------------------------------------------------------------ schedules

    def create(self, armed: Armed) -> None:
        if not self._write(lambda s: _create(s, armed)):
            name = armed.schedule.name
            raise AlreadyExists(f"Schedule '{name}' already exists.")

    def find(self, scope: Scope, name: str) -> Armed | None:
        row = self._read(lambda s: s.execute(_BY_NAME, (*scope, name)).fetchone())
        return None if row is None else ARMED.one(row)

    def get(self, uid: str) -> Armed:
        return _armed(self._read(lambda s: s.execute(_BY_UID, (uid,)).fetchone()), uid)

    def take(self, uid: str) -> Armed:
        return _armed(self._write(lambda s: _taken(s, uid)), uid)

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Armed]:
        return ARMED.readable(self._rows(project, region, page))

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Armed | Unreadable]:
        return ARMED.survey(self._rows(project, region, page))

    def _rows(self, project: str | None, region: str | None, page: Page | None) -> list[Row]:
        wanted = ("project = ?", project), ("region = ?", region)
        sql, params = page_by_name(SELECT_ARMED, page, *wanted)
        return self._read(lambda s: s.execute(sql, params).fetchall())

    def put(self, armed: Armed) -> None:
        if not self._write(lambda s: _put(s, armed)):
            raise _gone(armed.schedule.uid)

    def advance(self, uid: str, last: float, next_at: float | None) -> None:
        self._write(lambda s: s.execute(many.ADVANCE, (last, next_at, uid)))

    def put_off(self, uid: str, until: float) -> None:
        self._write(lambda s: s.execute(_PUT_OFF, (until, uid)))

    def advance_all(self, advances: Sequence[Advance]) -> None:
        self._write(lambda s: many.advance_all(s, advances))

    def many(self, uids: Sequence[str]) -> Sequence[Armed]:
        return self._read(lambda s: many.chosen(s, self._known, uids))

    def take_all(self, uids: Sequence[str]) -> Sequence[Armed]:
        return self._write(lambda s: many.taken(s, self._known, uids))

    def engaged(self, schedules: Sequence[Schedule]) -> frozenset[str]:
        return self._read(lambda s: many.engaged(s, schedules))

    def delete(self, uid: str) -> None:
        def work(session: Session) -> None:
            session.execute(_TAKE, (uid,))
            session.execute(_DELETE, (uid,))

        self._write(work)

    def due(self, now: float, *, limit: int = 256) -> Sequence[str]:
        return [row[0] for row in self._read(lambda s: s.execute(_DUE, (now, limit)).fetchall())]

    def next_at(self) -> float | None:
        row = self._read(lambda s: s.execute(_NEXT).fetchone())
        return None if row is None else row[0]

    # ------------------------------------------------------------ occurrences

    def open(self, occurrence: Occurrence) -> bool:
        row = occurrence_row(occurrence)
        return bool(self._write(lambda s: s.execute(_OPEN, row).rowcount))

    def draft(self, occurrence: Occurrence) -> Draft:
        return occurrence_row(occurrence)

    def open_all(self, drafts: Sequence[Draft], now: float) -> None:
        self._write(lambda s: many.open_all(s, drafts, now))

    def occurrence(self, key: OccurrenceKey) -> Occurrence | None:
        row = self._read(lambda s: s.execute(_BY_KEY, _key(key)).fetchone())
        return None if row is None else occurrence_of(row)

    def move(self, before: OccurrenceState, after: Occurrence) -> bool:
        params = _moved(before, after)
        return bool(self._write(lambda s: s.execute(_MOVE, params).rowcount))

    def move_all(self, before: OccurrenceState, after: Sequence[Occurrence]) -> Sequence[bool]:
        rows = [_moved(before, one) for one in after]
        return self._write(lambda s: [bool(s.execute(_MOVE, row).rowcount) for row in rows])

    def live(self, uid: str, state: OccurrenceState) -> Sequence[Occurrence]:
        sql = _LIVE.format(state.value)
        rows = self._read(lambda s: s.execute(sql, (uid, uid)).fetchall())
        return [occurrence_of(row) for row in rows]

    def latest(self, uid: str) -> Occurrence | None:
        row = self._read(lambda s: s.execute(_LATEST, (uid,)).fetchone())
        return None if row is None else occurrence_of(row)

    def latest_deliveries(self, uids: Sequence[str]) -> Mapping[str, str]:
        rows = self._read(lambda s: rows_of(s, _LATEST_OF, uids))
        return {uid: delivery for uid, delivery in rows if delivery is not None}

    def history(
        self,
        uid: str,
        *,
        start: float | None = None,
        end: float | None = None,
        limit: int | None = None,
    ) -> Sequence[Occurrence]:
        conditions, params = given(
            ("schedule = ?", uid), ("nominal > ?", start), ("nominal <= ?", end)
        )
        sql = f"{_OCCURRENCES}{joined(conditions)} ORDER BY nominal DESC, backfill DESC"
        if limit is not None:
            sql += " LIMIT ?"
            params.append(limit)
        return [
            occurrence_of(row) for row in self._read(lambda s: s.execute(sql, params).fetchall())
        ]

    def ended(self, after: OccurrenceKey | None = None, *, limit: int = 256) -> Sequence[Ended]:
        start = ("", 0, "") if after is None else _key(after)
        rows = self._read(lambda s: s.execute(_ENDED, (*start, limit)).fetchall())
        return [Ended(occurrence_of(row[:-2]), _STATES[row[-2]], row[-1]) for row in rows]

    def waiting(self) -> Sequence[str]:
        return [row[0] for row in self._read(lambda s: s.execute(_WAITING).fetchall())]

    def replays(self, schedule: Schedule) -> Sequence[Replay]:
        params = (schedule.project, schedule.region, schedule.name)
        rows = self._read(lambda s: s.execute(_REPLAYS, params).fetchall())
        rows.sort(key=lambda row: row[0])
        return [Replay(uid, settled is not None, run) for _, uid, settled, run in rows]

    def prune(self, settled_before: float) -> int:
        return self._write(lambda s: s.execute(_PRUNE, (settled_before,)).rowcount)


def _create(session: Session, armed: Armed) -> bool:
    *row, last, next_at = schedule_row(armed)
    if not session.execute(_INSERT, row).rowcount:
        return False
    session.execute(_START, (last, next_at, armed.schedule.uid))
    return True


def _put(session: Session, armed: Armed) -> bool:
    uid, _, _, _, *rest, last, next_at = schedule_row(armed)
    if not session.execute(many.ADVANCE, (last, next_at, uid)).rowcount:
        return False
    session.execute(_PUT, (*rest, uid))
    return True


def _taken(session: Session, uid: str) -> Row | None:
    session.execute(_TAKE, (uid,))
    return session.execute(_BY_UID, (uid,)).fetchone()


def _armed(row: Row | None, uid: str) -> Armed:
    if row is None:
        raise _gone(uid)
    return ARMED.one(row)


def _gone(uid: str) -> NotFound:
    return NotFound(f"There is no schedule '{uid}' any more.")


def _moved(before: OccurrenceState, after: Occurrence) -> tuple[object, ...]:
    """Parameters of ``_MOVE``."""
    if (after.state in SETTLED_OCCURRENCES) is not (after.settled_at is not None):
        raise ValueError(f"{after.state} and settled_at={after.settled_at} disagree")
    values = (after.state.value, after.reason, after.delivery, after.opened_at)
    return (*values, after.settled_at, *_key(after.key), before.value)


def _key(key: OccurrenceKey) -> tuple[str, int, str]:
    return key.schedule, key.nominal, key.backfill or ""
