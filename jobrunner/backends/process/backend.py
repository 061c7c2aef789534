"""The Backend port over supervisors: one of our own to start with, and all others of the home."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator

from jobrunner.backends.process.convert import template_fields
from jobrunner.backends.process.handle import BOOT_CHARACTERS, Handle
from jobrunner.backends.process.health import examine
from jobrunner.backends.process.link import UNKNOWN, Link, NotStarted
from jobrunner.backends.supervisor import fences, place, procfs, remains, start
from jobrunner.backends.supervisor.journal import Started
from jobrunner.backends.supervisor.protocol import SupervisorFault
from jobrunner.core.records import ExitStatus
from jobrunner.errors import AttemptVanished, BackendFault
from jobrunner.ports import (
    Found,
    Health,
    Launched,
    LaunchSpec,
    Progress,
    Sighting,
    Vanished,
)

PATIENCE = 10.0
"""Seconds in which a supervisor must start, or answer."""
SAME_START = 100
"""Clock ticks between what a supervisor notes and the kernel's own start of a process, at most."""
GLANCE = 1.0
"""Seconds for a supervisor of somebody else when we only want to know whether it runs the same."""


class ProcessBackend:
    """Attempts as plain processes. ``home`` is an absolute directory; ``cwd`` is where processes
    without a working directory of their own run (default: the caller's current directory).

    A supervisor of our own is started by the first launch (``prepare`` begins with it), so limits,
    umask and namespaces of processes are the caller's. Every other supervisor of the home is found
    again: what an earlier runner started can be waited for, stopped and discarded here.
    """

    name = "process"

    def __init__(self, home: str, *, cwd: str | None = None) -> None:
        self._home = home
        self._cwd = cwd or os.getcwd()
        self._links: dict[str, Link] = {}
        self._attaching: dict[str, asyncio.Task[Link | None]] = {}
        self._own: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._looked = False
        self._elsewhere: dict[str, str] = {}
        self._home_name = ""

    # ------------------------------------------------------------------ the port

    async def probe(self) -> Health:
        return await asyncio.to_thread(examine, self._home)

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        """A process has no image: an image is ignored. Begins to start the supervisor."""
        self._open()
        return None

    async def launch(self, spec: LaunchSpec) -> Launched:
        key = str(spec.key)
        link = self._own
        if link is None or not link.usable:
            # Bad requests need no supervisor to be refused.
            template_fields(spec.template, self._cwd)
            link = await self._opened()
        if key in self._elsewhere:
            return await self._again(key, self._elsewhere[key])
        for _ in range(2):
            try:
                return await link.launch(spec, key, self._cwd)
            except NotStarted:
                link = await self._opened()
        raise BackendFault(f"attempt {key}: two supervisors died before they could start it")

    async def wait(self, handle: str) -> ExitStatus:
        found = Handle.parse(handle)
        link = await self._link(found)
        if link is None:
            raise AttemptVanished(f"attempt {found.key}: {UNKNOWN}")
        return await link.wait(found.key)

    async def stop(self, handle: str, *, grace: float) -> None:
        found = Handle.parse(handle)
        link = await self._link(found)
        if link is None:
            return
        link.stop(found.key, grace)
        if grace <= 0 and link.stopped() is not None:
            # Whoever is in a hurry does not wait until somebody wakes the supervisor.
            await self._kill(found)
            link.killed_past_it(found.key)

    async def obstacle(self, handle: str) -> str:
        """What keeps an attempt that is told to end from ending; empty if nothing is known."""
        found = Handle.parse(handle)
        link = self._links.get(found.supervisor)
        pid = link.stopped() if link is not None else None
        if pid is not None:
            return (
                f"the supervisor of plain processes, process {pid}, is stopped (state T);"
                f" wake it with: kill -CONT {pid}"
            )
        seen = procfs.stat(found.pid) if found.pid else None
        if seen is not None and seen.state == "D" and 0 <= seen.ticks - found.ticks < SAME_START:
            return f"process {found.pid} waits inside the kernel (state D), where no signal helps"
        return ""

    async def inspect(self, handle: str) -> Sighting:
        found = Handle.parse(handle)
        link = await self._link(found)
        if link is None:
            return Vanished(UNKNOWN)
        seen = await link.look([found.key])
        return seen[found.key].sighting if found.key in seen else Vanished(UNKNOWN)

    async def discard(self, handle: str) -> None:
        found = Handle.parse(handle)
        link = await self._link(found)
        if link is not None:
            link.discard(found.key)
        self._elsewhere.pop(found.key, None)

    async def fence(self, execution: str, lease: int) -> None:
        if lease > 1:
            # The first lease has nobody before it, so nobody can be asleep with an older one.
            with _faults("the fence cannot be stored"):
                fences.store(place.fences_dir(self._home), execution, lease)
        for link in await self._all(PATIENCE):
            await link.fence(execution, lease)

    async def discover(self) -> AsyncIterator[Found]:
        with _faults("the supervisors of this home cannot be looked at"):
            await asyncio.to_thread(remains.sweep_unborn, self._home)
            fences.sweep(place.fences_dir(self._home))
        for link in await self._all(PATIENCE):
            for key, found in (await link.look(None)).items():
                self._note(link, key, found)
                yield found

    async def close(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            await asyncio.wait([opening])
        for task in list(self._attaching.values()):
            await asyncio.wait([task])
        links = [*self._links.values()]
        self._links.clear()
        self._own = None
        for link in links:
            await link.close()

    # ------------------------------------------------------------------ our own supervisor

    def _open(self) -> asyncio.Task[Link]:
        if self._opening is None or (self._opening.done() and not self._open_still()):
            self._opening = asyncio.get_running_loop().create_task(self._start())
            # Whoever launches hears of a failure; when nobody does, it is of no interest.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._opening

    def _open_still(self) -> bool:
        return self._own is not None and self._own.usable

    async def _opened(self) -> Link:
        return await asyncio.shield(self._open())

    async def _start(self) -> Link:
        with _faults("the supervisor of plain processes cannot be started"):
            directory = await asyncio.to_thread(start.start, self._home, patience=PATIENCE)
            link = await Link.connect(directory, self._prefix(directory), patience=PATIENCE)
        self._links[link.id] = link
        self._own = link
        if not self._looked:
            self._looked = True
            await self._look_around(link)
        return link

    async def _look_around(self, own: Link) -> None:
        """What runs already under another supervisor is not started again under ours."""
        for link in await self._all(GLANCE, strict=False):
            if link is not own:
                with contextlib.suppress(BackendFault):
                    for key, found in (await link.look(None)).items():
                        self._note(link, key, found)

    def _note(self, link: Link, key: str, found: Found) -> None:
        if link is not self._own:
            self._elsewhere[key] = found.handle

    async def _again(self, key: str, handle: str) -> Launched:
        """The answer to a launch of what another supervisor has, or had."""
        sighting = await self.inspect(handle)
        at = getattr(sighting, "since", None) or getattr(sighting, "started_at", None)
        return Launched(handle, at or 0.0)

    # ------------------------------------------------------------------ all supervisors

    async def _all(self, patience: float, *, strict: bool = True) -> list[Link]:
        """A line to every supervisor of the home, living or dead with something open. Where one
        lives and does not answer: BackendFault if ``strict``, else it is left out."""
        above = place.supervisors_dir(self._home)
        try:
            names = sorted(os.listdir(above))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BackendFault(f"{above} cannot be read: {error.strerror}") from error
        links = []
        for name in names:
            if name.endswith(place.UNBORN):
                continue
            try:
                link = await self._attach(name, patience)
            except BackendFault:
                if strict:
                    raise
                continue
            if link is not None:
                links.append(link)
        return links

    async def _link(self, handle: Handle) -> Link | None:
        """The line to the supervisor of a handle; ``None`` when nothing is known of it any more,
        and then nothing of the attempt is left running either."""
        link = await self._attach(handle.supervisor, PATIENCE)
        if link is None:
            await self._kill(handle)
        return link

    async def _kill(self, handle: Handle) -> None:
        """KILL to whatever lives of an attempt, without its supervisor."""
        if handle.boot == procfs.boot_id()[:BOOT_CHARACTERS]:
            prefix = self._prefix(handle.supervisor)
            left = {handle.key: Started(handle.pid, handle.ticks)}
            with _faults("leftovers of the attempt cannot be ended"):
                await asyncio.to_thread(remains.kill_leftovers, prefix, left)

    async def _attach(self, name: str, patience: float) -> Link | None:
        known = self._links.get(name)
        if known is not None and known.fault is None:
            return known
        task = self._attaching.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._reach(name, patience))
            self._attaching[name] = task
            task.add_done_callback(lambda _: self._attaching.pop(name, None))
        return await asyncio.shield(task)

    async def _reach(self, name: str, patience: float) -> Link | None:
        directory = os.path.join(place.supervisors_dir(self._home), name)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        with _faults(f"the supervisor {name} cannot be reached"):
            prefix = self._prefix(directory)
            while place.exists(directory):
                book = await asyncio.to_thread(remains.read, directory, prefix)
                if book is not None:
                    if not book.started and not book.ended:
                        return None
                    link = Link.of_the_dead(directory, prefix, book)
                    break
                try:
                    left = max(0.1, deadline - loop.time())
                    link = await Link.connect(directory, prefix, patience=left)
                    break
                except (ConnectionError, FileNotFoundError) as error:
                    # It is coming up or going down, or another runner reads what it left.
                    if loop.time() > deadline:
                        raise BackendFault(
                            f"the supervisor {name} cannot be reached: {error.strerror}"
                            f"{start.last_words(directory)}"
                        ) from error
                    await asyncio.sleep(0.01)
            else:
                return None
        self._links[name] = link
        return link

    def _prefix(self, directory: str) -> str:
        if not self._home_name:
            self._home_name = start.home_id(self._home)
        return start.mark_prefix(self._home_name, os.path.basename(directory))


@contextlib.contextmanager
def _faults(what: str) -> Iterator[None]:
    """Everything that goes wrong below becomes one sentence for people."""
    try:
        yield
    except SupervisorFault as error:
        raise BackendFault(str(error)) from error
    except OSError as error:
        raise BackendFault(f"{what}: {error}") from error
