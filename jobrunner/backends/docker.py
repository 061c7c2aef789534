"""Attempts in containers of a Docker engine on this machine (or behind a plain TCP address).

The engine holds the containers: they outlive the runner, keep their output and their exit until
they are discarded, and are found again by their labels. ``docs/explain/containers.md`` tells what
that means for people; the parts are in ``jobrunner.backends._docker``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from jobrunner.backends._docker.create import (
    HOME_LABEL,
    Marks,
    container_name,
    create_body,
    home_id,
    marks_of,
    read_marks,
)
from jobrunner.backends._docker.endpoint import BadEndpoint, find_endpoint
from jobrunner.backends._docker.engine import Engine, EngineAway, EngineRefused, Facts, path_of
from jobrunner.backends._docker.exits import machine_booted_at, never_ran, read_sighting
from jobrunner.backends._docker.fences import Fences
from jobrunner.backends._docker.files import SecretFiles, secret_files
from jobrunner.backends._docker.follow import GONE, Follower
from jobrunner.backends._docker.health import absent, probe
from jobrunner.backends._docker.reference import is_image_id, parse_reference, pinned
from jobrunner.backends._docker.refusals import CONFIG, ENGINE, MISSING, STALE, launch_failed
from jobrunner.backends._docker.stops import Stops
from jobrunner.backends._docker.wire import parse_instant
from jobrunner.core.records import AttemptKey, ExitStatus
from jobrunner.errors import AttemptVanished, BackendFault, LaunchFailed
from jobrunner.ports import (
    Found,
    Health,
    Launched,
    LaunchSpec,
    Progress,
    Sighting,
    Vanished,
)

PATIENCE = 30.0
"""Seconds that a request waits for an engine that has answered before (a restart, an upgrade)."""

PAUSE = 0.2

LEAST_STARTS, STARTS_PER_CPU = 16, 4

START_SETTLES = 5.0
"""Seconds after which a container that was created and does not run was never told to start."""

STALE_FILES = 60.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class Handle(NamedTuple):
    """``name/id``: the name is unique by home and attempt key, the id by engine and for ever."""

    name: str
    container: str

    def __str__(self) -> str:
        return f"{self.name}/{self.container}"


class DockerBackend:
    """The backend ``docker`` of the home directory ``home``. Touches no container of another home.

    ``environ`` says where the engine is (``DOCKER_HOST``, ``DOCKER_CONTEXT``, ``DOCKER_CONFIG``);
    by default this process's own.
    """

    name = "docker"

    def __init__(self, home: str, *, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._home_path = os.path.realpath(home)
        self._home = home_id(_machine(), self._home_path)
        self._fences = Fences(os.path.join(self._home_path, "run", "docker-fences.json"))
        self._open_engine: Engine | None = None
        self._files: SecretFiles | None = None
        self._booted_at: float | None = None
        self._starts: asyncio.Semaphore | None = None
        self._pulls: dict[str, asyncio.Lock] = {}
        self._followed: dict[str, asyncio.Task[ExitStatus]] = {}
        self._stops = Stops()
        self._met = False
        self._closed = False
        self._launching: dict[AttemptKey, asyncio.Task[Launched]] = {}
        self._clamped: set[str] = set()

    # ------------------------------------------------------------ the port

    async def probe(self) -> Health:
        try:
            return await probe(self._engine())
        except BadEndpoint as error:
            return await probe(error)

    async def prepare(self, image: str | None, progress: Progress) -> str | None:
        """An image that is here is used as it is; a missing one is pulled."""
        if image is None:
            return None
        if not is_image_id(image):
            try:
                parse_reference(image)
            except ValueError as error:
                raise LaunchFailed(f"{error}.", permanent=True, reason=MISSING) from None
        try:
            found = await self._patiently(lambda: self._image(image))
            if found is None:
                await self._pull(image, progress)
                found = await self._patiently(lambda: self._image(image))
        except LaunchFailed:
            raise
        except BackendFault as error:
            raise self._explained(error) from error
        if found is None:
            raise LaunchFailed(f"Image '{image}' not found.", permanent=True, reason=MISSING)
        return pinned(image, str(found["Id"]), found.get("RepoDigests") or ())

    async def launch(self, spec: LaunchSpec) -> Launched:
        execution = spec.key.execution
        if not self._fences.admits(execution, spec.lease):
            raise LaunchFailed(
                f"Execution {execution} is driven by another runner by now.",
                permanent=False,
                reason=STALE,
            )
        # Asked twice at once it happens once, and whoever gives up asking does not cut it in two.
        task = self._launching.get(spec.key)
        if task is None:
            task = self._launching[spec.key] = asyncio.ensure_future(self._launch_when_free(spec))
            task.add_done_callback(lambda done: self._launched(spec.key, done))
        return await asyncio.shield(task)

    async def wait(self, handle: str) -> ExitStatus:
        parsed = self._ours(handle)
        task = self._followed.get(parsed.container)
        if task is None:
            task = self._follow(parsed.container, self._follower(parsed.container, None))
        return await asyncio.shield(task)

    async def stop(self, handle: str, *, grace: float) -> None:
        self._stops.order(self._engine(), self._ours(handle).container, grace)

    async def inspect(self, handle: str) -> Sighting:
        """Raises BackendFault where the engine does not answer: nothing is known then."""
        container = self._ours(handle).container
        task = self._followed.get(container)
        if task is not None and task.done() and not task.cancelled() and not task.exception():
            return task.result()
        found = await self._answer(lambda: self._container(container))
        return Vanished(GONE) if found is None else self._read(found)

    async def discard(self, handle: str) -> None:
        name, container = self._ours(handle)
        task = self._followed.pop(container, None)
        if task is not None and not task.done():
            task.cancel()
        self._stops.forget(container)
        await self._answer(lambda: self._remove(container))
        self._secret_files().remove(name)

    async def fence(self, execution: str, lease: int) -> None:
        self._fences.raise_to(execution, lease)

    async def discover(self) -> AsyncIterator[Found]:
        """Containers that were created and never started are not among it: no attempt ran in
        them. Those of an earlier lease are removed on the way, and so are secret files whose
        container is gone."""
        filters = f'{{"label":["{HOME_LABEL}={self._home}"]}}'
        listed = await self._answer(
            lambda: self._engine().get("/containers/json", {"all": "1", "filters": filters})
        )
        for entry in listed:
            marks = read_marks(entry.get("Labels"))
            container = str(entry["Id"])
            found = await self._answer(lambda c=container: self._settled(c))  # type: ignore[misc]
            if found is None or marks is None or marks.home != self._home:
                continue
            if never_ran(found["State"]):
                if marks.lease < self._fences.highest(marks.key.execution):
                    await self._answer(lambda c=container: self._remove(c))  # type: ignore[misc]
                    self._secret_files().remove(_name_of(found))
                continue
            handle = Handle(_name_of(found), container)
            yield Found(marks.key, str(handle), self._read(found))
        self._sweep({name.lstrip("/") for entry in listed for name in entry.get("Names") or ()})

    async def close(self) -> None:
        self._closed = True
        tasks: list[asyncio.Task[Any]] = [*self._launching.values(), *self._followed.values()]
        self._followed.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stops.close()
        if self._open_engine is not None:
            self._open_engine.close()

    # ------------------------------------------------------------ launching

    def _launched(self, key: AttemptKey, done: asyncio.Task[Launched]) -> None:
        self._launching.pop(key, None)
        if not done.cancelled():
            done.exception()

    async def _launch_when_free(self, spec: LaunchSpec) -> Launched:
        try:
            facts = await self._patiently(lambda: self._engine().facts())
            async with self._start_slots(facts):
                return await self._patiently(lambda: self._launch(spec, facts))
        except LaunchFailed:
            raise
        except BackendFault as error:
            raise self._explained(error) from error

    async def _launch(self, spec: LaunchSpec, facts: Facts) -> Launched:
        """Every step may be repeated: a launch that was cut off anywhere is taken up there."""
        engine, image = self._engine(), spec.template.image or ""
        name = container_name(self._home, spec)
        fetched = False
        while True:
            body = self._body(spec, facts, name)
            try:
                created = await engine.post("/containers/create", {"name": name}, body)
            except EngineRefused as error:
                if error.status == 409:
                    known = await self._known(name, spec)
                    if known is None:
                        continue
                    if isinstance(known, Launched):
                        return known
                    container = known
                elif error.status == 404 and not fetched and not is_image_id(image):
                    fetched = True
                    await self._pull(image, log.info)
                    continue
                else:
                    self._secret_files().remove(name)
                    raise launch_failed(error, image) from error
            else:
                container = str(created["Id"])
            try:
                return await self._start(spec, Handle(name, container))
            except EngineRefused as error:
                if error.status == 404 and "no such container" in error.message.lower():
                    continue
                await self._remove(container)
                self._secret_files().remove(name)
                raise launch_failed(error, image) from error

    def _body(self, spec: LaunchSpec, facts: Facts, name: str) -> dict[str, Any]:
        template = spec.template
        clamped = template.cpus is not None and 0 < facts.cpus < template.cpus
        if clamped and spec.key.execution not in self._clamped:
            self._clamped.add(spec.key.execution)
            log.warning(
                "%s asks for %g CPUs; the container engine has %d: clamped.",
                template.execution_name,
                template.cpus,
                facts.cpus,
            )
        try:
            mounts = (
                self._secret_files().write(name, template.secret_files)
                if template.secret_files
                else ()
            )
        except OSError as error:
            raise LaunchFailed(
                f"Secret files cannot be written below {self._secret_files().root}: "
                f"{error.strerror}.",
                permanent=False,
                reason=ENGINE,
            ) from error
        return create_body(
            spec, home=self._home, cpus=facts.cpus, log_drivers=facts.logs, secrets=mounts
        )

    async def _known(self, name: str, spec: LaunchSpec) -> Launched | str | None:
        """What bears the name already: launched, the id of what was only created, or nothing."""
        found = await self._container(name)
        if found is None or found["State"].get("Dead") or found["State"]["Status"] == "removing":
            await asyncio.sleep(PAUSE)
            return None
        marks = read_marks(found["Config"].get("Labels"))
        if marks is None or marks.home != self._home or marks.key != spec.key:
            raise LaunchFailed(
                f"A container named '{name}' is here already and is not ours.",
                permanent=True,
                reason=CONFIG,
            )
        container = str(found["Id"])
        if never_ran(found["State"]):
            return container
        started_at = parse_instant(found["State"].get("StartedAt") or "")
        return Launched(str(Handle(name, container)), started_at or time.time())

    async def _start(self, spec: LaunchSpec, handle: Handle) -> Launched:
        container = handle.container
        follower = self._follower(container, marks_of(self._home, spec))
        task = self._follow(container, follower)
        attached = asyncio.ensure_future(follower.attached.wait())
        try:
            await asyncio.wait({task, attached}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                error = task.exception()
                raise error if error is not None else BackendFault("The container is gone.")
            await self._engine().post(path_of("containers", container, "start"))
        except BaseException:
            # Whoever asks for the end later follows it from what the engine has kept.
            self._followed.pop(container, None)
            task.cancel()
            raise
        finally:
            attached.cancel()
        follower.started()
        return Launched(str(handle), time.time())

    def _follower(self, container: str, marks: Marks | None) -> Follower:
        return Follower(
            self._engine(), self._stops, container, marks, booted_at=self._machine_boot()
        )

    def _follow(self, container: str, follower: Follower) -> asyncio.Task[ExitStatus]:
        task = asyncio.ensure_future(follower.run())
        self._followed[container] = task

        def ended(done: asyncio.Task[ExitStatus]) -> None:
            self._stops.forget(container)
            if not done.cancelled():
                done.exception()

        task.add_done_callback(ended)
        return task

    def _start_slots(self, facts: Facts) -> asyncio.Semaphore:
        """The engine is the bottleneck; far more starts at once than it has cores only make each of
        them slow, up to its own time limits."""
        if self._starts is None:
            self._starts = asyncio.Semaphore(max(LEAST_STARTS, STARTS_PER_CPU * facts.cpus))
        return self._starts

    # ------------------------------------------------------------ images

    async def _image(self, image: str) -> dict[str, Any] | None:
        name = image if is_image_id(image) else str(parse_reference(image))
        try:
            found: dict[str, Any] = await self._engine().get(path_of("images", name, "json"))
        except EngineRefused as error:
            if error.status == 404:
                return None
            raise
        return found

    async def _pull(self, image: str, progress: Progress) -> None:
        """Raises LaunchFailed. Asked twice at once it pulls once."""
        if is_image_id(image):
            raise LaunchFailed(f"Image '{image}' not found.", permanent=True, reason=MISSING)
        async with self._pulls.setdefault(image, asyncio.Lock()):
            if await self._image(image) is not None:
                return
            from jobrunner.backends._docker.pull import pull

            loop, abandoned = asyncio.get_running_loop(), False

            def say(line: str) -> None:
                if not abandoned:
                    loop.call_soon_threadsafe(progress, line)

            engine = self._engine()
            work = asyncio.to_thread(
                pull, engine.endpoint.url, await engine.version(), image, parse_reference(image),
                say, lambda: abandoned,
            )  # fmt: skip
            try:
                await work
            except asyncio.CancelledError:
                abandoned = True
                raise

    # ------------------------------------------------------------ containers

    async def _container(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._engine().get(path_of("containers", name, "json"))
        except EngineRefused as error:
            if error.status == 404:
                return None
            raise
        return found

    def _read(self, found: Mapping[str, Any]) -> Sighting:
        marks = read_marks(found["Config"].get("Labels"))
        timeout = marks.timeout if marks is not None else None
        return read_sighting(found, booted_at=self._machine_boot(), timeout=timeout)

    async def _settled(self, container: str) -> dict[str, Any] | None:
        """As it is once a start that may be on its way in the engine has happened."""
        while True:
            found = await self._container(container)
            if found is None or not never_ran(found["State"]) or found["State"].get("Error"):
                return found
            created_at = parse_instant(found.get("Created") or "")
            if created_at is None or time.time() - created_at > START_SETTLES:
                return found
            await asyncio.sleep(PAUSE)

    async def _remove(self, container: str) -> None:
        try:
            await self._engine().delete(path_of("containers", container), {"force": "1", "v": "1"})
        except EngineRefused as error:
            # 409: somebody is removing it already.
            if error.status not in (404, 409):
                raise

    def _sweep(self, known: set[str]) -> None:
        """Secret files of launches that never came to a container."""
        files = self._secret_files()
        try:
            entries = list(os.scandir(files.root))
        except OSError:
            return
        for entry in entries:
            if entry.name not in known and entry.stat().st_mtime < time.time() - STALE_FILES:
                files.remove(entry.name)

    # ------------------------------------------------------------ inside

    def _engine(self) -> Engine:
        if self._open_engine is None:
            if self._closed:
                raise BackendFault("The docker backend is closed.")
            self._open_engine = Engine(find_endpoint(self._environ))
        return self._open_engine

    def _is_local(self) -> bool:
        return self._engine().endpoint.socket is not None

    def _machine_boot(self) -> float | None:
        if self._booted_at is None and self._is_local():
            self._booted_at = machine_booted_at()
        return self._booted_at

    def _secret_files(self) -> SecretFiles:
        if self._files is None:
            self._files = secret_files(self._home_path, self._home, local=self._is_local())
        return self._files

    def _ours(self, handle: str) -> Handle:
        name, _, container = handle.partition("/")
        if not container or not name.startswith(f"jobrunner-{self._home}-"):
            raise AttemptVanished("It does not belong to this home.")
        return Handle(name, container)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does ``work``, which may be done twice; an engine that was here and is away gets
        PATIENCE seconds to come back."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                result = await work()
            except EngineAway:
                if not self._met or time.monotonic() > give_up:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                self._met = True
                return result

    async def _answer(self, work: Callable[[], Awaitable[T]]) -> T:
        """As ``_patiently``; an absence is told in a sentence."""
        try:
            return await self._patiently(work)
        except EngineAway as error:
            raise self._away(error) from error

    def _away(self, error: EngineAway) -> BackendFault:
        health = absent(self._engine().endpoint, error)
        return BackendFault(health.detail, hint=health.hint)

    def _explained(self, error: BackendFault) -> BackendFault:
        """An engine that is not there says nothing about an image or an attempt."""
        if isinstance(error, EngineAway):
            return self._away(error)
        if isinstance(error, BadEndpoint):
            return error
        return LaunchFailed(
            f"The container engine refused: {error.message}.", permanent=False, reason=ENGINE
        )


def _name_of(found: Mapping[str, Any]) -> str:
    return str(found["Name"]).lstrip("/")


def _machine() -> str:
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


__all__ = ["DockerBackend"]
