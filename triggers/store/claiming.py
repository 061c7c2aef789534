"""Statements about leases: who takes which delivery, in fair turns, and until when.

What is due is looked at through a window of the oldest ones; only where more is due than fits
into it, further lanes are looked up one by one, going on where the last look ended. So a claim
costs what it takes, however much waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from json import dumps

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Session
from triggers.core.records import Delivery
from triggers.ports import Claims
from triggers.store import gating
from triggers.store.deliveries import SELECT
from triggers.store.recording import RELEASE
from triggers.store.rows import DELIVERY, ORDER_KEY, columns, delivery_of

LARGEST = 64
"""Deliveries that one claim takes at most: its transaction must not hold up the others for long,
and the next one is near."""
SMALLEST_WINDOW, LARGEST_WINDOW = 32, 64
"""Rows; what is not among the oldest ones is found lane by lane."""
PROBES = 64
"""Lanes that are looked up beyond the window, at most."""
AGAIN_SECONDS = 0.05
"""When the next look is, if this one could not see everything that is due."""

_WAITING = "state = 'PENDING' AND NOT waits"
_READY = f"{_WAITING} AND NOT gated"
_WINDOW = (
    f"SELECT position, lane, place FROM deliveries WHERE {_READY} AND not_before <= ?"
    " ORDER BY not_before, position LIMIT ?"
)
_NEXT_LANE = (
    f"SELECT lane, place FROM deliveries WHERE {_READY} AND lane > ? ORDER BY lane, place LIMIT 1"
)
_NEXT_PLACE = (
    f"SELECT lane, place FROM deliveries WHERE {_READY} AND lane = ? AND place > ?"
    " ORDER BY place LIMIT 1"
)
_OF_LANE = (
    f"SELECT position, lane, place FROM deliveries WHERE {_READY} AND lane = ? AND place = ?"
    " AND not_before <= ? ORDER BY not_before, position LIMIT ?"
)
# Of several writers none waits for what another one is about to take.
_TAKE = (
    "UPDATE deliveries SET state = 'SENDING', lease_owner = ?, lease_until = ?,"
    " last_attempt_at = ?, first_attempt_at = COALESCE(first_attempt_at, ?)"
    f" WHERE position IN (SELECT position FROM deliveries WHERE position IN (SELECT n FROM %s)"
    f" AND {_WAITING}%s) RETURNING {columns(DELIVERY)}, position"
)
_UNREADABLE = (
    "UPDATE deliveries SET state = 'DEAD', lease_owner = NULL, lease_until = NULL, reason = ?,"
    " settled_at = ? WHERE position = ?"
)
_NEXT = (
    f"SELECT not_before FROM deliveries WHERE {_READY} AND not_before > ?"
    " ORDER BY not_before LIMIT 1"
)
_EXTEND = (
    "UPDATE deliveries SET lease_until = ?"
    " WHERE uid = ? AND state = 'SENDING' AND lease_owner = ? AND lease_until < ?"
)
_HELD = f"{SELECT} WHERE state = 'SENDING' AND lease_owner = ?"
_FORSAKEN = (
    f"{SELECT} WHERE state = 'SENDING' AND lease_until <= ? AND lease_owner <> ?"
    " ORDER BY lease_until LIMIT ?"
)
_HOLDERS = "SELECT DISTINCT lease_owner FROM deliveries WHERE state = 'SENDING'"

_Due = tuple[int, str, str]
"""position, lane, place."""


@dataclass(slots=True)
class Rotation:
    """The lane whose turn was last."""

    last: str = ""


@dataclass(slots=True)
class _Room:
    """How many may still be taken, in all and to each place."""

    left: int
    per_place: int
    busy: dict[str, int] = field(default_factory=dict)

    def fits(self, place: str) -> bool:
        return self.busy.get(place, 0) < self.per_place

    def take(self, place: str) -> None:
        self.left -= 1
        self.busy[place] = self.busy.get(place, 0) + 1


def claim(
    session: Session,
    rotation: Rotation,
    owner: str,
    now: float,
    ttl: float,
    most: int,
    per_place: int,
    busy: dict[str, int],
) -> Claims:
    room = _Room(min(most, LARGEST), per_place, dict(busy))
    taken: list[Delivery] = []
    chosen: list[_Due] = []
    last, whole, crowded = rotation.last, True, set[str]()
    behind = gating.Behind()
    if most > 0:
        due, whole, crowded = _due(session, rotation, room, now)
        behind = gating.behind_gates(session, room.left, room.fits, now)
        for one in _in_turns([*due, *behind.due], last):
            if not room.left:
                break
            _, lane, place = one
            if room.fits(place):
                chosen.append(one)
                room.take(place)
                rotation.last = lane
        taken = _take(session, chosen, owner, now, ttl)
        behind.settle(session, taken, now)
    row = session.execute(_NEXT, (now,)).fetchone()
    next_at = None if row is None else float(row[0])
    again = None
    # Others were quicker, or behind what was seen of a lane there may be more.
    more = not whole or any(map(room.fits, crowded))
    if more and not room.left and most > LARGEST:
        again = now
    elif len(taken) < len(chosen) or (more and room.left > 0):
        again = now + AGAIN_SECONDS
    if again is not None:
        next_at = again if next_at is None else min(next_at, again)
    if room.left or most > LARGEST:
        soon = now + AGAIN_SECONDS if room.left else now
        opens = gating.next_at(session, now, soon, room.fits, behind)
        if opens is not None:
            next_at = opens if next_at is None else min(next_at, opens)
    return Claims(taken, next_at, gating.overrides(session, taken))


def _take(
    session: Session, chosen: Sequence[_Due], owner: str, now: float, ttl: float
) -> list[Delivery]:
    """Those of ``chosen`` that were still there to take, in the same order."""
    if not chosen:
        return []
    wanted = dumps([position for position, _, _ in chosen])
    sql = _TAKE % (session.numbers, session.unlocked)
    rows = session.execute(sql, (owner, now + ttl, now, now, wanted)).fetchall()
    found = {row[-1]: row for row in rows}
    taken = []
    for position, lane, _ in chosen:
        row = found.get(position)
        if row is None:
            continue
        try:
            taken.append(delivery_of(row))
        except StoreFault as damage:
            # One that is damaged must not keep all others waiting for ever.
            session.execute(_UNREADABLE, (str(damage), now, position))
            session.execute(RELEASE, (lane, row[ORDER_KEY]))
    return taken


def _due(
    session: Session, rotation: Rotation, room: _Room, now: float
) -> tuple[Iterable[_Due], bool, set[str]]:
    """What is due, or a fair part of it; whether every lane was seen; and the places of those lanes
    of which not everything was seen."""
    size = max(SMALLEST_WINDOW, min(LARGEST_WINDOW, 2 * room.left))
    window: list[_Due] = session.execute(_WINDOW, (now, size)).fetchall()
    if len(window) < size:
        return window, True, set()
    seen = {lane for _, lane, place in window if room.fits(place)}
    crowded = {place for _, _, place in window}
    more: list[_Due] = []
    lanes = 0
    lane, place = rotation.last, None
    wrapped = False
    for _ in range(PROBES):
        if place is None:
            row = session.execute(_NEXT_LANE, (lane,)).fetchone()
        else:
            row = session.execute(_NEXT_PLACE, (lane, place)).fetchone()
        if row is None:
            if place is not None:
                place = None
                continue
            if wrapped:
                return [*window, *more], True, crowded
            lane, wrapped = "", True
            continue
        lane, place = row
        if wrapped and lane > rotation.last:
            return [*window, *more], True, crowded
        if lane in seen:
            place = None
            continue
        if not room.fits(place):
            continue
        found = session.execute(_OF_LANE, (lane, place, now, room.left)).fetchall()
        if found:
            more += found
            crowded.add(place)
            lanes += 1
            place = None
            if lanes >= room.left:
                break
    rotation.last = lane
    return [*window, *more], False, crowded


def _in_turns(due: Iterable[_Due], last: str) -> Iterator[_Due]:
    """One of each lane after the other, beginning after the lane ``last``."""
    lanes: dict[str, list[_Due]] = {}
    for one in due:
        lanes.setdefault(one[1], []).append(one)
    if len(lanes) == 1:
        yield from lanes.popitem()[1]
        return
    names = sorted(lanes)
    names = [name for name in names if name > last] + [name for name in names if name <= last]
    places = [iter(lanes[name]) for name in names]
    while places:
        rest = []
        for items in places:
            for item in items:
                yield item
                rest.append(items)
                break
        places = rest


def heartbeat(
    session: Session, owner: str, uids: Collection[str], until: float
) -> Sequence[Delivery]:
    if uids:
        session.executemany(_EXTEND, [(until, uid, owner, until) for uid in sorted(uids)])
    return held_by(session, owner)


def held_by(session: Session, owner: str) -> Sequence[Delivery]:
    return [delivery_of(row) for row in session.execute(_HELD, (owner,))]


def forsaken(session: Session, now: float, owner: str, limit: int) -> Sequence[Delivery]:
    return [delivery_of(row) for row in session.execute(_FORSAKEN, (now, owner, limit))]


def holders(session: Session) -> Sequence[str]:
    return [row[0] for row in session.execute(_HOLDERS)]
