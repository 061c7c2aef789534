"""What a runner does for the leases that it holds: it prolongs them, and hears what others wish."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jobrunner.core.records import Abort
from jobrunner.errors import JobrunnerError, NotFound, StoreFault
from jobrunner.executor.means import Means

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 5.0


class Leases:
    """Whether a lease was lost while the store was away is told by the next turn, or by a heartbeat
    that prolongs fewer than are held."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._next_beat = means.machine.monotonic() + HEARTBEAT_SECONDS
        self._failing = False

    def look(
        self, wished: Callable[[str, Abort], None], held: Callable[[], Iterable[str]]
    ) -> list[str]:
        """Passes on the wishes that are stored, prolongs the leases when it is time, and returns
        those of ``held`` that are another runner's by now. Trouble of the store is told once."""
        store, means = self._means.store, self._means
        lost: list[str] = []
        try:
            for uid, abort in store.aborts_for(means.owner):
                wished(uid, abort)
            if means.machine.monotonic() >= self._next_beat:
                lost = self._beat(list(held()))
                self._next_beat = means.machine.monotonic() + HEARTBEAT_SECONDS
        except StoreFault as error:
            if not self._failing:
                means.observer.warning(f"{error.message.rstrip('.')}: trying again.")
            self._failing = True
        else:
            self._failing = False
        return lost

    def _beat(self, held: list[str]) -> list[str]:
        means = self._means
        now = means.machine.now()
        kept = means.store.heartbeat(means.owner, now=now, ttl=LEASE_SECONDS)
        return [] if kept >= len(held) else [uid for uid in held if not self._is_mine(uid)]

    def _is_mine(self, uid: str) -> bool:
        try:
            lease = self._means.store.get_execution_by_uid(uid).lease
        except NotFound:
            return False
        except JobrunnerError:
            return True
        return lease is not None and lease.owner == self._means.owner
