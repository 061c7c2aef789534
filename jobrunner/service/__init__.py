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

    def acting(self, actor: str) -> Service:
        """The same, on behalf of ``actor``."""
        return self if actor == self.actor else self._with(actor, driven=self.driven)

    def served(self) -> Service:
        """The same for a server, whose runner drives whatever is opened: a job's start or run token
        opens an execution, where it is refused otherwise."""
        return self._with(self.actor, driven=True)

    def _with(self, actor: str, *, driven: bool) -> Service:
        return _make(self.store, self.logs, self.clock, self.ids, actor, driven, self.leaving)


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
) -> Service:
    starting = Starting(store)
    jobs = Jobs(store, clock, ids, actor=actor, starting=starting)
    executions = Executions(store, logs, jobs, clock, ids, actor=actor, leaving=leaving)
    if driven:
        starting.open = executions.open_by_token
    return Service(jobs, executions, store, logs, clock, ids, actor, driven, leaving)


__all__ = ["AdHoc", "Executions", "Jobs", "Service", "make_service"]
