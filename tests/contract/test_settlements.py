"""Who waits for deliveries is told at once, and of what others did by one question a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from jobrunner.errors import NotFound, StoreFault
from jobrunner.lib.database import Database, connect
from tests.support.deliveries import NOW, a_delivery, fresh, moved, settle
from tests.support.waiting import PATIENCE
from triggers.core.records import Delivery
from triggers.core.states import DeliveryEvent, DeliveryState
from triggers.service.settling import Settlements


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


def sending(database: Database, count: int) -> list[Delivery]:
    store = fresh(database)
    for number in range(count):
        store.open(a_delivery(f"d{number}"))
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += store.claim("r", now=NOW, ttl=15, most=500, per_place=500, busy={}).taken
    return taken


async def test_all_that_are_waited_for_are_asked_about_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fresh(database)
    several = sending(database, 200)
    settle(store, several[0])
    reads = []
    read = database.read
    monkeypatch.setattr(database, "read", lambda work: (reads.append(1), read(work))[1])
    # Who waits for no other runner is not interrupted by a look at what the others did.
    waits, polled = Settlements(store, poll=3600.0), Settlements(store, poll=0.05)
    waiting = [asyncio.ensure_future(waits.settled(one.uid, PATIENCE)) for one in several]
    first = await waiting[0]
    assert first is not None
    assert first.state is DeliveryState.DELIVERED
    assert len(reads) == 2, "which have settled, and those"
    # Our own, by word of mouth.
    move = moved(several[100], DeliveryEvent.ACCEPTED)
    assert store.record([move]) == [True]
    reads.clear()
    waits.told([move])
    assert await waiting[100] == move.after
    assert reads == []
    assert len(waits._waiting) == 198
    # And another runner's, of which nobody here is told.
    others = [asyncio.ensure_future(polled.settled(one.uid, PATIENCE)) for one in several[1:100]]
    await asyncio.sleep(0)
    for one in several[1:100]:
        settle(store, one)
    ends = await asyncio.gather(*others)
    assert all(end is not None and end.state is DeliveryState.DELIVERED for end in ends)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not waits._waiting
    assert not polled._waiting


async def test_one_that_is_not_there_and_one_that_takes_too_long_end_the_wait(
    database: Database,
) -> None:
    store = fresh(database)
    [one] = sending(database, 1)
    waits = Settlements(store, poll=0.02)
    assert await waits.settled(one.uid, 0.0) is None
    assert await waits.settled(one.uid, 0.1) is None
    with pytest.raises(NotFound):
        await waits.settled("nobody", 30.0)


async def test_a_store_that_is_away_for_a_while_does_not_end_a_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fresh(database)
    [one] = sending(database, 1)
    waits = Settlements(store, poll=0.02)
    waiting = asyncio.ensure_future(waits.settled(one.uid, PATIENCE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    settle(store, one)
    faults = [StoreFault("away")] * 3
    standing = store.standing

    def sometimes(uids: list[str]) -> object:
        if faults:
            raise faults.pop()
        return standing(uids)

    monkeypatch.setattr(store, "standing", sometimes, raising=False)
    end = await waiting
    assert end is not None
    assert not faults
