"""What an executor works with: the pieces that its parts share, and the one place they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobrunner.executor.launching import Launcher
from jobrunner.executor.limits import Limits
from jobrunner.executor.observer import Observer
from jobrunner.executor.patience import Patience
from jobrunner.ports import Backend, Clock, MachineClock, Store


@dataclass(frozen=True, slots=True)
class Means:
    """``backends`` gives a backend by name, made on first use. ``launcher`` turns an execution and
    an attempt key into a launch. ``clock`` is for what is planned and recorded, ``machine`` for
    leases and patience. ``owner`` is the name on the leases. The store is called in the event
    loop."""

    store: Store
    backends: Callable[[str], Backend]
    launcher: Launcher
    clock: Clock
    machine: MachineClock
    owner: str
    limits: Limits
    observer: Observer

    def patience(self) -> Patience:
        return Patience(self.machine, self.observer.warning)
