"""Five hundred deliveries of every kind at once, and a sink that answers each as its kind says.

The kind of a delivery stands in its path or in the environment of its run, so that the sink and
the tasks need no list, and what they wrote down can be set against the record.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE
from triggers.core.records import (
    Ack,
    Delivery,
    DeliveryAttempt,
    HttpTarget,
    JobTarget,
    QueueRetry,
    RetryPolicy,
    ScheduleRetry,
    SourceKind,
    Target,
)
from triggers.ports import DeliveryFilter, DeliveryStore
from triggers.store import open_deliveries

COUNT = 500
ORDERS = 5
"""Order keys; what has one goes one after the other."""
SLOW_SECONDS = 0.3
JOB = "work"
WORKER = (
    'echo "start $WHAT $CLOUD_RUN_EXECUTION" >> "$BOOK"; sleep 0.05;'
    ' echo "end $WHAT $CLOUD_RUN_EXECUTION" >> "$BOOK";'
    ' case "$WHAT" in broken-*) mkdir "$BOOK.$WHAT" 2>/dev/null && exit 1;; esac; exit 0'
)
"""``broken`` ones fail the first time."""

_MIX = (
    ["fast"] * 8
    + ["slow"] * 3
    + ["once500"] * 2
    + ["once429", "never"]
    + ["order", "order", "order500"]
    + ["started", "succeeded"]
)
"""``never`` is refused for good, ``started`` and ``succeeded`` are runs acknowledged so; every
second of the latter fails the first time."""


@dataclass(frozen=True, slots=True)
class Want:
    """One delivery, and what has to become of it. ``path`` is empty for a run."""

    delivery: Delivery
    kind: str
    path: str = ""
    what: str = ""

    @property
    def dies(self) -> bool:
        return self.kind == "never"


def a_load(url: str, seed: int, now: float, count: int = COUNT) -> list[Want]:
    dice = random.Random(seed)
    kinds = [_MIX[number % len(_MIX)] for number in range(count)]
    dice.shuffle(kinds)
    return [_want(url, number, kind, now) for number, kind in enumerate(kinds)]


def _want(url: str, number: int, kind: str, now: float) -> Want:
    path, what, order = "", "", None
    source, name = SourceKind.SCHEDULE, f"s{number % 4}"
    retry: RetryPolicy = ScheduleRetry(retry_count=5, min_backoff=0.05, max_backoff=0.2)
    target: Target
    if kind in ("started", "succeeded"):
        broken = kind == "succeeded" and number % 2 == 0
        what = f"broken-{number}" if broken else f"whole-{number}"
        env = ContainerOverride(env=(EnvVar("WHAT", what),))
        ack = Ack.ON_SUCCESS if kind == "succeeded" else Ack.ON_START
        target = JobTarget(JOB, overrides=Overrides(containers=(env,)), ack=ack)
    else:
        path = f"/{kind}/{number}"
        target = HttpTarget(f"{url}{path}", deadline=30.0)
        if kind == "never":
            retry = ScheduleRetry(retry_count=1, min_backoff=0.05)
        elif kind.startswith("order"):
            order, name = f"o{number % ORDERS}", "ordered"
        elif number % 2:
            source, name = SourceKind.QUEUE, f"q{number % 3}"
            retry = QueueRetry(max_attempts=6, min_backoff=0.05, max_backoff=0.2)
    delivery = Delivery(
        uid=f"d-{number:04d}",
        project="local",
        region="us-central1",
        source=source,
        source_name=name,
        key=f"k{number}",
        target=target,
        retry=retry,
        order_key=order,
        created_at=now,
        queued_at=now,
        not_before=now,
    )
    return Want(delivery, kind, path, what)


def answer(path: str, count: int) -> int:
    """What the sink says to the ``count``-th call of a path."""
    kind = path.split("/")[1]
    if kind == "slow":
        time.sleep(SLOW_SECONDS)
    elif kind == "never" or (kind in ("once500", "order500") and count == 1):
        return 500
    elif kind == "once429" and count == 1:
        return 429
    return 200


class Books:
    """The record as it stands in the database, read beside the server."""

    def __init__(self, url: str) -> None:
        opened = open_store(url)
        assert isinstance(opened, SqlStore)
        self._jobs = opened
        self._store: DeliveryStore = open_deliveries(opened.database)

    def close(self) -> None:
        self._jobs.close()

    def open(self, wants: Sequence[Want]) -> None:
        """All in one transaction."""

        def work() -> None:
            for want in wants:
                self._store.open(want.delivery)

        [done] = self._jobs.group([work])
        if isinstance(done, Exception):
            raise done

    def deliveries(self) -> Mapping[str, Delivery]:
        """By key."""
        return {one.key: one for one in self._store.listing(DeliveryFilter())}

    def attempts(self, delivery: Delivery) -> Sequence[DeliveryAttempt]:
        return self._store.attempts(delivery.uid)

    def unsettled(self) -> dict[str, int]:
        counts = self._store.count(DeliveryFilter())
        over = ("DELIVERED", "DEAD", "EXPIRED", "CANCELLED")
        return {state.value: n for state, n in counts.items() if state.value not in over}

    def holders(self) -> Sequence[str]:
        return self._store.holders()


def quiet(receiver: Receiver, patience: float = PATIENCE) -> None:
    """Until the sink has answered everything that had reached it."""
    until = time.monotonic() + patience
    seen, still = -1, 0
    while still < 4:
        with receiver.lock:
            began, done = receiver.began.total(), receiver.done.total() + receiver.broken
        still = still + 1 if began == seen and began == done else 0
        seen = began
        assert time.monotonic() < until, f"{began} calls began, {done} are over"
        time.sleep(0.03)


def lines_of(book: Path) -> list[list[str]]:
    return [line.split() for line in book.read_text().splitlines()] if book.exists() else []
