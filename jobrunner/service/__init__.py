"""Use cases, one transaction each; every face (command line, API) calls these. May import core,
ports, errors and lib; never a concrete store or backend."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobrunner.ports import Clock, Ids, LogStore, Store
from jobrunner.service.executions import AdHoc, Executions
from jobrunner.service.jobs import Jobs
from jobrunner.service.starting import Starting


@dataclass(frozen=True, slots=True)
class Service:
    """All use cases over one store, on behalf of ``actor``. ``driven`` says that a runner drives
    whatever is opened; ``leaving`` are the uids of the jobs that are being removed."""

    jobs: Jobs
    executions: Executions
    store: Store
    logs: LogStore
    clock: Clock
    ids: Ids
    actor: str
    driven: bool = False
    leaving: set[str] = field(default_factory=set)
    backend: str | None = None

    def acting(self, actor: str) -> Service:
        """The same, on behalf of ``actor``."""
        if actor == self.actor:
            return self
        return self._with(actor, driven=self.driven, backend=self.backend)

    def served(self, backend: str | None = None) -> Service:
        """The same for a server, whose runner drives whatever is opened: a job's start or run token
        opens an execution, where it is refused otherwise. What names no backend runs on
        ``backend``."""
        return self._with(self.actor, driven=True, backend=backend)

    def _with(self, actor: str, *, driven: bool, backend: str | None) -> Service:
        return _make(
            self.store, self.logs, self.clock, self.ids, actor, driven, self.leaving, backend
        )


def make_service(store: Store, logs: LogStore, clock: Clock, ids: Ids, *, actor: str) -> Service:
    return _make(store, logs, clock, ids, actor, False, set())


def _make(
    store: Store,
    logs: LogStore,
    clock: Clock,
    ids: Ids,
    actor: str,
    driven: bool,
    leaving: set[str],
    backend: str | None = None,
) -> Service:
    starting = Starting(store)
    jobs = Jobs(store, clock, ids, actor=actor, starting=starting)
    executions = Executions(
        store, logs, jobs, clock, ids, actor=actor, leaving=leaving, backend=backend
    )
    if driven:
        starting.open = executions.open_by_token
    return Service(jobs, executions, store, logs, clock, ids, actor, driven, leaving, backend)


__all__ = ["AdHoc", "Executions", "Jobs", "Service", "make_service"]
