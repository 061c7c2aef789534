"""The process that people keep running: one home, its faces, its executor and its house-keeping."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jobrunner import __version__
from jobrunner.api.clock import methods as clock_methods
from jobrunner.api.http.guard import check_exposure, is_loopback
from jobrunner.app import faces, plugged
from jobrunner.app.doors import Doors
from jobrunner.app.engines import EngineWatch
from jobrunner.app.frozen import FrozenWatch
from jobrunner.app.home import App
from jobrunner.app.homelock import HomeLock, already_served, living_server
from jobrunner.app.making import Backends, make_means
from jobrunner.app.options import ServeOptions
from jobrunner.app.reporting import LogObserver
from jobrunner.app.sockets import listen, port_of
from jobrunner.app.stopping import StopSignals
from jobrunner.app.virtual import Keep, check_clock, open_clock
from jobrunner.app.watching import NewsObserver
from jobrunner.calls import Principal
from jobrunner.core.news import News, Tone
from jobrunner.core.records import Scope
from jobrunner.core.timestamps import format_time
from jobrunner.errors import JobrunnerError, Refused, RunnerFault
from jobrunner.executor.recovery import sweep
from jobrunner.executor.serving import ServingExecutor
from jobrunner.lib import garbage, serverfile
from jobrunner.lib.bell import stroke
from jobrunner.lib.clock import VirtualClock
from jobrunner.lib.database.sqlite import SqliteDatabase
from jobrunner.lib.serverfile import ServerFile
from jobrunner.ports import Backend
from jobrunner.service.audit import Audit
from jobrunner.service.commit import GroupCommit
from jobrunner.service.moving import Mover
from jobrunner.service.parts import Ground, Parts
from jobrunner.service.rounds import Rounds
from jobrunner.service.telling import Telling
from jobrunner.service.tokens import Authenticator, Tokens
from jobrunner.settings import Settings
from jobrunner.store.sql import SqlStore

if TYPE_CHECKING:
    from jobrunner.api.grpc.server import Serving

HOUSE_SECONDS = 3600.0
NOTES_SECONDS = 1.0
ADDRESS_SECONDS = 2.0
FACES_SECONDS = 2.0
DRAIN_SECONDS = 3.0
FINISH_LOOK_SECONDS = 0.05

log = logging.getLogger("jobrunner.server")


def serve(settings: Settings, options: ServeOptions, say: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT. ``say`` is told where it listens. Raises Refused when the
    port is taken, the home is served already, or strangers could come in."""
    tls = faces.read_tls(options)
    check_clock(settings, options)
    listener = _bind(settings, options)
    try:
        with App.open(settings) as app:
            lock = _lock(settings)
            try:
                clock, keep = open_clock(settings, options)
                app.go_by(clock)
                _refuse_open_doors(app, options)
                server = Server(app, options, listener, tls, keep)

                def ready(words: str) -> None:
                    garbage.stays()
                    say(words)

                finish = server.finish if options.patient else None
                signals = StopSignals(server.stop, log.warning, finish)
                with asyncio.Runner() as runner:
                    server.loop = runner.get_loop()
                    signals.install()
                    runner.run(server.run(ready))
            finally:
                if lock is not None:
                    lock.release()
    finally:
        listener.close()


def _bind(settings: Settings, options: ServeOptions) -> socket.socket:
    try:
        return listen(options.host, options.port)
    except Refused:
        if living_server(settings.home) is not None and _on_sqlite(settings):
            raise already_served(settings.home) from None
        raise


def _lock(settings: Settings) -> HomeLock | None:
    return HomeLock.take(settings.home) if _on_sqlite(settings) else None


def _on_sqlite(settings: Settings) -> bool:
    return settings.database_url.startswith("sqlite")


def _refuse_open_doors(app: App, options: ServeOptions) -> None:
    tokens = Tokens(app.store, app.machine, app.ids, actor=app.settings.user)
    check_exposure(options.host, has_tokens=tokens.living(), insecure=options.insecure)


class Server:
    """``run`` once, in ``loop``; ``stop`` from anywhere."""

    def __init__(
        self,
        app: App,
        options: ServeOptions,
        listener: socket.socket,
        tls: faces.Tls | None,
        keep: Keep,
    ) -> None:
        self._app = app
        self._keep = keep
        self._options = options
        self._tell = None if options.tell is None else Telling(options.tell)
        self._listener = listener
        self._tls = tls
        self._stopping = asyncio.Event()
        self._finishing = asyncio.Event()
        self._background: list[asyncio.Task[None]] = []
        self._backends = Backends(self._backend)
        self._file: ServerFile | None = None
        self._unwritable: str | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        self._soon(self._stopping.set)

    def finish(self) -> None:
        """Starts nothing new, and stops once what runs has ended."""
        self._soon(self._finishing.set)

    def _soon(self, work: Callable[[], None]) -> None:
        assert self.loop is not None
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(work)

    async def run(self, say: Callable[[str], None]) -> None:
        app, settings, options, tell = self._app, self._app.settings, self._options, self._tell
        executor = ServingExecutor(
            make_means(
                settings,
                store=app.store,
                logs=app.logs,
                backends=self._backends,
                clock=app.clock,
                machine=app.machine,
                owner=app.owner,
                observer=LogObserver() if tell is None else NewsObserver(tell),
            )
        )
        commit = GroupCommit(app.store)
        parts = Parts(
            service=app.service.served(self._options.backend),
            commit=commit,
            runner=executor,
            clock=app.clock,
            ids=app.ids,
            default=Scope(settings.project, settings.region),
            machine=app.machine,
            apart=commit.apart,
        )
        mover: Mover | None = None
        assert isinstance(app.store, SqlStore)
        if isinstance(app.clock, VirtualClock):
            app.clock.join(executor, told=True)
            database = app.store.database
            assert isinstance(database, SqliteDatabase)
            database.relax()
            mover = Mover(app.clock, app.machine, self._keep, lambda: database.changes)
        audit = Audit(app.store, app.machine)
        tokens = Authenticator(app.store, app.machine)
        key = serverfile.kept_key(settings.home) or serverfile.new_key()
        doors = Doors(tokens, settings.user, key, self._options.insecure)
        loopback = is_loopback(self._options.host)
        ground = Ground(
            parts,
            app.store.database,
            app.owner,
            settings.home,
            self._endpoint(),
            lambda token: doors(token, loopback),
            tell,
            options.faults,
        )
        found = plugged.plugins()
        methods = [
            *faces.all_methods(parts),
            *clock_methods(app.clock, mover),
            *plugged.methods_of(found, ground),
        ]

        def note(
            at: float, principal: str, method: str, resource: str, code: int, detail: str = ""
        ) -> None:
            audit.record(Principal(principal), method, resource, code, detail)

        def ready() -> str | None:
            if not executor.accepts():
                return "the server is going down"
            away = executor.facts().get("store") or self._unwritable
            return faces.store_away(away, self._options)

        neighbours = plugged.neighbours_of(found, ground)
        house = faces.make_house(self._options, parts, doors, note, ready, neighbours)
        # Before the first answer: who waits for this server has the key of the one before, and has
        # to find the new one when that is refused.
        self._file = self._announce(key)
        try:
            http = await faces.open_http(methods, house, self._listener, self._options)
            rpcs = [table for plugin in found for table in plugin.rpcs]
            grpc = await faces.open_grpc(methods, house, self._tls, self._options, rpcs)
        except BaseException:
            if self._file is not None:
                serverfile.remove(settings.home, self._file)
            raise
        executor.start()
        self._in_background("house-keeping", self._keep_house())
        self._in_background("notes", self._write_notes(audit, tokens, commit))
        self._in_background("address", self._stay_announced(key))
        frozen = FrozenWatch(ground.database)
        if not _on_sqlite(self._app.settings):
            frozen.start()
        engine = EngineWatch(partial(app.backend, "docker"), partial(executor.uses, "docker"))
        self._in_background("watch over the engine", engine.run())
        loops = [
            self._in_background(f"plug-in {name}", _as_coroutine(loop, ground))
            for name, loop in plugged.loops_of(found)
        ]
        self._in_background("end of what runs", self._finish(executor, loops))
        say(self._words(grpc))
        try:
            await self._stopping.wait()
        finally:
            frozen.stop()
            log.info("The server goes down; what runs goes on.")
            if executor.held():
                self._tell_of_runs(executor, "stopping", "the next server takes up what is left")
            if self._file is not None:
                serverfile.remove(settings.home, self._file)
            closing = [asyncio.ensure_future(http.stop(FACES_SECONDS))]
            if grpc is not None:
                closing.append(asyncio.ensure_future(grpc.stop(FACES_SECONDS)))
            await executor.drain(DRAIN_SECONDS)
            await asyncio.wait(closing, timeout=FACES_SECONDS)
            for task in self._background:
                task.cancel()
            await asyncio.wait(self._background, timeout=0.5)
            with contextlib.suppress(JobrunnerError):
                audit.flush()
            await self._backends.close_within(0.5)

    def _backend(self, name: str) -> Backend:
        backend = self._app.backend(name)
        faults = self._options.faults
        if faults is None or not faults.kill:
            return backend
        from jobrunner.app.killing import Killing

        return Killing(backend, faults, self._app.clock, self._tell or _unheard)

    # ------------------------------------------------------------ faces

    def _endpoint(self) -> str:
        host = self._options.host
        if host in ("0.0.0.0", "::", ""):
            host = "127.0.0.1" if host != "::" else "::1"
        if ":" in host:
            host = f"[{host}]"
        return f"{'https' if self._tls else 'http'}://{host}:{port_of(self._listener)}"

    def _words(self, grpc: Serving | None) -> str:
        more = f", gRPC on port {grpc.port}" if grpc is not None else ""
        if self._app.clock.virtual:
            more += f"; virtual time stands at {format_time(self._app.clock.now())}"
        return f"jobrunner {__version__} listens on {self._endpoint()}{more}"

    def _announce(self, key: str) -> ServerFile | None:
        """Where the command line of this home finds the server. Of several servers of one home
        (on PostgreSQL) the first one stands there as long as it lives."""
        home = self._app.settings.home
        if living_server(home) is not None:
            return None
        entry = ServerFile(
            endpoint=self._endpoint(),
            pid=os.getpid(),
            started=self._app.owner,
            version=__version__,
            key=key,
            database=serverfile.fingerprint(self._app.settings.database_url),
        )
        try:
            serverfile.write(home, entry)
        except OSError as error:
            raise RunnerFault(
                f"{serverfile.path_in(home)} cannot be written: {error.strerror}."
            ) from None
        return entry

    # ------------------------------------------------------------ background

    async def _stay_announced(self, key: str) -> None:
        """When the server that stood in the home's file has gone, this one takes its place."""
        while True:
            await stroke(ADDRESS_SECONDS)
            if self._stopping.is_set():
                return
            if serverfile.read(self._app.settings.home) != self._file or self._file is None:
                with contextlib.suppress(RunnerFault):
                    self._file = self._announce(key) or self._file

    async def _finish(self, executor: ServingExecutor, loops: Sequence[asyncio.Task[None]]) -> None:
        """Once that is wished for: what opens and sends things stops first."""
        await self._finishing.wait()
        if not self._app.clock.virtual:
            if executor.held():
                self._tell_of_runs(executor, "finishing", "Ctrl-C once more ends at once")
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)
            # What waits for virtual time would wait for ever.
            while executor.held():  # noqa: ASYNC110 - others may hold none any more, too
                await asyncio.sleep(FINISH_LOOK_SECONDS)
        self._stopping.set()

    def _tell_of_runs(self, executor: ServingExecutor, state: str, then: str) -> None:
        count, tell = executor.held(), self._tell
        if tell is not None:
            words = "1 run goes on" if count == 1 else f"{count} runs go on"
            at = self._app.clock.now()
            tell(News(at, "server", "jobrunner", state, f"{words}; {then}", Tone.BUSY))

    def _in_background(self, what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception:
                log.exception("The %s failed", what)

        task = asyncio.ensure_future(guarded())
        self._background.append(task)
        return task

    async def _keep_house(self) -> None:
        for name in ("process", "docker"):
            await self._sweep(self._backends(name))
        name = "the removal of old executions"
        await Rounds(self._app.clock, HOUSE_SECONDS, self._prune, name).run()

    async def _prune(self) -> None:
        try:
            gone = await asyncio.to_thread(self._app.prune)
            if gone:
                log.info("%d old executions were removed.", len(gone))
        except (JobrunnerError, OSError) as error:
            log.warning("Old executions could not be removed: %s", error)

    async def _sweep(self, backend: Backend) -> None:
        """What earlier runners left of executions that have ended."""
        try:
            await sweep(backend, self._app.store)
        except JobrunnerError as error:
            log.debug("What earlier runners left on %s is not known: %s", backend.name, error)

    async def _write_notes(self, audit: Audit, tokens: Authenticator, commit: GroupCommit) -> None:
        """Notes that cannot be written stay, so a store that can only be read (its disk is full) is
        known until it can be written again."""
        while True:
            await stroke(NOTES_SECONDS)
            try:
                await audit.write(commit)
                await tokens.write(commit)
            except JobrunnerError as error:
                self._unwritable = error.message
            else:
                self._unwritable = None


def _unheard(news: News) -> None:
    """Nobody watches."""


async def _as_coroutine(loop: plugged.Loop, ground: Ground) -> None:
    await loop(ground)
