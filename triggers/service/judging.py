"""What an outcome makes of a delivery, with what this runner knows beyond it: the time, chance, and
the pauses of push subscriptions."""

from __future__ import annotations

from collections.abc import Callable

from jobrunner.ports import Clock
from triggers.core.records import Delivery, Ruling, SourceKind
from triggers.core.retry import push_pause
from triggers.core.verdict import RunEnd
from triggers.ports import Move, Sent
from triggers.service import moves

Source = tuple[str, str, SourceKind, str]


class Judge:
    """``draw`` gives numbers from 0 to 1."""

    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        self._clock = clock
        self._draw = draw
        self._pauses: dict[Source, float] = {}

    def move(self, delivery: Delivery, sent: Sent) -> Move:
        """Of a delivery that is SENDING or FOLLOWING."""
        outcome, now = sent.outcome, self._clock.now()
        if isinstance(outcome, RunEnd) and moves.still_runs(delivery, outcome):
            uid = sent.execution or outcome.execution
            return moves.followed(delivery, uid, outcome.execution)
        verdict = moves.verdict_of(delivery, outcome)
        pause = self._pause(delivery, verdict.ruling is Ruling.ACCEPT)
        return moves.ended(delivery, sent, verdict, now, jitter=self._draw(), pause=pause)

    def _pause(self, delivery: Delivery, accepted: bool) -> float:
        """Of a push subscription as a whole; this runner's view of it."""
        if delivery.source is not SourceKind.SUBSCRIPTION:
            return 0.0
        if accepted and not self._pauses:
            return 0.0
        source = delivery.project, delivery.region, delivery.source, delivery.source_name
        pause = push_pause(self._pauses.pop(source, 0.0), accepted)
        if pause:
            self._pauses[source] = pause
        return pause
