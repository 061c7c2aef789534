"""The only statements that write a state, but the claim: guarded by what the mover has read."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.lib.database import Session
from triggers.core.records import SourceKind
from triggers.core.states import SETTLED_DELIVERIES, step
from triggers.errors import IllegalTransition
from triggers.ports import Move
from triggers.store import gating
from triggers.store.rows import ATTEMPT, attempt_row, clean, columns, lane_of, marks

# A lease that ran out raises one of the counts, so whoever held it finds another row, even if it
# holds the delivery once more.
_MOVE = (
    "UPDATE deliveries SET state = ?, not_before = ?, attempts = ?, responses = ?, unknown = ?,"
    " last_status = ?, lease_owner = ?, lease_until = ?, run_try = ?, execution = ?, reason = ?,"
    " settled_at = ?"
    " WHERE uid = ? AND state = ? AND COALESCE(lease_owner, '') = ?"
    " AND attempts = ? AND unknown = ? AND run_try = ?"
)
# The next attempt of one that was sent past its gate goes through it again.
_MOVE_TASK = _MOVE.replace(
    " WHERE",
    ", forced = ?,"
    " gated = NOT ? AND EXISTS (SELECT 1 FROM gates WHERE gates.lane = deliveries.lane) WHERE",
    1,
)
_ATTEMPT = f"INSERT INTO delivery_attempts ({columns(ATTEMPT)}) VALUES ({marks(ATTEMPT)})"
RELEASE = (
    "UPDATE deliveries SET waits = FALSE WHERE waits AND position ="
    " (SELECT MIN(position) FROM deliveries"
    " WHERE lane = ? AND order_key = ? AND order_key IS NOT NULL AND settled_at IS NULL)"
)


def record(session: Session, moves: Sequence[Move]) -> Sequence[bool]:
    if any(move.before.order_key is not None for move in moves):
        # Nobody may come to wait for one of these while it settles.
        session.in_turn()
    gating.landed(session, moves)
    written = [_move(session, move) for move in moves]
    attempts = [
        attempt_row(move.attempt)
        for move, done in zip(moves, written, strict=True)
        if done and move.attempt is not None
    ]
    if attempts:
        session.executemany(_ATTEMPT, attempts)
    return written


def _move(session: Session, move: Move) -> bool:
    before, after = move.before, move.after
    if step(before.state, move.event) is not after.state:
        raise IllegalTransition(
            f"a delivery that is {before.state} does not become {after.state} by {move.event}"
        )
    settled = after.state in SETTLED_DELIVERIES
    if settled is not (after.settled_at is not None):
        raise ValueError(f"{after.state} and settled_at={after.settled_at} disagree")
    task = before.source is SourceKind.QUEUE
    written = session.execute(
        _MOVE_TASK if task else _MOVE,
        (
            after.state.value,
            after.not_before,
            after.attempts,
            after.responses,
            after.unknown,
            after.last_status,
            after.lease_owner,
            after.lease_until,
            after.run_try,
            after.execution,
            clean(after.reason),
            after.settled_at,
            *((after.forced, after.forced) if task else ()),
            before.uid,
            before.state.value,
            before.lease_owner or "",
            before.attempts,
            before.unknown,
            before.run_try,
        ),
    ).rowcount
    if not written:
        return False
    if settled and before.order_key is not None:
        session.execute(RELEASE, (lane_of(before), before.order_key))
    return True
