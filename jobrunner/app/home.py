"""One home, opened by one command line: its use cases, and executions driven here to their end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from jobrunner.app import reserve
from jobrunner.app.homecheck import check_home
from jobrunner.app.homeclaim import adopt_database, claim_database
from jobrunner.app.making import Backends, make_backend, make_means
from jobrunner.core.outcome import CANCEL_MESSAGE, CANCEL_REASON
from jobrunner.core.records import Abort, AbortKind, Execution, Lease
from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import Interrupted, JobrunnerError, Refused, RunnerFault
from jobrunner.executor.observer import Observer
from jobrunner.lib.clock import SystemClock
from jobrunner.lib.identity import is_gone, runner_name
from jobrunner.lib.ids import RandomIds
from jobrunner.ports import Backend, Clock, LogStore, Retention, Store
from jobrunner.service import Service, make_service
from jobrunner.service.retention import HouseKeeping
from jobrunner.service.standing import clock_of
from jobrunner.settings import Settings
from jobrunner.store import open_store
from jobrunner.store.logs import FileLogs

if TYPE_CHECKING:
    from jobrunner.executor.executor import Executor

WAIT_POLL_SECONDS = 0.2
CLAIM_SECONDS = 2.0
FIRST_LEASE_SECONDS = 15.0
DISK_CHECK_SECONDS = 600.0


class App:
    """One home, opened. Use as a context manager; belongs to one thread."""

    through_server = False

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.machine = SystemClock()
        self.ids = RandomIds()
        self.logs: LogStore = FileLogs(settings.logs_dir)
        self.go_by(clock_of(settings.home))
        self.interrupted = self.hurried = False
        self.owner = runner_name(self.ids.suffix())

    @classmethod
    def open(cls, settings: Settings) -> App:
        """Opens the home and its database, creating or upgrading them. Raises StoreFault, and
        Refused for a home that others may write to."""
        check_home(settings.home)
        store = open_store(settings.database_url)
        if settings.database_url.startswith("sqlite:"):
            reserve.keep(settings.home)
        else:
            try:
                claim_database(store.database, settings.home)
            except BaseException:
                store.close()
                raise
        return cls(settings, store)

    @staticmethod
    def adopt_database(settings: Settings) -> None:
        """Makes this home the one that the database belongs to."""
        check_home(settings.home)
        store = open_store(settings.database_url)
        try:
            adopt_database(store.database, settings.home)
        finally:
            store.close()

    def go_by(self, clock: Clock) -> None:
        """What is planned and recorded from now on is so by ``clock``."""
        self.clock = clock
        self.service: Service = make_service(
            self.store, self.logs, clock, self.ids, actor=self.settings.user
        )

    def __enter__(self) -> App:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.store.close()

    def lease(self) -> Lease:
        """For an execution that is opened to be driven here: a server of the same home that is
        started in between leaves it alone."""
        self._refuse_virtual()
        return Lease(self.owner, 1, self.machine.now() + FIRST_LEASE_SECONDS)

    # ------------------------------------------------------------ driving

    def drive(
        self,
        execution: Execution,
        *,
        observer: Observer,
        base_env: Mapping[str, str] | None = None,
        interrupts: bool = True,
    ) -> Execution:
        """Drives ``execution`` to its end and returns it.

        With ``interrupts`` the first SIGINT, SIGTERM or SIGHUP cancels it (TERM, grace, KILL), the
        second kills at once; ``interrupted`` is set then. Raises Refused if somebody alive drives
        it already, Interrupted if another runner took it over meanwhile.
        """
        import asyncio

        self._refuse_virtual()
        lease = execution.lease
        if lease is not None and is_gone(lease.owner):
            # No need to wait for a lease whose holder died on this machine.
            self.store.release(execution.uid, lease.owner)
        asyncio.run(self._drive(execution, observer, base_env, interrupts=interrupts))
        ended = self.store.get_execution_by_uid(execution.uid)
        try:
            self._keep_house()
        except (JobrunnerError, OSError) as error:
            observer.warning(f"Old executions could not be removed: {error}")
        return ended

    def drive_again(self, execution: Execution, *, observer: Observer) -> Execution:
        """Takes up an execution whose runner went away, and drives it to its end."""
        if execution.state in SETTLED_EXECUTIONS:
            import asyncio

            asyncio.run(self._sweep(execution.backend, observer))
            raise Refused(f"Execution '{execution.name}' has ended: there is nothing to continue.")
        return self.drive(execution, observer=observer)

    def cancel(self, execution: Execution, *, observer: Observer) -> Execution:
        """Stores the wish and sees it carried out: by whoever drives the execution, or, if nobody
        does, here."""
        wished = self.service.executions.cancel(execution.scope, execution.name)
        if self.is_driven(wished):
            return self.wait(wished, timeout=None, observer=observer)
        return self.drive(wished, observer=observer)

    def wait(
        self,
        execution: Execution,
        *,
        timeout: float | None,
        observer: Observer | None = None,
    ) -> Execution:
        """Returns when the execution has ended. Raises Interrupted when nobody drives it any more
        and Refused when ``timeout`` seconds have passed."""
        begun = self.machine.monotonic()
        until = None if timeout is None else begun + timeout
        while True:
            current = self.store.get_execution_by_uid(execution.uid)
            if current.state in SETTLED_EXECUTIONS:
                return current
            # Whoever has just opened an execution claims it in a moment.
            starting = current.lease is None and self.machine.monotonic() < begun + CLAIM_SECONDS
            if not self.is_driven(current) and not starting:
                raise Interrupted(
                    f"Execution '{current.name}' was interrupted: nobody drives it.",
                    hint=f"Continue it with: jobrunner executions continue {current.name}",
                )
            if until is not None and self.machine.monotonic() >= until:
                raise Refused(
                    f"Execution '{current.name}' had not ended after {timeout:g} seconds."
                )
            time.sleep(WAIT_POLL_SECONDS)

    def is_driven(self, execution: Execution) -> bool:
        """Whether a living runner holds the execution's lease."""
        lease = execution.lease
        return lease is not None and lease.until > self.machine.now() and not is_gone(lease.owner)

    async def _drive(
        self,
        execution: Execution,
        observer: Observer,
        base_env: Mapping[str, str] | None,
        *,
        interrupts: bool,
    ) -> None:
        from jobrunner.executor.executor import Executor
        from jobrunner.executor.signals import handling

        backends = Backends(self.backend)
        executor = Executor(
            make_means(
                self.settings,
                store=self.store,
                logs=self.logs,
                backends=backends,
                clock=self.clock,
                machine=self.machine,
                owner=self.owner,
                observer=observer,
                environ=base_env,
            )
        )
        try:
            with handling(self._on_signal(executor), enabled=interrupts):
                await executor.run(execution.uid)
            if not self.hurried:
                await self._clean_up(backends(execution.backend), observer)
        finally:
            await backends.close()
        if execution.uid in executor.lost_to_others:
            raise Interrupted(
                f"Another runner took execution '{execution.name}' over.",
                hint=f"Follow it with: jobrunner executions wait {execution.name}",
            )

    async def _sweep(self, name: str, observer: Observer) -> None:
        backend = self.backend(name)
        try:
            await self._clean_up(backend, observer)
        finally:
            await backend.close()

    async def _clean_up(self, backend: Backend, observer: Observer) -> None:
        """What fails here does not change how the execution ended; the next run tries again."""
        from jobrunner.executor.recovery import sweep

        try:
            await sweep(backend, self.store)
        except RunnerFault as error:
            observer.warning(f"What earlier runs left could not be looked at: {error}")

    def _on_signal(self, executor: Executor) -> Callable[[], None]:
        def interrupt() -> None:
            if self.interrupted:
                self.hurried = True
                executor.hurry()
                return
            self.interrupted = True
            executor.abort(Abort(AbortKind.CANCEL, self.clock.now(), CANCEL_MESSAGE, CANCEL_REASON))

        return interrupt

    def _refuse_virtual(self) -> None:
        if self.clock.virtual:
            from jobrunner.app.virtual import standing_refusal

            raise standing_refusal(self.clock.now())

    # ------------------------------------------------------------ pieces

    def backend(self, name: str) -> Backend:
        """A backend by name, not yet opened."""
        return make_backend(self.settings, name, self.clock)

    def prune(
        self, *, dry_run: bool = False, retention: Retention | None = None
    ) -> Sequence[Execution]:
        """Applies retention now; returns what went (or would go)."""
        house = self._house(retention or Retention())
        if dry_run or not self.settings.database_url.startswith("sqlite:"):
            return house.prune(dry_run=dry_run)
        with reserve.given_up(self.settings.home):
            return house.prune()

    def _keep_house(self) -> None:
        """Retention after a run; the disk is measured at most every ten minutes."""
        stamp = os.path.join(self.settings.home, "pruned")
        now = self.machine.now()
        try:
            due = now - os.stat(stamp).st_mtime >= DISK_CHECK_SECONDS
        except FileNotFoundError:
            due = True
        if due:
            with open(stamp, "wb"):
                os.utime(stamp, (now, now))
        self._house(Retention()).prune(disk=due)

    def _house(self, retention: Retention) -> HouseKeeping:
        return HouseKeeping(self.store, self.logs, self.clock, retention, machine=self.machine)
