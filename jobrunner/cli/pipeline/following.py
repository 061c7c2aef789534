"""Beside the server, in a thread: applies the files whenever they change, and prints the news."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jobrunner.cli.pipeline.loading import Lull, Version, fingerprint, load, read_version
from jobrunner.cli.pipeline.made import Made
from jobrunner.core.news import News, Tone
from jobrunner.errors import InvalidSpec, JobrunnerError

if TYPE_CHECKING:
    from jobrunner.cli.base import State

LOOK_SECONDS = 0.2
_TONES = {"created": Tone.GOOD, "configured": Tone.GOOD, "removed": Tone.BUSY}


class Follower:
    """``tell`` may be called by anybody; what it is given is printed by one thread. ``ended`` is
    called if the first version cannot be applied."""

    def __init__(
        self,
        state: State,
        paths: tuple[str, ...],
        first: Version,
        seen: tuple[object, ...],
        show: Callable[[News], None],
        ended: Callable[[], None],
    ) -> None:
        self.failure: JobrunnerError | None = None
        self._state = state
        self._paths = paths
        self._first = first
        self._lull = Lull(seen)
        self._show = show
        self._ended = ended
        self._made: Made | None = None
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def tell(self, news: News) -> None:
        self._news.put(news)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Prints what is left."""
        self._news.put(None)
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            self._load(self._first)
        except JobrunnerError as error:
            self.failure = error
            self._ended()
            return
        while True:
            try:
                news = self._news.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                self._look()
                continue
            if news is None:
                return
            self._show(news)
            if self._news.empty():
                self._look()

    def _look(self) -> None:
        seen = fingerprint(self._paths)
        if not self._lull.over(seen, time.monotonic()):
            return
        try:
            version = read_version(self._paths)
        except InvalidSpec as error:
            for one in error.violations:
                self._trouble("broken", f"{one.field}: {one.message}; nothing was changed")
            return
        except JobrunnerError as error:
            self._trouble("broken", f"{error.message}; nothing was changed")
            return
        if fingerprint(self._paths) != seen:
            # Written while it was read: the next look sees that.
            return
        try:
            self._load(version)
        except JobrunnerError as error:
            self._trouble("failed", error.message)

    def _load(self, version: Version) -> None:
        if self._made is None:
            scope = self._state.scope()
            home = self._state.settings().home
            self._made = Made(home, self._paths, (scope.project, scope.region))
        for change in load(self._state, version, self._made):
            name = f"{change.kind} {change.name}"
            fields = {"resource": change.kind, "resourceName": change.name}
            tone = _TONES[change.word]
            self._show(News(self._state.now(), "file", name, change.word, "", tone, fields))

    def _trouble(self, state: str, detail: str) -> None:
        name = _short(self._paths)
        self._show(News(self._state.now(), "file", name, state, detail, Tone.BAD))


def _short(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
