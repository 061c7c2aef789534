"""How to express one behaviour of an attempt on each backend: the contract is played on a stage.

A backend joins the contract by one entry in ``STAGES``. What it cannot show is named in
``cannot``, with the reason, and those tests are skipped for it.
"""

import contextlib
import os
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobrunner.backends.docker import DockerBackend
from jobrunner.backends.process import ProcessBackend
from jobrunner.backends.scripted import Ending, Exit, Hang, Killed, Refuse, ScriptedBackend
from jobrunner.backends.supervisor import place
from jobrunner.core.records import AttemptKey
from jobrunner.errors import AttemptVanished
from jobrunner.lib.framelog import read_frames
from jobrunner.ports import Backend, LaunchSpec, LaunchTemplate, LogLimits
from tests.support.awaiting import until
from tests.support.components import engine_socket, require
from tests.support.fixtures import BUSYBOX_IMAGE, make_busybox_image

EXECUTION = "e-1"


@dataclass(frozen=True)
class ExitWith:
    code: int = 0


@dataclass(frozen=True)
class DieBy:
    signal: int


@dataclass(frozen=True)
class Sleep:
    seconds: float = 600.0


@dataclass(frozen=True)
class Print:
    """Writes and exits with 0."""

    out: str = ""
    err: str = ""


@dataclass(frozen=True)
class ObeyTerm:
    """Runs until TERM, then exits with ``code``."""

    code: int = 0


@dataclass(frozen=True)
class IgnoreTerm:
    """Runs until KILL."""


@dataclass(frozen=True)
class LeaveDaemon:
    """Starts a process that leaves session, group and parent behind and writes once a tenth of a
    second for as long as it lives; once it has written, the main process exits with 0 or runs
    on."""

    stay: bool = False


@dataclass(frozen=True)
class Unstartable:
    """A command that does not exist."""


Behaviour = ExitWith | DieBy | Sleep | Print | ObeyTerm | IgnoreTerm | LeaveDaemon | Unstartable
READY = b"ready\n"
DAEMON = 'trap "" HUP TERM; echo alive; : > alive; while :; do sleep 0.1; echo alive; done'
SETSID = f"setsid sh -c '({DAEMON}) & ' & while [ ! -e alive ]; do sleep 0.02; done;"


def shell(behaviour: Behaviour) -> tuple[str, ...]:
    """The behaviour as a command of a POSIX shell, with ``setsid`` and a ``sleep`` of fractions.
    Those that a test must wait for say "ready"."""
    match behaviour:
        case ExitWith(code):
            script = f"exit {code}"
        case DieBy(signal):
            script = f"kill -{signal} $$; sleep 600"
        case Sleep(seconds):
            script = f"echo ready; exec sleep {seconds}"
        case Print(out, err):
            script = f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2"
        case ObeyTerm(code):
            script = f"trap 'exit {code}' TERM; echo ready; while :; do sleep 0.02; done"
        case IgnoreTerm():
            script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
        case LeaveDaemon(stay):
            script = f"{SETSID} echo ready; {'sleep 600' if stay else 'exit 0'}"
        case Unstartable():
            return ("/no/such/command",)
    return ("/bin/sh", "-c", script)


class Stage:
    """A place with a backend. ``open`` is one runner's view; several may be open in turn."""

    name: str
    cannot: Mapping[str, str] = {}

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self.logs.mkdir(exist_ok=True)

    def needs(self, feature: str) -> None:
        """Skips the test where this backend cannot show the feature."""
        if feature in self.cannot:
            pytest.skip(f"{self.name}: {self.cannot[feature]}")

    def make(self) -> Backend:
        raise NotImplementedError

    def template(self, behaviour: Behaviour, **fields: object) -> LaunchTemplate:
        """``fields`` are those of a LaunchTemplate; ``behaviour`` decides the command."""
        raise NotImplementedError

    def spec(
        self, behaviour: Behaviour, index: int = 0, number: int = 0, *, lease: int = 1,
        execution: str = EXECUTION, env: Mapping[str, str] | None = None, **fields: object,
    ) -> LaunchSpec:  # fmt: skip
        key = AttemptKey(execution, index, number)
        template = self.template(behaviour, execution=execution, **fields)
        return LaunchSpec(key, template, lease, env or {}, f"{self.logs}/{index}-{number}")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Backend]:
        backend = self.make()
        try:
            yield backend
        finally:
            await backend.close()

    async def ready(self, spec: LaunchSpec) -> None:
        """Until the attempt has said that it is where the test wants it."""
        await until(lambda: READY in output(spec), f"{spec.key} says it is ready")

    async def clear(self) -> None:
        """Ends and forgets everything."""
        async with self.open() as backend:
            async for found in backend.discover():
                await backend.stop(found.handle, grace=0.0)
                with contextlib.suppress(AttemptVanished):
                    await backend.wait(found.handle)
                await backend.discard(found.handle)


def make_template(command: tuple[str, ...], logs: Path, **fields: object) -> LaunchTemplate:
    values: dict[str, object] = {
        "execution": EXECUTION,
        "execution_name": "job-abcde",
        "job_name": "job",
        "project": "local",
        "region": "us-central1",
        "command": command,
        "env": {"PATH": os.environ["PATH"]},
        "log_dir": str(logs),
        "log_limits": LogLimits(1024 * 1024, 1024 * 1024),
    }
    return LaunchTemplate(**(values | fields))  # type: ignore[arg-type]


class ProcessStage(Stage):
    name = "process"

    def make(self) -> ProcessBackend:
        return ProcessBackend(str(self.home), cwd=str(self.home))

    def template(self, behaviour: Behaviour, **fields: object) -> LaunchTemplate:
        return make_template(shell(behaviour), self.logs, **fields)

    async def clear(self) -> None:
        await super().clear()
        # The supervisors leave by themselves, and nothing of them stays.
        above = Path(place.supervisors_dir(str(self.home)))
        await until(lambda: not above.exists() or not os.listdir(above), "no supervisor is left")


class ScriptedStage(Stage):
    name = "scripted"
    cannot: Mapping[str, str] = {"tree": "nothing runs"}

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._endings: dict[tuple[int, int], Ending] = {}
        self._backend = ScriptedBackend(self._endings)

    def make(self) -> ScriptedBackend:
        return self._backend

    def spec(
        self, behaviour: Behaviour, index: int = 0, number: int = 0, *, lease: int = 1,
        execution: str = EXECUTION, env: Mapping[str, str] | None = None, **fields: object,
    ) -> LaunchSpec:  # fmt: skip
        self._endings[index, number] = self._ending(behaviour)
        return super().spec(
            behaviour, index, number, lease=lease, execution=execution, env=env, **fields
        )

    def template(self, behaviour: Behaviour, **fields: object) -> LaunchTemplate:
        return make_template(("scripted",), self.logs, **fields)

    @staticmethod
    def _ending(behaviour: Behaviour) -> Ending:
        match behaviour:
            case ExitWith(code):
                return Exit(code)
            case DieBy(signal):
                return Killed(signal)
            case Sleep(seconds):
                return Exit(0, after=seconds)
            case Print(out, err):
                return Exit(0, out=out.encode(), err=err.encode())
            case ObeyTerm(code):
                return Hang(code=code)
            case IgnoreTerm():
                return Hang(obeys=False)
            case Unstartable():
                return Refuse(permanent=True, reason="CommandNotFound")
        raise AssertionError(f"the scripted backend cannot show {behaviour}")

    async def ready(self, spec: LaunchSpec) -> None:
        """Nothing needs time to get anywhere."""


class DockerStage(Stage):
    """With an init: a shell that is the first process of a container cannot die by its own hand."""

    name = "docker"

    def __init__(self, home: Path) -> None:
        require("docker", "busybox")
        make_busybox_image(engine_socket())
        super().__init__(home)

    def make(self) -> DockerBackend:
        return DockerBackend(str(self.home))

    def template(self, behaviour: Behaviour, **fields: object) -> LaunchTemplate:
        values: dict[str, object] = {
            "image": BUSYBOX_IMAGE,
            "env": {"PATH": "/bin"},
            "init": not isinstance(behaviour, Unstartable),
        }
        return make_template(shell(behaviour), self.logs, **(values | fields))


STAGES: dict[str, Callable[[Path], Stage]] = {
    "docker": DockerStage,
    "process": ProcessStage,
    "scripted": ScriptedStage,
}


def output(spec: LaunchSpec, stream: int | None = None) -> bytes:
    """What is in the attempt's log now."""
    frames = read_frames(spec.log)
    return b"".join(frame.data for frame in frames if stream in (None, frame.stream))
