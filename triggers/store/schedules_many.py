"""Statements about many schedules at once: what a busy second needs, in few of them.

Each runs inside the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.errors import AlreadyExists
from jobrunner.lib.database import Row, Session
from triggers.core.records import Schedule
from triggers.ports import Advance, Armed, Draft
from triggers.store.rows import columns, marks, texts
from triggers.store.schedules_rows import ARMED, OCCURRENCE, SELECT_ARMED

_CHOSEN = f"{SELECT_ARMED} WHERE c.uid IN (SELECT t FROM {{}})"
# Runners that want some of the same rows ask for them in one order, so none locks another out.
_TAKEN = f"{_CHOSEN} ORDER BY c.uid{{}}"
# With = SQLite would read the whole history of each schedule instead of the few that are live.
_LIVE = (
    "EXISTS (SELECT 1 FROM occurrences WHERE state = '{}' AND schedule BETWEEN texts.t AND texts.t)"
)
_ENGAGED = f"SELECT t FROM {{}} WHERE {_LIVE.format('OPEN')} OR {_LIVE.format('WAITING')}"
# There are few replays, and an index of their parents, which this comparison lets SQLite use.
_REPLAYING = (
    "SELECT DISTINCT project, region, source_name FROM deliveries"
    " WHERE parent > '' AND (settled_at IS NULL OR execution IS NOT NULL) AND source = 'schedule'"
)
_OPEN = (
    f"INSERT INTO occurrences ({columns(OCCURRENCE)}) VALUES ({marks(OCCURRENCE)})"
    " ON CONFLICT DO NOTHING"
)
_CREATED = OCCURRENCE.split().index("created_at")
"""The instants of opening and settling follow it, and nothing else."""
REMEMBERED = 4096
"""Schedules."""
ADVANCE = "UPDATE schedule_clocks SET last = ?, next_at = ? WHERE uid = ?"


Known = dict[str, tuple[Row, Armed]]
"""Schedules as they were read last, which need not be made again if their rows are the same."""


def chosen(session: Session, known: Known, uids: Sequence[str]) -> Sequence[Armed]:
    return _of(session, known, _CHOSEN.format(session.texts), uids)


def taken(session: Session, known: Known, uids: Sequence[str]) -> Sequence[Armed]:
    return _of(session, known, _TAKEN.format(session.texts, session.locks), uids)


def _of(session: Session, known: Known, sql: str, uids: Sequence[str]) -> Sequence[Armed]:
    found: dict[str, Armed] = {}
    for row in session.execute(sql, (texts(uids),)):
        uid = row[0]
        seen = known.get(uid)
        if seen is None or seen[0] != row:
            if len(known) >= REMEMBERED:
                known.clear()
            readable = ARMED.readable([row])
            if not readable:
                continue
            seen = known[uid] = row, readable[0]
        found[uid] = seen[1]
    return [found[uid] for uid in uids if uid in found]


def engaged(session: Session, schedules: Sequence[Schedule]) -> frozenset[str]:
    uids = texts(schedule.uid for schedule in schedules)
    found = {row[0] for row in session.execute(_ENGAGED.format(session.texts), (uids,))}
    replaying = set(session.execute(_REPLAYING).fetchall())
    if replaying:
        found |= {one.uid for one in schedules if (one.project, one.region, one.name) in replaying}
    return frozenset(found)


def open_all(session: Session, drafts: Sequence[Draft], now: float) -> None:
    rows = [
        (*one[:_CREATED], now, one[_CREATED + 1] and now, one[_CREATED + 2] and now)
        for one in drafts
    ]
    written = session.executemany(_OPEN, rows)
    if written != len(drafts):
        there = len(drafts) - written
        raise AlreadyExists(f"{there} of {len(drafts)} occurrences are there already.")


def advance_all(session: Session, advances: Sequence[Advance]) -> None:
    session.executemany(ADVANCE, [(one.last, one.next_at, one.uid) for one in advances])
