"""A real server that is killed or frozen while schedules are due: none is lost or opened twice."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.store import open_store
from tests.support.receiver import Receiver, receiving
from tests.support.schedules import WHERE, a_schedule
from tests.support.served import Served, answering, start
from tests.support.waiting import until
from triggers.core.delays import spread_of
from triggers.core.records import HttpTarget, Occurrence
from triggers.core.states import SETTLED_OCCURRENCES, OccurrenceState
from triggers.ports import Armed, DeliveryFilter
from triggers.service.crashpoints import SCHEDULE_POINTS
from triggers.store import open_deliveries, open_schedules

CROWD = 40


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def database(home: Path) -> str:
    return f"sqlite:///{home}/jobrunner.db"


def arm(home: Path, url: str, due: list[int]) -> dict[str, int]:
    """A schedule for each of ``due`` (Unix seconds), which comes each minute at that second: its
    stable offset by name. Returns the nominal instant of each by its name."""
    store = open_store(database(home))
    try:
        open_deliveries(store.database)
        schedules, nominals = open_schedules(store.database), dict[str, int]()
        numbers = itertools.count()
        for at in due:
            nominal, second = at // 60 * 60, at % 60
            name = next(
                name
                for name in (f"s{number}" for number in numbers)
                if spread_of(f"{WHERE.project}/{WHERE.region}/{name}", 59) == second
            )
            schedule = a_schedule(
                name,
                uid=f"uid-{name}",
                target=HttpTarget(f"{url}/{name}"),
                spread=59,
                armed_from=nominal - 1.0,
            )
            schedules.create(Armed(schedule, nominal - 1.0, float(at)))
            nominals[name] = nominal
        return nominals
    finally:
        store.close()


def opened(home: Path, nominals: dict[str, int]) -> dict[str, Occurrence | None]:
    """The occurrence of each that was due; checks that it is the only one with its delivery."""
    store = open_store(database(home))
    try:
        schedules = open_schedules(store.database)
        found: dict[str, Occurrence | None] = {}
        for name, nominal in nominals.items():
            rows = schedules.history(f"uid-{name}", end=nominal)
            assert len(rows) <= 1, rows
            found[name] = rows[0] if rows else None
        # Read later: what was opened meanwhile has its delivery, and no occurrence here.
        deliveries = open_deliveries(store.database).listing(DeliveryFilter())
        assert max(Counter(one.key for one in deliveries).values(), default=0) <= 1
        uids = {one.uid for one in deliveries}
        assert all(row is None or row.delivery in uids for row in found.values())
        return found
    finally:
        store.close()


def all_closed(home: Path, nominals: dict[str, int]) -> bool:
    rows = opened(home, nominals).values()
    return all(row is not None and row.state in SETTLED_OCCURRENCES for row in rows)


def up(home: Path, **env: str) -> Served:
    return start(home, "--slots", "0", env=env)


@pytest.mark.parametrize("point", SCHEDULE_POINTS)
def test_a_server_that_dies_at_a_named_point_opens_each_that_was_due_once(
    home: Path, receiver: Receiver, point: str
) -> None:
    now = int(time.time())
    nominals = arm(home, receiver.url, [now - 1 - number % 5 for number in range(CROWD)])
    server = up(home, JOBRUNNER_CRASH_AT=point)
    try:
        assert server.process.wait(60) == -signal.SIGKILL, server.said()
        before = opened(home, nominals)
        count = sum(row is not None for row in before.values())
        assert count == (CROWD if point in {"schedule-opened", "schedule-closed"} else 0)
        server = up(home)
        until(lambda: all_closed(home, nominals), why=server.said)
        after = opened(home, nominals)
        for name, row in after.items():
            assert row is not None
            assert row.state is OccurrenceState.CLOSED, row
            first = before[name]
            assert first is None or (first.delivery, first.opened_at) == (
                row.delivery,
                row.opened_at,
            )
            assert receiver.began[f"/{name}"] >= 1
        assert "Traceback" not in server.said()
    finally:
        server.process.kill()
        server.process.wait()


def test_a_server_that_stands_still_over_several_due_instants_opens_each_once(
    home: Path, receiver: Receiver
) -> None:
    server = up(home)
    try:
        assert answering(server), server.said()
        # The first ones while it runs, the others while it stands still.
        begin = int(time.time()) + 2
        due = [begin] * 5 + [begin + second for second in (4, 5, 6) for _ in range(5)]
        nominals = arm(home, receiver.url, due)
        # What came by the back door is seen when something comes through the front.
        other = {
            "name": f"projects/{WHERE.project}/locations/{WHERE.region}/jobs/other",
            "schedule": "0 0 1 1 *",
            "httpTarget": {"uri": f"{receiver.url}/other"},
        }
        server.call("POST", f"/v1/{other['name'].rpartition('/')[0]}", other)
        until(lambda: sum(receiver.began.values()) >= 5, why=server.said)
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: time.time() > due[-1] + 0.5)
        stood = opened(home, nominals)
        assert any(row is None for row in stood.values()), "nothing was due while it stood still"
        server.process.send_signal(signal.SIGCONT)
        until(lambda: all_closed(home, nominals), why=server.said)
        rows = opened(home, nominals)
        assert {row.reason.split(";")[0] for row in rows.values() if row} == {"on time"}
        assert set(receiver.began.values()) == {1}
        assert len(receiver.began) == len(nominals)
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.process.kill()
        server.process.wait()
