"""A home, worked on through its server: what :class:`jobrunner.app.App` is to one without."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from jobrunner.client.finding import Endpoint
from jobrunner.client.following import Audience, follow, noting_signals
from jobrunner.client.logs import RemoteLogs
from jobrunner.client.service import RemoteExecutions, RemoteJobs, RemoteService, RemoteStore
from jobrunner.client.wire import Wire
from jobrunner.core.records import Execution, Lease
from jobrunner.core.states import SETTLED_EXECUTIONS
from jobrunner.errors import Interrupted, Refused
from jobrunner.lib.clock import SystemClock, WallClock
from jobrunner.lib.identity import is_gone
from jobrunner.ports import Clock, Retention
from jobrunner.service.calls import About, Desk
from jobrunner.service.standing import clock_of
from jobrunner.settings import Settings

WAIT_SECONDS = 20.0
OWN_RUN_SECONDS = 1.0
"""For an execution that the server does not drive: its own command line may go away."""


class Remote:
    """Use as a context manager. ``find`` names the server, and is asked again when it went away."""

    through_server = True

    def __init__(
        self,
        settings: Settings,
        find: Callable[[], Endpoint | None],
        *,
        wire: Wire | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.wire = wire or Wire(find, sleep=sleep)
        endpoint = self.wire.endpoint
        ours = endpoint is not None and endpoint.pid is not None
        self.clock: Clock = clock_of(settings.home) if ours else WallClock()
        self.machine = SystemClock()
        self.logs = RemoteLogs(self.wire)
        self.store = RemoteStore(self.wire)
        self.service = RemoteService(RemoteJobs(self.wire), RemoteExecutions(self.wire))
        self.interrupted = False
        self._sleep = sleep

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wire.close()

    def about(self) -> About:
        return self.wire.about()

    def lease(self) -> Lease | None:
        """None: the server drives what is opened."""
        return None

    # ------------------------------------------------------------ following

    def drive(
        self,
        execution: Execution,
        *,
        observer: Audience,
        base_env: Mapping[str, str] | None = None,
        interrupts: bool = True,
    ) -> Execution:
        """Follows ``execution``, which the server drives, and returns it at its end.

        With ``interrupts`` the first SIGINT, SIGTERM or SIGHUP cancels it; ``interrupted`` is set
        then. The second one raises KeyboardInterrupt: the server sees the cancelling through.
        """
        with noting_signals(self._interrupt, enabled=interrupts):
            try:
                return follow(
                    self.wire,
                    execution,
                    observer,
                    interrupted=lambda: self.interrupted,
                    sleep=self._sleep,
                )
            except BaseException:
                # Whoever reads output for the audience must not wait for a server any more.
                self.wire.close()
                raise

    def _interrupt(self) -> None:
        self.interrupted = True

    def drive_again(self, execution: Execution, *, observer: Audience) -> Execution:
        """Follows an execution; the server takes up what its runner let go of by itself."""
        if execution.state in SETTLED_EXECUTIONS:
            raise Refused(f"Execution '{execution.name}' has ended: there is nothing to continue.")
        return self.drive(execution, observer=observer)

    def cancel(self, execution: Execution, *, observer: Audience) -> Execution:
        """Stores the wish and waits until it is carried out."""
        wished = self.service.executions.cancel(execution.scope, execution.name)
        return self.drive(wished, observer=observer, interrupts=False)

    def wait(
        self, execution: Execution, *, timeout: float | None, observer: Audience | None = None
    ) -> Execution:
        """Returns when the execution has ended. Raises Refused when ``timeout`` seconds have
        passed."""
        began = self.machine.monotonic()
        with self.wire.patient():
            while True:
                left = None if timeout is None else timeout - (self.machine.monotonic() - began)
                most = OWN_RUN_SECONDS if execution.hidden else WAIT_SECONDS
                within = most if left is None else max(0.0, min(left, most))
                current = self.wire.call(Desk.settled, execution.uid, within)
                if current.state in SETTLED_EXECUTIONS:
                    return current
                if current.hidden and not self.is_driven(current):
                    raise Interrupted(
                        f"Execution '{current.name}' was interrupted: nobody drives it.",
                        hint=f"Continue it with: jobrunner executions continue {current.name}",
                    )
                if left is not None and left <= within:
                    raise Refused(
                        f"Execution '{current.name}' had not ended after {timeout:g} seconds."
                    )

    def is_driven(self, execution: Execution) -> bool:
        """The server drives whatever has not ended, but what a ``jobrunner run`` drives itself."""
        if not execution.hidden:
            return execution.state not in SETTLED_EXECUTIONS
        lease = execution.lease
        return lease is not None and lease.until > self.machine.now() and not is_gone(lease.owner)

    # ------------------------------------------------------------ the house

    def prune(
        self, *, dry_run: bool = False, retention: Retention | None = None
    ) -> Sequence[Execution]:
        """Applies retention now; returns what went (or would go)."""
        return self.wire.call(Desk.prune, retention or Retention(), dry_run=dry_run)
