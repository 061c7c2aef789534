"""The scripted backend of a server: each job brings the script of its attempts in its environment.

``JOBRUNNER_SCRIPT="exit 1 after 2s; exit 0 after 500ms"`` is for the first attempt and all later
ones. Nothing is started; time goes by the clock of what is planned. What it has begun is kept in a
directory of the home, so that the next server finds it, as it would find processes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from jobrunner.backends.scripted import (
    Ending,
    Exit,
    Hang,
    Killed,
    OutOfMemory,
    Refuse,
    ScriptedBackend,
    Vanish,
    _Attempt,
    _Order,
)
from jobrunner.core.quantities import parse_duration
from jobrunner.core.records import AttemptKey
from jobrunner.core.states import StopReason
from jobrunner.errors import BackendFault
from jobrunner.ports import Launched, LaunchSpec, MachineClock

VARIABLE = "JOBRUNNER_SCRIPT"
FORM = "write it as 'exit 1 after 2s; exit 0', with exit CODE, killed, oom, hang, vanish or refuse"
Lasting = Exit | Killed | OutOfMemory | Hang | Vanish


def parse_script(text: str) -> tuple[Exit | Killed | OutOfMemory | Hang | Vanish | Refuse, ...]:
    """One ending for each attempt, the last for all that follow. Raises ValueError."""
    return tuple(_ending_in(part.split(), text) for part in text.split(";")) or (Exit(0),)


def _ending_in(words: list[str], text: str) -> Exit | Killed | OutOfMemory | Hang | Vanish | Refuse:
    after = 0.0
    if len(words) > 2 and words[-2] == "after":
        after = parse_duration(words[-1])
        words = words[:-2]
    match words:
        case ["exit", code] if code.isascii() and code.isdecimal() and int(code[:4]) <= 255:
            return Exit(int(code), after)
        case ["killed"]:
            return Killed(after=after)
        case ["oom"]:
            return OutOfMemory(after)
        case ["vanish"]:
            return Vanish(after)
        case ["hang"] if not after:
            return Hang()
        case ["refuse"] if not after:
            return Refuse()
    raise ValueError(f"{VARIABLE}: '{text[:100]}' is no script; {FORM}")


class ServedScripted(ScriptedBackend):
    """``clock`` is planned time in the shape of a machine's, ``sleep`` waits by it."""

    def __init__(
        self, home: str, *, clock: MachineClock, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        super().__init__({}, clock=clock, sleep=sleep)
        self._folder = os.path.join(home, "scripted")
        self._scripts: dict[str, str] = {}
        self._load()

    async def launch(self, spec: LaunchSpec) -> Launched:
        known = str(spec.key) in self._attempts
        answer = await super().launch(spec)
        if not known:
            self._scripts[str(spec.key)] = _script_of(spec)
            # What has ended may be launched anew by the next server: it ends at once again.
            if self.waits(answer.handle):
                self._save(str(spec.key))
        self.launches.clear()
        return answer

    async def stop(self, handle: str, *, grace: float) -> None:
        await super().stop(handle, grace=grace)
        self._save(self._key(handle))
        self.stops.clear()

    async def discard(self, handle: str) -> None:
        key = self._key(handle)
        await super().discard(handle)
        self.discards.clear()
        self._scripts.pop(key, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(key))

    def waits(self, handle: str) -> bool:
        attempt = self._attempts.get(self._key(handle))
        if attempt is None:
            return False
        return attempt.outcome().at + attempt.report > self._clock.monotonic()

    def _ending_of(self, spec: LaunchSpec) -> Ending:
        try:
            return _numbered(_script_of(spec), spec.key.number)
        except ValueError as error:
            return Refuse(permanent=True, message=str(error))

    # ------------------------------------------------------------ what the next server finds

    def _path(self, key: str) -> str:
        return os.path.join(self._folder, f"{quote(key, safe='')}.json")

    def _save(self, key: str) -> None:
        attempt = self._attempts.get(key)
        if attempt is None:
            return
        kept = {
            "key": [attempt.key.execution, attempt.key.index, attempt.key.number],
            "script": self._scripts.get(key, ""),
            "started": attempt.started,
            "orders": [[order.at, order.grace, order.reason] for order in attempt.orders],
        }
        path = self._path(key)
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump(kept, file)
            os.replace(f"{path}.new", path)
        except OSError as error:
            raise BackendFault(f"{path} cannot be written: {error.strerror}") from None

    def _load(self) -> None:
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = sorted(os.listdir(self._folder))
        for path in (os.path.join(self._folder, name) for name in names if name.endswith(".json")):
            # A file that cannot be read is one of an attempt that has vanished.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError), open(path) as file:
                self._take_up(json.load(file))

    def _take_up(self, kept: dict[str, Any]) -> None:
        execution, index, number = kept["key"]
        key = AttemptKey(execution, index, number)
        ending = _numbered(kept["script"], number)
        assert not isinstance(ending, Refuse)
        orders = [
            _Order(at, grace, None if reason is None else StopReason(reason))
            for at, grace, reason in kept["orders"]
        ]
        started = float(kept["started"])
        self._scripts[str(key)] = kept["script"]
        self._attempts[str(key)] = _Attempt(key, ending, 0.0, started, started, orders)


def _script_of(spec: LaunchSpec) -> str:
    return spec.env.get(VARIABLE) or spec.template.env.get(VARIABLE) or "exit 0"


def _numbered(script: str, number: int) -> Lasting | Refuse:
    endings = parse_script(script)
    return endings[min(number, len(endings) - 1)]
