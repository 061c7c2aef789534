"""Use cases, one transaction each; every face (command line, API) calls these. May import core,
ports, errors and lib; never a concrete store or backend."""

from __future__ import annotations

from dataclasses import dataclass

from jobrunner.ports import Clock, Ids, LogStore, Store
from jobrunner.service.executions import AdHoc, Executions
from jobrunner.service.jobs import Jobs


@dataclass(frozen=True, slots=True)
class Service:
    """All use cases over one store, on behalf of ``actor``."""

    jobs: Jobs
    executions: Executions
    store: Store
    logs: LogStore
    clock: Clock
    ids: Ids
    actor: str

    def acting(self, actor: str) -> Service:
        """The same, on behalf of ``actor``."""
        if actor == self.actor:
            return self
        return make_service(self.store, self.logs, self.clock, self.ids, actor=actor)


def make_service(store: Store, logs: LogStore, clock: Clock, ids: Ids, *, actor: str) -> Service:
    jobs = Jobs(store, clock, ids, actor=actor)
    executions = Executions(store, logs, jobs, clock, ids, actor=actor)
    return Service(jobs, executions, store, logs, clock, ids, actor)


__all__ = ["AdHoc", "Executions", "Jobs", "Service", "make_service"]
