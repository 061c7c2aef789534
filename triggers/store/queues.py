"""The store of queues: each method is one transaction, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Scope
from jobrunner.errors import NotFound, StoreFault
from jobrunner.lib.database import Row, Session
from jobrunner.ports import Page
from jobrunner.transactions import Transactions
from triggers.core.queues import Queue, QueueState, task_key
from triggers.core.records import Delivery, QueueRetry, SourceKind, Unreadable
from triggers.store import policies
from triggers.store.deliveries import SELECT
from triggers.store.documents import encode_retry
from triggers.store.gating import touch
from triggers.store.queues_rows import QUEUE, QUEUES, encode_override, queue_row
from triggers.store.rows import DELIVERY, KEY, clean, columns, delivery_of, lane, marks
from triggers.store.selecting import bad_token, page_by_name, tail

_SELECT = f"SELECT {columns(QUEUE)} FROM queues"
_INSERT = f"INSERT INTO queues ({columns(QUEUE)}) VALUES ({marks(QUEUE)}) ON CONFLICT DO NOTHING"
_BY_NAME = f"{_SELECT} WHERE project = ? AND region = ? AND name = ?"
# Whoever writes this row waits for whoever has taken it, on PostgreSQL too.
_TAKE = f"UPDATE queues SET uid = uid WHERE uid = ? RETURNING {columns(QUEUE)}"
_PUT = "UPDATE queues SET settings = ? WHERE uid = ?"
_DELETE = "DELETE FROM queues WHERE uid = ?"

_SET_UP = (
    "INSERT INTO gates"
    " (lane, is_open, per_second, burst, concurrent, tokens, at, share, due_at, override)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 1.0, NULL, ?)"
)
# What is in the bucket stays, up to its new size: nobody gets a burst by changing the queue.
_TURN = (
    "UPDATE gates SET is_open = ?, per_second = ?, burst = ?, concurrent = ?,"
    " tokens = CASE WHEN tokens > ? THEN ? ELSE tokens END, due_at = 0.0, override = ?"
    " WHERE lane = ?"
)
_PULL_DOWN = "DELETE FROM gates WHERE lane = ?"

_OF_QUEUE = "source = 'queue' AND settled_at IS NULL AND lane = ?"
_WITHDRAW = (
    "UPDATE deliveries SET state = 'CANCELLED', lease_owner = NULL, lease_until = NULL,"
    f" gated = FALSE, forced = FALSE, reason = ?, settled_at = ? WHERE {_OF_QUEUE}"
)
_WITHDRAW_SOME = (
    f"{_WITHDRAW} AND position IN (SELECT position FROM deliveries WHERE {_OF_QUEUE}"
    " AND position <= ? ORDER BY position LIMIT ?)"
)
_LAST = f"SELECT position FROM deliveries WHERE {_OF_QUEUE} ORDER BY position DESC LIMIT 1"
_UNPURGED = f"{_SELECT} WHERE settings LIKE ? ORDER BY uid"
_RETUNE = f"UPDATE deliveries SET retry = ? WHERE {_OF_QUEUE} AND retry = ?"
_DEPTH = f"SELECT COUNT(*) FROM deliveries WHERE {_OF_QUEUE}"
_BY_KEY = f"{SELECT} WHERE lane = ? AND key = ?"
_BY_UID = f"{SELECT} WHERE lane = ? AND uid = ?"
_POSITION = "SELECT position FROM deliveries WHERE uid = ?"
_TASKS = f"{SELECT} WHERE {_OF_QUEUE} AND position > ? ORDER BY position"
_FORCE = (
    "UPDATE deliveries SET not_before = ?, forced = TRUE, gated = FALSE"
    f" WHERE uid = ? AND state = 'PENDING' RETURNING {columns(DELIVERY)}"
)
_RENAME = "UPDATE deliveries SET key = ? WHERE uid = ? AND settled_at IS NOT NULL"


class SqlQueues(Transactions):
    """See :class:`triggers.ports.QueueStore`."""

    # ------------------------------------------------------------ queues

    def create(self, queue: Queue) -> bool:
        def work(session: Session) -> bool:
            if not session.execute(_INSERT, queue_row(queue)).rowcount:
                return False
            limits = queue.limits
            params = (limits.per_second, limits.burst, limits.concurrent, float(limits.burst))
            override = encode_override(queue.http)
            gate = (_lane(queue), _is_open(queue), *params, queue.created_at, override)
            session.execute(_SET_UP, gate)
            return True

        return self._write(work)

    def find(self, scope: Scope, name: str) -> Queue | None:
        row = self._read(lambda s: s.execute(_BY_NAME, (*scope, name)).fetchone())
        return None if row is None else QUEUES.one(row)

    def take(self, uid: str) -> Queue:
        row = self._write(lambda s: s.execute(_TAKE, (uid,)).fetchone())
        if row is None:
            raise _gone(uid)
        return QUEUES.one(row)

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Queue]:
        return QUEUES.readable(self._rows(project, region, page))

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[Queue | Unreadable]:
        return QUEUES.survey(self._rows(project, region, page))

    def _rows(self, project: str | None, region: str | None, page: Page | None) -> list[Row]:
        wanted = ("project = ?", project), ("region = ?", region)
        sql, params = page_by_name(_SELECT, page, *wanted)
        return self._read(lambda s: s.execute(sql, params).fetchall())

    def put(self, queue: Queue) -> None:
        def work(session: Session) -> None:
            settings = queue_row(queue)[-1]
            if not session.execute(_PUT, (settings, queue.uid)).rowcount:
                raise _gone(queue.uid)
            limits, burst = queue.limits, float(queue.limits.burst)
            shape = (limits.per_second, limits.burst, limits.concurrent, burst, burst)
            override = encode_override(queue.http)
            session.execute(_TURN, (_is_open(queue), *shape, override, _lane(queue)))

        self._write(work)

    def retune(self, queue: Queue, old: QueueRetry) -> int:
        params = (encode_retry(queue.retry), _lane(queue), encode_retry(old))
        return self._write(lambda session: session.execute(_RETUNE, params).rowcount)

    def delete(self, queue: Queue, now: float, reason: str) -> None:
        def work(session: Session) -> None:
            session.execute(_PULL_DOWN, (_lane(queue),))
            session.execute(_WITHDRAW, (clean(reason), now, _lane(queue)))
            session.execute(_DELETE, (queue.uid,))
            session.execute(policies.DELETE, (queue.uid,))

        self._write(work)

    def withdraw(self, queue: Queue, now: float, reason: str, last: int, most: int) -> int:
        lane = _lane(queue)

        def work(session: Session) -> int:
            touch(session, lane, 0.0)
            params = (clean(reason), now, lane, lane, last, most)
            return session.execute(_WITHDRAW_SOME, params).rowcount

        return self._write(work)

    def last(self, queue: Queue) -> int:
        row = self._read(lambda s: s.execute(_LAST, (_lane(queue),)).fetchone())
        return 0 if row is None else int(row[0])

    def unpurged(self) -> Sequence[Queue]:
        rows = self._read(lambda s: s.execute(_UNPURGED, ('%"purged_to":%',)).fetchall())
        return [queue for queue in QUEUES.readable(rows) if queue.purged_to]

    # ------------------------------------------------------------ tasks

    def depth(self, queue: Queue) -> int:
        [(number,)] = self._read(lambda s: s.execute(_DEPTH, (_lane(queue),)).fetchall())
        return int(number)

    def task(self, queue: Queue, name: str) -> Delivery | None:
        row = self._row(queue, name)
        return None if row is None else delivery_of(row)

    def _row(self, queue: Queue, name: str) -> Row | None:
        def work(session: Session) -> Row | None:
            found = session.execute(_BY_KEY, (_lane(queue), task_key(queue, name))).fetchone()
            # A replay has its uid for a name.
            return found or session.execute(_BY_UID, (_lane(queue), name)).fetchone()

        return self._read(work)

    def tasks(self, queue: Queue, *, page: Page | None = None) -> Sequence[Delivery | Unreadable]:
        after = 0
        if page is not None and page.after is not None:
            last = self._row(queue, page.after)
            if last is None:
                raise bad_token(page.after, "the name of a task that is still known")
            uid = last[0]
            [(after,)] = self._read(lambda s: s.execute(_POSITION, (uid,)).fetchall())
        end, limit = tail(page)
        sql, params = f"{_TASKS}{end}", (_lane(queue), after, *limit)
        rows = self._read(lambda s: s.execute(sql, params).fetchall())
        return [_readable(queue, row) for row in rows]

    def force(self, uid: str, now: float) -> Delivery | None:
        row = self._write(lambda s: s.execute(_FORCE, (now, uid)).fetchone())
        return None if row is None else delivery_of(row)

    def rename(self, uid: str, key: str) -> None:
        self._write(lambda s: s.execute(_RENAME, (key, uid)))


def _readable(queue: Queue, row: Row) -> Delivery | Unreadable:
    try:
        return delivery_of(row)
    except StoreFault as damage:
        uid, name = row[0], row[KEY].rpartition("/")[2]
        return Unreadable(uid, queue.project, queue.region, name, damage.message)


def _lane(queue: Queue) -> str:
    return lane(queue.project, queue.region, SourceKind.QUEUE, queue.name)


def _is_open(queue: Queue) -> bool:
    return queue.state is QueueState.RUNNING


def _gone(uid: str) -> NotFound:
    return NotFound(f"There is no queue '{uid}' any more.")
