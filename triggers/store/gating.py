"""Gates of lanes: a queue's tasks are claimed only as fast as it allows, by all runners together.

A gate is one row, and whoever takes tasks from its lane holds it until the commit; another runner
leaves it out meanwhile. ``due_at`` says when there is something to take: claims look only at gates
whose time has come, so a backlog that has to wait costs nothing, however long it is. What changes
the answer (a task is opened, an attempt ends, the queue is changed) brings ``due_at`` forward; the
next claim finds the exact instant and writes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from jobrunner.lib.database import Row, Session
from triggers.core import rates
from triggers.core.queues import HttpOverride
from triggers.core.rates import Bucket, RateLimits
from triggers.core.records import Delivery, SourceKind
from triggers.ports import Move, Pace
from triggers.store.queues_rows import decode_override
from triggers.store.rows import columns, lane_of

MOST_GATES = 64
"""Gates that are looked at by one claim; those that waited longest go first."""
MOST_PLACES = 16
"""Places of a lane that are looked at for one with room."""
BREATH_SECONDS = 0.01
"""Tokens of that time are waited for together, as far as the bucket holds them."""
AHEAD = 4
"""Tasks that are looked at for each that is wanted, over all gates."""

_GATE = "lane per_second burst concurrent tokens at share"
_OPEN = "is_open AND due_at IS NOT NULL"
_DUE = (
    f"SELECT {columns(_GATE)} FROM gates WHERE {_OPEN} AND due_at <= ?"
    " ORDER BY due_at, lane LIMIT ?"
)
_NEXT = f"SELECT lane, due_at FROM gates WHERE {_OPEN} ORDER BY due_at, lane LIMIT ?"
_READY = "state = 'PENDING' AND NOT waits AND gated"
_TASKS = (
    f"SELECT position, lane, place FROM deliveries WHERE {_READY} AND lane = ? AND not_before <= ?"
    " ORDER BY not_before, position LIMIT ?"
)
_NEXT_PLACE = (
    f"SELECT place FROM deliveries WHERE {_READY} AND lane = ? AND place > ? ORDER BY place LIMIT 1"
)
_OF_PLACE = (
    f"SELECT position, lane, place FROM deliveries WHERE {_READY} AND lane = ? AND place = ?"
    " AND not_before <= ? ORDER BY not_before, position LIMIT ?"
)
_FIRST = (
    f"SELECT not_before FROM deliveries WHERE {_READY} AND lane = ?"
    " ORDER BY not_before, position LIMIT 1"
)
_UNDER_WAY = (
    "SELECT COUNT(*) FROM deliveries WHERE source = 'queue'"
    " AND (state = 'SENDING' OR state = 'FOLLOWING') AND lane = ?"
)
_PASSED = "UPDATE gates SET tokens = ?, at = ?, due_at = ? WHERE lane = ?"
_TOUCH = (
    "UPDATE gates SET due_at = CASE WHEN due_at < ? THEN due_at ELSE ? END WHERE lane = ?"
    f" RETURNING {columns(_GATE)}"
)
_PACE = "UPDATE gates SET tokens = ?, at = ?, share = ? WHERE lane = ?"
_OVERRIDE = "SELECT override FROM gates WHERE lane = ?"

_Task = tuple[int, str, str]
"""position, lane, place."""


@dataclass(slots=True)
class _Gate:
    lane: str
    limits: RateLimits
    bucket: Bucket
    under_way: int
    found: int = 0
    taken: int = 0
    crowded: set[str] = field(default_factory=set)
    """Places of tasks that were left out, because they have no room at this runner."""

    def allows(self, now: float) -> int:
        tokens = int(rates.refilled(self.limits, self.bucket, now).tokens + rates.DUST)
        return max(0, min(tokens, self.limits.concurrent - self.under_way))


@dataclass(slots=True)
class Behind:
    """What the gates that are held let through: ``due`` in all, at most as many of each lane as
    may go now."""

    due: list[_Task] = field(default_factory=list)
    gates: dict[str, _Gate] = field(default_factory=dict)

    def settle(self, session: Session, taken: Iterable[Delivery], now: float) -> None:
        """Takes the tokens, and writes down when there is something to take again."""
        for delivery in taken:
            if delivery.source is SourceKind.QUEUE and not delivery.forced:
                gate = self.gates.get(lane_of(delivery))
                if gate is not None:
                    gate.taken += 1
        for gate in self.gates.values():
            bucket = rates.refilled(gate.limits, gate.bucket, now)
            bucket = bucket._replace(tokens=bucket.tokens - gate.taken)
            due_at = _due_at(session, gate, bucket, now)
            session.execute(_PASSED, (bucket.tokens, bucket.at, due_at, gate.lane))


def behind_gates(session: Session, wanted: int, fits: Callable[[str], bool], now: float) -> Behind:
    """The tasks that may go now, for a claim of at most ``wanted``."""
    behind = Behind()
    rows = session.execute(_DUE + session.unlocked, (now, MOST_GATES)).fetchall()
    for row in rows:
        if len(behind.due) >= AHEAD * wanted:
            break
        gate = _gate_of(session, row)
        behind.gates[gate.lane] = gate
        most = min(gate.allows(now), wanted)
        if most:
            behind.due += _tasks(session, gate, most, fits, now)
    return behind


def _tasks(
    session: Session, gate: _Gate, most: int, fits: Callable[[str], bool], now: float
) -> Sequence[_Task]:
    first: list[_Task] = session.execute(_TASKS, (gate.lane, now, most)).fetchall()
    tasks = [task for task in first if fits(task[2])]
    gate.crowded = {place for _, _, place in first} - {place for _, _, place in tasks}
    if gate.crowded and len(first) == most:
        # They may stand before others that go elsewhere.
        place = ""
        for _ in range(MOST_PLACES):
            row = session.execute(_NEXT_PLACE, (gate.lane, place)).fetchone()
            if row is None or len(tasks) >= most:
                break
            place = row[0]
            if fits(place):
                seen = {task[0] for task in tasks}
                more = session.execute(_OF_PLACE, (gate.lane, place, now, most)).fetchall()
                tasks += [task for task in more if task[0] not in seen][: most - len(tasks)]
    gate.found = len(tasks)
    return tasks


def _due_at(session: Session, gate: _Gate, bucket: Bucket, now: float) -> float | None:
    """``None`` where something else has to happen first: an attempt has to end, a task to come."""
    if gate.under_way + gate.taken >= gate.limits.concurrent:
        return None
    opens = rates.next_at(gate.limits, bucket, now)
    first = session.execute(_FIRST, (gate.lane,)).fetchone()
    if opens is None or first is None:
        return None
    if opens > now:
        # A commit for each token would be one every two milliseconds at the highest rate.
        opens = max(opens, min(now + BREATH_SECONDS, rates.full_at(gate.limits, bucket, now)))
    # One that could give more now goes to the end of the line.
    return max(opens, float(first[0]), now)


def next_at(
    session: Session, now: float, soon: float, fits: Callable[[str], bool], behind: Behind
) -> float | None:
    """When a gate lets something through; ``soon`` if one does by now that was held by others or
    not looked at. Where only places are in the way, the end of an attempt has to come first."""
    stuck = {
        gate.lane
        for gate in behind.gates.values()
        if gate.crowded and gate.taken == gate.found and not any(map(fits, gate.crowded))
    }
    for lane, due_at in session.execute(_NEXT, (len(stuck) + 1,)):
        if due_at > now:
            return float(due_at)
        if lane not in stuck:
            return soon
    return None


def touch(session: Session, lane: str, at: float) -> bool:
    """Something of ``lane`` can go at ``at``. Says whether it has a gate, which then is held."""
    return session.execute(_TOUCH, (at, at, lane)).fetchone() is not None


def landed(session: Session, moves: Iterable[Move]) -> None:
    """Before these are written: their gates are held, go at the pace that the answers ask for, and
    are looked at again."""
    lanes: dict[str, list[Move]] = {}
    for move in moves:
        if move.before.source is SourceKind.QUEUE:
            lanes.setdefault(lane_of(move.before), []).append(move)
    for lane in sorted(lanes):
        row = session.execute(_TOUCH, (0.0, 0.0, lane)).fetchone()
        if row is None:
            continue
        limits, before = _bucket_of(row)
        bucket = before
        for move in lanes[lane]:
            ended = move.attempt.ended_at if move.attempt is not None else None
            now = max(bucket.at, ended or 0.0)
            if move.pace is Pace.SLOWER:
                bucket = rates.throttled(limits, bucket, now)
            elif move.pace is Pace.FASTER:
                bucket = rates.recovered(limits, bucket, now)
        if bucket != before:
            session.execute(_PACE, (bucket.tokens, bucket.at, bucket.share, lane))


def overrides(session: Session, taken: Iterable[Delivery]) -> dict[str, HttpOverride]:
    """By the uids of those of ``taken`` whose queues have one."""
    known: dict[str, HttpOverride | None] = {}
    found: dict[str, HttpOverride] = {}
    for delivery in taken:
        if delivery.source is not SourceKind.QUEUE:
            continue
        lane = lane_of(delivery)
        if lane not in known:
            row = session.execute(_OVERRIDE, (lane,)).fetchone()
            known[lane] = None if row is None else decode_override(row[0])
        override = known[lane]
        if override is not None:
            found[delivery.uid] = override
    return found


def _gate_of(session: Session, row: Row) -> _Gate:
    limits, bucket = _bucket_of(row)
    [(under_way,)] = session.execute(_UNDER_WAY, (row[0],)).fetchall()
    return _Gate(row[0], limits, bucket, under_way)


def _bucket_of(row: Row) -> tuple[RateLimits, Bucket]:
    _, per_second, burst, concurrent, tokens, at, share = row
    return RateLimits(per_second, burst, concurrent), Bucket(tokens, at, share)
