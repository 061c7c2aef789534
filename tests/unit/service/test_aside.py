"""Reads that take long go on beside the loop."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.errors import StoreFault
from jobrunner.lib.database import Database, connect
from jobrunner.service.aside import MOST, Aside
from tests.support import tables
from tests.support.awaiting import until
from tests.support.tables import table_in


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with table_in(f"sqlite:///{tmp_path}/state.db", 1) as opened:
        yield opened


def rows(database: Database) -> list[int]:
    return database.read(tables.rows)


async def test_the_loop_and_its_connection_go_on_while_it_reads(database: Database) -> None:
    began, free = threading.Event(), threading.Event()

    def slow(beside: Database) -> list[int]:
        began.set()
        assert free.wait(60)
        return rows(beside)

    reading = asyncio.ensure_future(Aside(database)(slow))
    await until(began.is_set)
    database.write(lambda s: s.execute("INSERT INTO t VALUES (2)"))
    assert not reading.done()
    free.set()
    assert await reading == [1, 2], "what is durable when it looks is seen"


async def test_no_more_than_a_few_read_at_once(database: Database) -> None:
    inside, most, free = 0, 0, threading.Event()

    def slow(beside: Database) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        assert free.wait(60)
        inside -= 1

    aside = Aside(database)
    reads = [asyncio.ensure_future(aside(slow)) for _ in range(3 * MOST)]
    await until(lambda: inside == MOST)
    free.set()
    await asyncio.gather(*reads)
    assert most == MOST


async def test_a_read_whose_caller_has_gone_keeps_its_turn_until_it_ends(
    database: Database,
) -> None:
    began, free = threading.Semaphore(0), threading.Event()

    def slow(beside: Database) -> None:
        began.release()
        assert free.wait(60)

    aside = Aside(database)
    reads = [asyncio.ensure_future(aside(slow)) for _ in range(MOST)]
    for _ in reads:
        await until(lambda: began.acquire(blocking=False))
    for read in reads:
        read.cancel()
    await asyncio.wait(reads)
    after = asyncio.ensure_future(aside(rows))
    await asyncio.sleep(0.05)
    assert not after.done()
    free.set()
    assert await after == [1]


async def test_what_breaks_in_a_read_breaks_for_its_caller(
    database: Database, tmp_path: Path
) -> None:
    aside = Aside(database)
    with pytest.raises(LookupError, match="nothing"):
        await aside(lambda beside: {}["nothing"])
    (tmp_path / "state.db").rename(tmp_path / "away.db")
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StoreFault, match=r"state\.db"):
        await aside(rows)


async def test_a_database_in_memory_is_read_at_once() -> None:
    database = connect("sqlite:///:memory:")
    assert await Aside(database)(lambda beside: beside) is database
    database.close()
