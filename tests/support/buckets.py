"""A directory that stands for a bucket, and what is told of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from jobrunner.lib.clock import FakeClock, SystemClock
from jobrunner.lib.ids import CountedIds
from jobrunner.ports import Store
from jobrunner.store.sql import SqlStore
from tests.support.events import HERE, a_trigger, rooms
from triggers.bucket_ports import Watch
from triggers.core.buckets import DELETED, FINALIZED, METADATA, is_ignored
from triggers.core.event_triggers import EventFilter
from triggers.core.records import Delivery, SourceKind
from triggers.ports import DeliveryFilter
from triggers.service.bucket_objects import BucketObjects
from triggers.service.bucket_watching import BucketWatcher
from triggers.service.buckets import Buckets
from triggers.sources.inotify import Inotify
from triggers.store import open_buckets, open_cursors

T = TypeVar("T")
NOW = 1_750_000_000.0


def watch(root: str) -> Watch:
    return Inotify(root, is_ignored)


class Place:
    """A bucket and its directory, watched by one server or several."""

    def __init__(self, store: Store, root: Path, *kinds: str) -> None:
        assert isinstance(store, SqlStore)
        self.jobs, self.root, self.clock = store, root, FakeClock(NOW)
        self.events, declared, self.deliveries = rooms(store.database)
        self.store = open_buckets(store.database)
        self.buckets = Buckets(self.store, self.clock, CountedIds())
        for kind in kinds or (FINALIZED, DELETED, METADATA):
            filters = (EventFilter("type", kind), EventFilter("bucket", "photos"))
            declared.triggers.create(a_trigger(kind.rpartition(".")[2].lower(), filters=filters))
        self.opened = 0

    async def commit(self, work: Callable[[], T]) -> T:
        [answer] = self.jobs.group([work])
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    async def add(self) -> None:
        bucket, stock = self.buckets.planned(HERE, "photos", str(self.root))
        await self.commit(lambda: self.buckets.set(bucket, stock))

    def watcher(self, open_watch: Callable[[str], Watch] = watch) -> BucketWatcher:
        bucket = self.buckets.get(HERE, "photos")
        cursors = open_cursors(self.jobs.database)
        objects = BucketObjects(bucket, self.store, self.events, cursors)
        return BucketWatcher(objects, open_watch, self.commit, self.clock, SystemClock(), self.rang)

    def rang(self) -> None:
        self.opened += 1

    @asynccontextmanager
    async def watched(self, open_watch: Callable[[str], Watch] = watch) -> AsyncIterator[None]:
        """By a server that has looked through it once."""
        task = asyncio.ensure_future(self.watcher(open_watch).run())
        marker = self.root / "marker-of-the-test"
        try:
            await self.noticed(marker)
            yield
        finally:
            task.cancel()
            marker.unlink(missing_ok=True)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def hears(self, *wanted: tuple[str, str]) -> None:
        """Exactly that, in any order, beside what tells that the test is ready."""
        await self.until(lambda: len(self.said()) >= len(wanted))
        # What comes too much comes before a file that is written after it.
        await self.noticed(self.root / "last-of-the-test")
        assert sorted(self.said()) == sorted(wanted)

    async def noticed(self, path: Path) -> None:
        """Makes a file and removes it, and waits until that was told of, once more if need be."""

        def told(what: str) -> int:
            return self.heard().count((what, path.name))

        finalized, deleted = told("finalized"), told("deleted")
        path.write_text("x")
        await self.until(lambda: told("finalized") > finalized)
        path.unlink()
        await self.until(lambda: told("deleted") > deleted)

    def said(self) -> list[tuple[str, str]]:
        return [one for one in self.heard() if not one[1].endswith("-of-the-test")]

    def heard(self) -> list[tuple[str, str]]:
        words = {"metadataupdated": "changed"}
        return [
            (words.get(one.source_name, one.source_name), document(one)["name"])
            for one in self.told()
        ]

    def told(self) -> list[Delivery]:
        wanted = DeliveryFilter(source=SourceKind.EVENT_TRIGGER)
        return list(self.deliveries.listing(wanted, oldest_first=True))

    def about(self, name: str) -> list[dict[str, Any]]:
        return [document(one) for one in self.told() if document(one)["name"] == name]


def document(delivery: Delivery) -> dict[str, Any]:
    assert delivery.payload is not None
    read: dict[str, Any] = json.loads(delivery.payload.body)
    return read
