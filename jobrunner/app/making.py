"""Backends and an executor's means, made from settings. Nothing is opened here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jobrunner.core.options import SCRIPTED
from jobrunner.errors import RunnerFault
from jobrunner.ports import Backend, Clock, LogStore, MachineClock, Store
from jobrunner.settings import Settings

if TYPE_CHECKING:
    from jobrunner.executor.means import Means
    from jobrunner.executor.observer import Observer


def make_backend(settings: Settings, name: str, clock: Clock | None = None) -> Backend:
    """A backend by name, not yet opened; what it tells, it tells in the time of ``clock``, or in
    real time."""
    if name == SCRIPTED:
        from jobrunner.backends.scripted_served import ServedScripted
        from jobrunner.lib.clock import Paced, WallClock

        paced = Paced(clock or WallClock())
        return ServedScripted(settings.home, clock=paced, sleep=paced.sleep)
    backend = _real_backend(settings, name)
    if clock is None or not clock.virtual:
        return backend
    from jobrunner.app.paced import OnClock

    return OnClock(backend, clock)


def _real_backend(settings: Settings, name: str) -> Backend:
    if name == "process":
        from jobrunner.backends.process import ProcessBackend

        return ProcessBackend(settings.home)
    if name == "docker":
        from jobrunner.backends.docker import DockerBackend

        return DockerBackend(settings.home)
    raise RunnerFault(f"There is no backend '{name}'.")


class Backends:
    """Backends by name, each made when it is first asked for and shared from then on."""

    def __init__(self, make: Callable[[str], Backend]) -> None:
        self._make = make
        self._opened: dict[str, Backend] = {}

    def __call__(self, name: str) -> Backend:
        if name not in self._opened:
            self._opened[name] = self._make(name)
        return self._opened[name]

    def opened(self) -> list[Backend]:
        return list(self._opened.values())

    async def close(self) -> None:
        for backend in self.opened():
            await backend.close()

    async def close_within(self, seconds: float) -> None:
        """As ``close``, whatever hangs."""
        import asyncio

        closing = [asyncio.ensure_future(backend.close()) for backend in self.opened()]
        if closing:
            _, late = await asyncio.wait(closing, timeout=seconds)
            for task in late:
                task.cancel()


def make_means(
    settings: Settings,
    *,
    store: Store,
    logs: LogStore,
    backends: Callable[[str], Backend],
    clock: Clock,
    machine: MachineClock,
    owner: str,
    observer: Observer,
    environ: Mapping[str, str] | None = None,
) -> Means:
    """``environ`` is what tasks may see of the runner's own environment."""
    from jobrunner.executor.launching import Launcher
    from jobrunner.executor.limits import machine_limits
    from jobrunner.executor.means import Means
    from jobrunner.store.secrets import FileSecrets

    has = machine_limits()
    launcher = Launcher(
        logs=logs,
        secrets=FileSecrets(settings.secrets_dir),
        environ=os.environ if environ is None else environ,
        machine_memory=has.memory,
        machine_cpus=has.cpus,
    )
    limits = has.for_slots(settings.slots)
    return Means(store, backends, launcher, clock, machine, owner, limits, observer)
