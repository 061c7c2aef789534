"""A feed is read soon after this process has written, and not over and over."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from jobrunner.lib.clock import WallClock
from triggers.service.feeds import FeedReader, Read

T = TypeVar("T")
NEVER = 3600.0


class FakeFeed:
    name = "fake"

    def __init__(self) -> None:
        self.entries = 0
        self.reads = 0
        self.news = asyncio.Event()

    def last(self) -> int:
        return self.entries

    def read(self, now: float) -> Read:
        self.reads += 1
        self.news.set()
        return Read(self.entries, opened=1)


async def commit(work: Callable[[], T]) -> T:
    return work()


class Reading:
    """A reader that runs, beside its feed."""

    def __init__(self, *, poll: float, rest: float) -> None:
        self.feed = FakeFeed()
        self.reader = FeedReader(
            [self.feed], commit, WallClock(), lambda: None, poll=poll, rest=rest
        )
        self.task = asyncio.ensure_future(self.reader.run())

    async def told(self, stir: Callable[[], None]) -> None:
        """Until an entry was read that is added now."""
        self.feed.news.clear()
        self.feed.entries += 1
        stir()
        async with asyncio.timeout(30):
            await self.feed.news.wait()


async def asleep() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_this_process_writes_wakes_the_reader() -> None:
    reading = Reading(poll=NEVER, rest=0.0)
    await reading.told(lambda: None)
    for _ in range(3):
        await asleep()
        await reading.told(reading.reader.stirred)
    reading.task.cancel()


async def test_what_a_thread_writes_wakes_the_reader_too() -> None:
    reading = Reading(poll=NEVER, rest=0.0)
    await reading.told(lambda: None)
    await asleep()
    loop = asyncio.get_running_loop()
    await reading.told(lambda: loop.run_in_executor(None, reading.reader.stirred) and None)
    reading.task.cancel()


async def test_what_was_written_during_the_rest_is_read_after_it() -> None:
    reading = Reading(poll=NEVER, rest=0.02)
    await reading.told(lambda: None)
    await reading.told(reading.reader.stirred)
    reading.task.cancel()


async def test_what_others_write_is_found_by_and_by() -> None:
    reading = Reading(poll=0.01, rest=0.005)
    await reading.told(lambda: None)
    await asleep()
    await reading.told(lambda: None)
    reading.task.cancel()


async def test_much_that_is_written_is_read_together() -> None:
    reading = Reading(poll=NEVER, rest=NEVER)
    await reading.told(lambda: None)
    await reading.told(reading.reader.stirred)
    for _ in range(100):
        reading.feed.entries += 1
        reading.reader.stirred()
        await asyncio.sleep(0)
    assert reading.feed.reads == 2
    await reading.told(reading.reader.look)
    assert reading.feed.reads == 3, "one that is told to look does not rest"
    reading.task.cancel()
