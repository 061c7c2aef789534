"""Looks after directories that stand for buckets: watches them, looks through them at the start and
whenever something was missed, and hands on what is complete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from jobrunner.errors import JobrunnerError
from jobrunner.lib.bell import Bell
from jobrunner.ports import Clock, Commit, MachineClock
from triggers.bucket_ports import BucketStore, Happening, Note, OpenWatch, Watch, WatchFault
from triggers.core.buckets import Bucket, Cause, Seen, Verdict, is_ignored, verdict
from triggers.event_ports import Cursors
from triggers.service.bucket_objects import BucketObjects, Looked
from triggers.service.crashpoints import crash_point
from triggers.service.events import Events
from triggers.sources import files
from triggers.sources.files import Rest

POLL_SECONDS = 1.0
"""How soon a bucket is seen that another process has added or removed."""
AGAIN_SECONDS = 2.0
"""Between two looks at a directory that cannot be watched, and at a file that does not rest."""
CHUNK = 256
READ = 32
"""Files of one commit."""

log = logging.getLogger("jobrunner.buckets")


class RootGone(Exception):
    """The directory went, or became another one: nothing is known of what is in it."""


class BucketWatcher:
    """Of one bucket. ``opened`` is called when there is something to send."""

    def __init__(
        self,
        objects: BucketObjects,
        watch: OpenWatch,
        commit: Commit,
        clock: Clock,
        machine: MachineClock,
        opened: Callable[[], None],
    ) -> None:
        self._objects = objects
        self._open = watch
        self._commit = commit
        self._clock = clock
        self._machine = machine
        self._opened = opened
        self._root = objects.bucket.directory
        self._identity: tuple[int, int] | None = None
        self._again: dict[str, float] = {}
        self._said = ""

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._watched()
            except RootGone:
                self._say(f"{self._root} is not there; its bucket waits for it")
            except JobrunnerError as error:
                self._say(f"the store cannot be used: {error}")
            except Exception:
                log.exception("The bucket %s cannot be looked after", self._objects.bucket.name)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _watched(self) -> None:
        """As long as all goes well."""
        self._identity = await asyncio.to_thread(files.identity, self._root)
        if self._identity is None:
            raise RootGone
        try:
            watch = await asyncio.to_thread(self._open, self._root)
        except WatchFault as fault:
            if fault.missing:
                raise RootGone from None
            self._say(f"{fault}; it is looked through every {AGAIN_SECONDS:g} seconds instead")
            await self.scan()
            return
        try:
            # What changes from here on is told of, so nothing falls between.
            await self.scan()
            self._said = ""
            while True:
                await self._wait(watch)
                await self.take(watch.take())
        except WatchFault as fault:
            self._say(str(fault))
        finally:
            watch.close()

    async def _wait(self, watch: Watch) -> None:
        left = None
        if self._again:
            left = max(0.0, min(self._again.values()) - self._machine.monotonic())
        with suppress(TimeoutError):
            await asyncio.wait_for(watch.wait(), left)

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning("Bucket %s: %s", self._objects.bucket.name, text)
            self._said = text

    # ------------------------------------------------------------ what is told

    async def take(self, notes: Sequence[Note]) -> None:
        """What a watch has told of. Raises RootGone, StoreFault."""
        causes: dict[str, Cause] = {}
        gone: dict[str, None] = {}
        directories: dict[str, None] = {}
        for note in notes:
            match note.what:
                case Happening.OVERFLOW:
                    log.warning(
                        "Bucket %s: so much has happened that all of it is looked through",
                        self._objects.bucket.name,
                    )
                    await self.scan()
                    return
                case Happening.ROOT_GONE:
                    raise RootGone
                case Happening.DIRECTORY:
                    directories[note.path] = None
                case Happening.DIRECTORY_GONE:
                    gone.update(dict.fromkeys(self._objects.below(f"{note.path}/")))
                case Happening.GONE:
                    gone[note.path] = None
                case Happening.COMPLETE:
                    causes[note.path] = Cause.COMPLETE
                case Happening.CREATED:
                    causes.setdefault(note.path, Cause.LOOK)
                case Happening.ATTRIBUTES:
                    causes.setdefault(note.path, Cause.ATTRIBUTES)
        now = self._machine.monotonic()
        for path, at in list(self._again.items()):
            if at <= now:
                del self._again[path]
                causes.setdefault(path, Cause.LOOK)
        await self._take_files(causes, gone)
        for path in directories:
            await self.scan(path)

    async def _take_files(self, causes: dict[str, Cause], gone: Iterable[str]) -> None:
        names = [name for name in {**dict.fromkeys(gone), **causes} if files.is_name(name)]
        for start in range(0, len(names), CHUNK):
            part = names[start : start + CHUNK]
            found = await asyncio.to_thread(files.look, self._root, part)
            there = [(name, seen) for name, seen in found if seen is not None]
            await self._forget([name for name, seen in found if seen is None])
            await self._look([(name, seen, causes.get(name, Cause.LOOK)) for name, seen in there])

    async def scan(self, below: str = "") -> None:
        """Looks through all files, or those in one directory. Raises RootGone, StoreFault."""
        found = files.walk(self._root, below, is_ignored)
        while chunk := await asyncio.to_thread(_some, found):
            await self._look([(name, seen, Cause.LOOK) for name, seen in chunk])
        if below:
            await self._missing(self._objects.below(f"{below}/"))
            return
        for names in self._objects.pages(CHUNK):
            await self._missing(names)

    async def _missing(self, names: Sequence[str]) -> None:
        found = await asyncio.to_thread(files.look, self._root, names)
        await self._forget([name for name, seen in found if seen is None])

    # ------------------------------------------------------------ what comes of it

    async def _look(self, found: Sequence[tuple[str, Seen, Cause]]) -> None:
        known = self._objects.known([name for name, _, _ in found])
        news = []
        for name, seen, cause in found:
            kind = verdict(known.get(name), seen, cause)
            if kind is not Verdict.NOTHING:
                news.append((name, cause, kind))
        hashing = bool(news) and self._objects.hashed()
        for start in range(0, len(news), READ):
            part = news[start : start + READ]
            looked = await asyncio.to_thread(self._read, part, hashing)
            complete = [one for one in looked if self._rests(one)]
            if complete:
                await self._told(lambda now, complete=complete: self._objects.take(complete, now))  # type: ignore[misc]

    def _read(self, part: Sequence[tuple[str, Cause, Verdict]], hashing: bool) -> list[Looked]:
        looked = []
        for name, cause, kind in part:
            decides = kind in (Verdict.WRITTEN_IF_OTHER, Verdict.CHANGED_IF_SAME)
            content = files.read(self._root, name, hashing=hashing or decides)
            if content is not None:
                looked.append(Looked(name, cause, content))
        return looked

    def _rests(self, one: Looked) -> bool:
        rest = one.content.rest
        if rest is Rest.UNKNOWN and one.cause is not Cause.COMPLETE:
            age = self._machine.now() - one.content.seen.mtime / 1e9
            rest = Rest.CHANGED if 0 <= age < AGAIN_SECONDS else Rest.FREE
        if rest is Rest.CHANGED:
            self._again[one.name] = self._machine.monotonic() + AGAIN_SECONDS
        return rest in (Rest.FREE, Rest.UNKNOWN)

    async def _forget(self, names: Sequence[str]) -> None:
        if not names or not self._objects.known(names):
            return
        if await asyncio.to_thread(files.identity, self._root) != self._identity:
            raise RootGone
        await self._told(lambda now: self._objects.forget(names, now))

    async def _told(self, work: Callable[[float], int | None]) -> None:
        while True:
            opened = await self._commit(lambda: work(self._clock.now()))
            if opened is not None:
                break
            await asyncio.sleep(0.05)
        if opened:
            crash_point("bucket-told")
            self._opened()


def _some(found: Iterator[tuple[str, Seen]]) -> list[tuple[str, Seen]]:
    some = list(islice(found, CHUNK))
    kept = [one for one in some if files.is_name(one[0])]
    # An empty list would be the end.
    return kept if kept or not some else _some(found)


class BucketKeeper:
    """A watcher for each bucket that there is."""

    def __init__(
        self,
        store: BucketStore,
        events: Events,
        cursors: Cursors,
        watch: OpenWatch,
        commit: Commit,
        clock: Clock,
        machine: MachineClock,
        opened: Callable[[], None],
    ) -> None:
        self._store = store
        self._events = events
        self._cursors = cursors
        self._watch = watch
        self._commit = commit
        self._clock = clock
        self._machine = machine
        self._opened = opened
        self._news = Bell()
        self._tasks: dict[Bucket, asyncio.Task[None]] = {}

    def look(self) -> None:
        """A bucket was added or removed."""
        self._news.ring()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                self._news.silence()
                try:
                    self._keep(self._store.listing(None))
                except JobrunnerError as error:
                    log.warning("Buckets wait: %s", error)
                await self._news.heard(POLL_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _keep(self, buckets: Sequence[Bucket]) -> None:
        for bucket in set(self._tasks) - set(buckets):
            self._tasks.pop(bucket).cancel()
        for bucket in buckets:
            if bucket not in self._tasks:
                objects = BucketObjects(bucket, self._store, self._events, self._cursors)
                watcher = BucketWatcher(
                    objects, self._watch, self._commit, self._clock, self._machine, self._opened
                )
                self._tasks[bucket] = asyncio.ensure_future(watcher.run())
