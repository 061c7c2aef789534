"""One container followed to its end: its output copied to the log, its exit read, whatever happens
to the engine in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from jobrunner.backends._docker.create import Marks, read_marks
from jobrunner.backends._docker.engine import Engine, EngineAway, EngineRefused, message_of, path_of
from jobrunner.backends._docker.exits import never_ran, read_sighting
from jobrunner.backends._docker.stops import Stops
from jobrunner.backends._docker.wire import (
    BadAnswer,
    Frames,
    Replay,
    parse_instant,
    split_timestamp,
)
from jobrunner.core.records import ExitStatus
from jobrunner.errors import AttemptVanished
from jobrunner.lib import framelog
from jobrunner.ports import Running, Vanished

AWAY_SLACK = 30.0
"""Seconds before its absence is noticed in which an engine may already be ending its containers.
It gives them 15 by default. What ended by itself before that has been read by then."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

GONE = "The container engine no longer knows its container."


class Follower:
    """``run`` once. With ``marks`` the container is new: ``run`` attaches to it, sets ``attached``,
    and nothing is missed if it is started then. Without, it is somebody's who went away: its log
    is written anew from what the engine has kept. ``booted_at`` is when the engine's machine was
    started, if known. A timeout of the attempt is enforced as long as somebody follows it.
    """

    def __init__(
        self,
        engine: Engine,
        stops: Stops,
        container: str,
        marks: Marks | None,
        *,
        booted_at: float | None,
    ) -> None:
        self._engine = engine
        self._stops = stops
        self._deadline: asyncio.TimerHandle | None = None
        self._container = container
        self._marks = marks
        self._new = marks is not None
        self._booted_at = booted_at
        self._seen_from = time.time()
        self._away_since: float | None = None
        self._written: int | None = None
        self._pause = FIRST_PAUSE
        self.attached = asyncio.Event()

    async def run(self) -> ExitStatus:
        """Raises AttemptVanished; EngineAway only before ``attached`` is set."""
        try:
            return await self._run()
        finally:
            if self._deadline is not None:
                self._deadline.cancel()

    def started(self, ago: float = 0.0) -> None:
        """The container runs since ``ago`` seconds: its time is running out."""
        if self._deadline is None and self._marks is not None and self._marks.timeout is not None:
            left = max(0.0, self._marks.timeout - ago)
            self._deadline = asyncio.get_running_loop().call_later(
                left, self._stops.order, self._engine, self._container, self._marks.grace
            )

    async def _run(self) -> ExitStatus:
        complete = False
        if self._new:
            await self._engine.watch.stand()
            complete = await self._copy_live()
        while True:
            try:
                if not complete:
                    await self._engine.watch.stand()
                    await self._copy_stored()
                status = await self._end()
            except EngineAway:
                # The stream may have broken off where it seemed to end.
                complete = False
                if self._away_since is None:
                    self._away_since = time.time() - AWAY_SLACK
                await self._rest()
            except EngineRefused as error:
                if error.status == 404:
                    raise AttemptVanished(GONE) from None
                await self._rest()
            except BadAnswer:
                await self._rest()
            else:
                if status is not None:
                    return replace(status, output=self._written)
                complete = False

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _end(self) -> ExitStatus | None:
        """How it ended, or ``None`` if it runs still (its engine came back to it)."""
        path = path_of("containers", self._container)
        await self._engine.post(f"{path}/wait", {"condition": "not-running"}, patient=True)
        # Over a new connection: an engine that is shutting down takes none, and what it has just
        # killed must not be taken for something that ended by itself.
        found = await self._engine.get(f"{path}/json", fresh=True)
        if never_ran(found["State"]):
            raise AttemptVanished("Its container was never started.")
        facts = await self._engine.facts()
        marks = await self._find_marks()
        sighting = read_sighting(
            found,
            booted_at=self._booted_at,
            away_since=None if facts.live_restore else self._was_away(),
            timeout=marks.timeout,
        )
        if isinstance(sighting, Vanished):
            raise AttemptVanished(sighting.detail)
        if isinstance(sighting, Running):
            self._away_since, self._seen_from = None, time.time()
            self._pause = FIRST_PAUSE
            return None
        return sighting

    def _was_away(self) -> float | None:
        """Since when the engine may not have been itself, if it went away since we look."""
        broke_at = self._engine.watch.broke_at
        if broke_at is not None and broke_at >= self._seen_from:
            return min(broke_at - AWAY_SLACK, self._away_since or broke_at)
        return self._away_since

    # ------------------------------------------------------------ output

    async def _copy_live(self) -> bool:
        """Copies output as it is written, byte for byte. Says whether it may be all there is."""
        assert self._marks is not None
        stream = await self._engine.stream(
            "POST",
            path_of("containers", self._container, "attach"),
            {"stream": "1", "stdout": "1", "stderr": "1"},
            upgrade=True,
        )
        async with stream as (head, pieces):
            if head.status >= 400:
                raise EngineRefused(head.status, await _message(pieces))
            writer = _writer(self._marks)
            self.attached.set()
            try:
                frames = Frames()
                async for piece in pieces:
                    now = time.time()
                    for entry in frames.feed(piece):
                        writer.write(now, entry.stream, entry.data)
            except (EngineAway, BadAnswer):
                return False
            finally:
                writer.close()
                self._written = writer.written
        return True

    async def _copy_stored(self) -> None:
        """Copies all output from the beginning, and on until the container ends."""
        marks = await self._find_marks()
        stream = await self._engine.stream(
            "GET",
            path_of("containers", self._container, "logs"),
            {"follow": "1", "stdout": "1", "stderr": "1", "timestamps": "1"},
        )
        async with stream as (head, pieces):
            if head.status >= 400:
                raise EngineRefused(head.status, await _message(pieces))
            writer = _writer(marks)
            try:
                frames, replay = Frames(), Replay()
                async for piece in pieces:
                    for entry in frames.feed(piece):
                        at, data = split_timestamp(entry.data)
                        writer.write(at, entry.stream, replay.restore(entry.stream, data))
            finally:
                writer.close()
                self._written = writer.written

    async def _find_marks(self) -> Marks:
        if self._marks is None:
            found = await self._engine.get(path_of("containers", self._container, "json"))
            self._marks = read_marks(found["Config"].get("Labels"))
            if self._marks is None:
                raise AttemptVanished("Its container does not bear our mark.")
            since = parse_instant(found["State"].get("StartedAt") or "")
            if found["State"].get("Running") and since is not None:
                self.started(time.time() - since)
        return self._marks


def _writer(marks: Marks) -> framelog.FrameWriter:
    """From the beginning: what was there of this log is replaced."""
    folder = os.path.dirname(marks.log)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        framelog.remove(marks.log)
    except OSError:
        # A log that cannot be kept loses output, never the task; the writer counts it.
        pass
    return framelog.FrameWriter(marks.log, head=marks.limits.head, tail=marks.limits.tail)


async def _message(pieces: AsyncIterator[bytes]) -> str:
    return message_of(b"".join([piece async for piece in pieces]))
