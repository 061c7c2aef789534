"""The highest lease seen per execution, kept where every runner of the home sees it."""

from __future__ import annotations

import fcntl
import json
import os
import time

KEPT_SECONDS = 7 * 86400.0
FIRST_LEASE = 1


class Fences:
    """``path`` is a small file that is made when an execution is first taken over from a runner
    that may still be alive; what is older than KEPT_SECONDS is forgotten when it is written."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._read_at: tuple[int, int] | None = None

    def raise_to(self, execution: str, lease: int) -> None:
        """Durable when this returns. A lower lease than the known one changes nothing."""
        self._note(execution, lease)
        if lease > FIRST_LEASE:
            self._store(execution, lease)

    def admits(self, execution: str, lease: int) -> bool:
        """Whether no higher lease has been seen; ``lease`` counts as seen from now on."""
        highest = self.highest(execution)
        self._note(execution, lease)
        return lease >= highest

    def highest(self, execution: str) -> int:
        self._refresh()
        return max(self._seen.get(execution, 0), self._stored.get(execution, 0))

    def _note(self, execution: str, lease: int) -> None:
        self._seen[execution] = max(lease, self._seen.get(execution, 0))

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)
        except OSError:
            return
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._read_at:
            self._stored = {name: lease for name, (lease, _) in self._load().items()}
            self._read_at = stamp

    def _load(self) -> dict[str, tuple[int, float]]:
        try:
            with open(self._path, encoding="utf-8") as file:
                return {str(k): (int(v[0]), float(v[1])) for k, v in json.load(file).items()}
        except (OSError, ValueError, TypeError, IndexError, AttributeError):
            return {}

    def _store(self, execution: str, lease: int) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(self._path + ".lock", "a", encoding="ascii") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            now = time.time()
            known = {k: v for k, v in self._load().items() if v[1] > now - KEPT_SECONDS}
            if known.get(execution, (0, 0.0))[0] >= lease:
                return
            known[execution] = (lease, now)
            temporary = self._path + ".new"
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(known, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
