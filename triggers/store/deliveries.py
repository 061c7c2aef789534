"""Statements that open and read deliveries. Each runs inside the transaction of its caller."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from jobrunner.errors import AlreadyExists, NotFound, StoreFault
from jobrunner.lib.database import Row, Session
from jobrunner.ports import Page
from triggers.core.records import Delivery, DeliveryAttempt, SourceKind
from triggers.core.states import DeliveryState
from triggers.ports import Damaged, DeliveryFilter, Draft, Tries
from triggers.store import gating
from triggers.store.rows import (
    ATTEMPT,
    DELIVERY,
    FOUND,
    STATE,
    attempt_of,
    columns,
    delivery_of,
    delivery_row,
    lane_of,
    marks,
    rows_of,
)
from triggers.store.selecting import bad_token, given, joined, tail

SELECT = f"SELECT {columns(DELIVERY)} FROM deliveries"
_GO = (
    f"INSERT INTO deliveries ({columns(DELIVERY)}, {columns(FOUND)}, gated, waits)"
    f" VALUES ({marks(DELIVERY)}, {marks(FOUND)}, ?, FALSE) ON CONFLICT DO NOTHING"
)
_HEAD = (
    "SELECT 1 FROM deliveries WHERE lane = ? AND order_key = ? AND order_key IS NOT NULL"
    " AND settled_at IS NULL LIMIT 1"
)
_WAIT = _GO.replace("FALSE)", "TRUE)")
_BY_UID = f"{SELECT} WHERE uid = ?"
_MINE = "SELECT uid, lane, key FROM deliveries WHERE uid IN ({0})"
_BY_KEY = f"{SELECT} WHERE lane = ? AND key = ?"
_BY_PARENT = f"{SELECT} WHERE parent = ?"
_ATTEMPTS = f"SELECT {columns(ATTEMPT)} FROM delivery_attempts WHERE delivery = ? ORDER BY number"
_LAST = (
    f"SELECT {', '.join(f'a.{name}' for name in ATTEMPT.split())} FROM delivery_attempts a"
    " WHERE a.delivery IN ({0}) AND NOT EXISTS (SELECT 1 FROM delivery_attempts b"
    " WHERE b.delivery = a.delivery AND b.number > a.number)"
)
# A run that was started has answered, too.
_TRIES = (
    f"SELECT {', '.join(f'a.{name}' for name in ATTEMPT.split())},"
    " (SELECT COUNT(*) FROM delivery_attempts c WHERE c.delivery = a.delivery"
    " AND c.ended_at IS NOT NULL AND c.broken IS NULL) FROM delivery_attempts a"
    " WHERE a.delivery IN ({0})"
    " AND (NOT EXISTS (SELECT 1 FROM delivery_attempts b"
    " WHERE b.delivery = a.delivery AND b.number > a.number)"
    " OR NOT EXISTS (SELECT 1 FROM delivery_attempts b"
    " WHERE b.delivery = a.delivery AND b.number < a.number))"
    " ORDER BY a.delivery, a.number"
)
_POSITION = "SELECT position FROM deliveries WHERE uid = ?"
_FOLLOWING = f"{SELECT} WHERE state = 'FOLLOWING' ORDER BY position"
_OVERDUE = (
    f"{SELECT} WHERE state = 'PENDING' AND ages_out_at IS NOT NULL AND ages_out_at <= ?"
    " ORDER BY ages_out_at LIMIT ?"
)


# Each part has an index of its own, and is cut off by it.
_UNSETTLED = " + ".join(
    f"(SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE lane = ? AND {part} LIMIT ?) AS few)"
    for part in (
        "state = 'PENDING' AND NOT waits AND NOT gated",
        "order_key IS NOT NULL AND settled_at IS NULL AND state = 'PENDING' AND waits",
        "state = 'SENDING'",
        "state = 'FOLLOWING'",
    )
)

_ROW = f"{DELIVERY} {FOUND}".split()
_OPENED_AT = ("created_at", "not_before")
_ZERO = ("attempts", "responses", "unknown", "run_try", "hops")
_NULL = (
    "order_key",
    "first_attempt_at",
    "last_attempt_at",
    "last_status",
    "lease_owner",
    "lease_until",
    "execution",
    "parent",
    "settled_at",
)
# What is the same for each one that is new: handing a value over costs as much as an index.
_NEW: dict[str, tuple[str, object]] = {
    "state": ("'PENDING'", DeliveryState.PENDING.value),
    "reason": ("''", ""),
    "forced": ("FALSE", False),
    **dict.fromkeys(_ZERO, ("0", 0)),
    **dict.fromkeys(_NULL, ("NULL", None)),
}
_OWN = [number for number, name in enumerate(_ROW) if name not in {*_NEW, *_OPENED_AT}]
_GO_ALL = (
    f"INSERT INTO deliveries ({', '.join(_ROW[number] for number in _OWN)},"
    f" {', '.join(_OPENED_AT)}, {', '.join(_NEW)}, gated, waits)"
    f" VALUES ({', '.join('?' * (len(_OWN) + len(_OPENED_AT)))},"
    f" {', '.join(text for text, _ in _NEW.values())}, FALSE, FALSE) ON CONFLICT DO NOTHING"
)
_own = itemgetter(*_OWN)
_new = itemgetter(*(_ROW.index(name) for name in _NEW))
_NEW_VALUES = tuple(value for _, value in _NEW.values())


def open_(session: Session, delivery: Delivery) -> Delivery:
    if delivery.state is not DeliveryState.PENDING:
        raise ValueError(f"a delivery is opened as {delivery.state}, not PENDING")
    lane = lane_of(delivery)
    sql = _GO
    if delivery.order_key is not None:
        # Nobody may settle the one before while this one comes to wait for it.
        session.in_turn()
        if session.execute(_HEAD, (lane, delivery.order_key)).fetchone():
            sql = _WAIT
    if session.execute(sql, (*delivery_row(delivery), _gated(session, delivery))).rowcount:
        return delivery
    return _there(session, delivery)


def open_each(session: Session, wanted: Sequence[Delivery]) -> Sequence[Delivery]:
    opened: list[Delivery] = []
    for plain, run in groupby(wanted, _is_plain):
        if plain:
            opened += _open_plain(session, list(run))
        else:
            opened += [open_(session, delivery) for delivery in run]
    return opened


def _is_plain(delivery: Delivery) -> bool:
    """Whether nothing has to be asked before it is opened."""
    return delivery.order_key is None and delivery.source is not SourceKind.QUEUE


def _open_plain(session: Session, wanted: Sequence[Delivery]) -> Sequence[Delivery]:
    if session.executemany(_GO, [_plain(delivery) for delivery in wanted]) == len(wanted):
        return wanted
    rows = rows_of(session, _MINE, [delivery.uid for delivery in wanted])
    mine = {uid: (lane, key) for uid, lane, key in rows}
    return [
        delivery
        if mine.get(delivery.uid) == (lane_of(delivery), delivery.key)
        else _there(session, delivery)
        for delivery in wanted
    ]


def _there(session: Session, delivery: Delivery) -> Delivery:
    """The one that is stored in the place of ``delivery``."""
    row = session.execute(_BY_KEY, (lane_of(delivery), delivery.key)).fetchone()
    if row is None and delivery.parent is not None:
        row = session.execute(_BY_PARENT, (delivery.parent,)).fetchone()
    if row is None:
        raise StoreFault(f"The delivery {delivery.uid} is stored already, under another key.")
    return delivery_of(row)


def _gated(session: Session, delivery: Delivery) -> bool:
    """The gate is taken first: whoever claims from it sees what is opened behind it, or comes
    later."""
    if delivery.source is not SourceKind.QUEUE:
        return False
    return gating.touch(session, lane_of(delivery), delivery.not_before)


def draft(delivery: Delivery) -> Draft:
    *row, _ = _plain(delivery)
    if _new(row) != _NEW_VALUES:
        raise ValueError(f"the delivery {delivery.uid} is not as new ones are")
    own: Draft = _own(row)
    return own


def _plain(delivery: Delivery) -> tuple[object, ...]:
    """Parameters of ``_GO``."""
    if delivery.state is not DeliveryState.PENDING or delivery.order_key is not None:
        raise ValueError(f"the delivery {delivery.uid} is not PENDING, or has an order key")
    if delivery.source is SourceKind.QUEUE:
        raise ValueError(f"the delivery {delivery.uid} has to pass a gate")
    return (*delivery_row(delivery), False)


def open_all(session: Session, drafts: Sequence[Draft], now: float) -> None:
    instants = (now,) * len(_OPENED_AT)
    written = session.executemany(_GO_ALL, [one + instants for one in drafts])
    if written != len(drafts):
        there = len(drafts) - written
        raise AlreadyExists(f"{there} of {len(drafts)} deliveries are there already.")


def get(session: Session, uid: str) -> Delivery:
    row = session.execute(_BY_UID, (uid,)).fetchone()
    if row is None:
        raise NotFound(f"There is no delivery '{uid}'.")
    return delivery_of(row)


def attempts(session: Session, uid: str) -> Sequence[DeliveryAttempt]:
    return [attempt_of(row) for row in session.execute(_ATTEMPTS, (uid,))]


def get_all(session: Session, uids: Sequence[str]) -> dict[str, Delivery]:
    sql = f"{SELECT} WHERE uid IN ({{0}})"
    found = (_readable(row) for row in rows_of(session, sql, uids))
    return {one.uid: one for one in found if isinstance(one, Delivery)}


def last_attempts(session: Session, uids: Sequence[str]) -> dict[str, DeliveryAttempt]:
    found = (attempt_of(row) for row in rows_of(session, _LAST, uids))
    return {attempt.delivery: attempt for attempt in found}


def standing(session: Session, uids: Sequence[str]) -> dict[str, bool]:
    sql = "SELECT uid, settled_at IS NOT NULL FROM deliveries WHERE uid IN ({0})"
    return {uid: bool(settled) for uid, settled in rows_of(session, sql, uids)}


def tries(session: Session, uids: Sequence[str]) -> dict[str, Tries]:
    found: dict[str, Tries] = {}
    for row in rows_of(session, _TRIES, uids):
        attempt, answered = attempt_of(row[:-1]), int(row[-1])
        known = found.get(attempt.delivery)
        first = attempt if known is None else known.first
        found[attempt.delivery] = Tries(first, attempt, answered)
    return found


def unsettled(session: Session, lane: str, most: int) -> int:
    row = session.execute(f"SELECT {_UNSETTLED}", (lane, most) * 4).fetchone()
    return min(most, int(row[0])) if row is not None else 0


def listing(
    session: Session, wanted: DeliveryFilter, page: Page | None, oldest_first: bool
) -> Sequence[Delivery]:
    return [delivery_of(row) for row in _rows(session, wanted, page, oldest_first)]


def survey(
    session: Session, wanted: DeliveryFilter, page: Page | None, oldest_first: bool
) -> Sequence[Delivery | Damaged]:
    return [_readable(row) for row in _rows(session, wanted, page, oldest_first)]


def _readable(row: Row) -> Delivery | Damaged:
    try:
        return delivery_of(row)
    except StoreFault as error:
        uid, project, region, source, source_name = row[:5]
        return Damaged(uid, project, region, source, source_name, row[STATE], error.message)


def _rows(
    session: Session, wanted: DeliveryFilter, page: Page | None, oldest_first: bool
) -> Sequence[Row]:
    conditions, params = where(wanted)
    if page is not None and page.after is not None:
        conditions.append("position > ?" if oldest_first else "position < ?")
        params.append(_position(session, page.after))
    order = "ASC" if oldest_first else "DESC"
    sql = f"{SELECT}{joined(conditions)} ORDER BY position {order}"
    end, limit = tail(page)
    return session.execute(sql + end, (*params, *limit)).fetchall()


def count(session: Session, wanted: DeliveryFilter) -> dict[DeliveryState, int]:
    conditions, params = where(wanted)
    sql = f"SELECT state, COUNT(*) FROM deliveries{joined(conditions)} GROUP BY state"
    found = dict[str, int](session.execute(sql, params).fetchall())
    return {state: found[state] for state in DeliveryState if state in found}


def following(session: Session) -> Sequence[Delivery]:
    return [delivery_of(row) for row in session.execute(_FOLLOWING)]


def overdue(session: Session, now: float, limit: int) -> Sequence[Delivery]:
    return [delivery_of(row) for row in session.execute(_OVERDUE, (now, limit))]


def replay_of(session: Session, uid: str) -> Delivery | None:
    row = session.execute(_BY_PARENT, (uid,)).fetchone()
    return None if row is None else delivery_of(row)


def settled(session: Session, wanted: DeliveryFilter, settled_before: float) -> int:
    conditions, params = where(wanted)
    conditions += ["settled_at IS NOT NULL", "settled_at < ?"]
    sql = f"SELECT COUNT(*) FROM deliveries{joined(conditions)}"
    [(found,)] = session.execute(sql, (*params, settled_before)).fetchall()
    return int(found)


def purge(session: Session, wanted: DeliveryFilter, settled_before: float, limit: int) -> int:
    conditions, params = where(wanted)
    conditions += ["settled_at IS NOT NULL", "settled_at < ?"]
    inner = f"SELECT position FROM deliveries{joined(conditions)} ORDER BY settled_at LIMIT ?"
    sql = f"DELETE FROM deliveries WHERE position IN ({inner})"
    return session.execute(sql, (*params, settled_before, limit)).rowcount


def where(wanted: DeliveryFilter) -> tuple[list[str], list[object]]:
    """Conditions and their parameters; there is one statement for each combination of fields."""
    conditions, params = given(
        ("project = ?", wanted.project),
        ("region = ?", wanted.region),
        ("source = ?", None if wanted.source is None else wanted.source.value),
        ("source_name = ?", wanted.source_name),
        ("place = ?", wanted.target),
        ("created_at >= ?", wanted.created_from),
        ("created_at < ?", wanted.created_before),
    )
    if wanted.states is not None:
        # Said in the statement, so that the indexes of single states can be used.
        states = " OR ".join(f"state = '{state.value}'" for state in sorted(wanted.states))
        conditions.append(f"({states})" if states else "FALSE")
    return conditions, params


def _position(session: Session, uid: str) -> int:
    row: Row | None = session.execute(_POSITION, (uid,)).fetchone()
    if row is None:
        raise bad_token(uid, "the uid of a delivery that still exists")
    return int(row[0])
