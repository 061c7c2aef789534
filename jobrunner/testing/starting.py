"""A runner in an empty home, from its start to its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from jobrunner.testing.process import ServerProcess, fresh_home, remove
from jobrunner.testing.runner import Runner, instant_text


@contextmanager
def start(
    *,
    clock: str = "virtual",
    backend: str | None = "scripted",
    begin: str | datetime | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    emulator: str | None = None,
    faults: str | None = None,
) -> Iterator[Runner]:
    """A runner in an empty home, which is removed with all that ran there.

    ``clock`` is ``virtual`` or ``real``; ``begin`` is where a virtual one begins. ``backend`` is
    ``scripted``, ``process``, ``docker``, or ``None`` for what each job asks for. ``env`` is for
    the server, and so for processes of jobs; settings of the caller for jobrunner are not.
    ``options`` are further ones of ``jobrunner serve``. ``faults`` go wrong on purpose, as
    ``--faults`` of it says. Raises RunnerFault.
    """
    if clock not in ("virtual", "real"):
        raise ValueError(f"clock: '{clock}' is not one of virtual, real")
    words = ["--clock", clock]
    if backend is not None:
        words += ["--backend", backend]
    if faults is not None:
        words += ["--faults", faults, "--allow-faults"]
    if begin is not None:
        words += ["--from", instant_text(begin)]
    variables = dict(env or {})
    emulator = emulator or os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        variables.setdefault("PUBSUB_EMULATOR_HOST", emulator)
    home = fresh_home()
    try:
        process = ServerProcess(home, [*words, *options], variables)
        runner = None
        try:
            runner = Runner(process, virtual=clock == "virtual", emulator=emulator)
            yield runner
        finally:
            if runner is None:
                process.stop()
            else:
                runner.stop()
    finally:
        remove(home)
