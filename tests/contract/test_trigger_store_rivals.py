"""Several runners on one database: no delivery is held by two, and no order key is left waiting."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from jobrunner.lib.database import Database, connect
from tests.support.deliveries import NOW, TTL, a_delivery, moved
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.ports import DeliveryFilter, DeliveryStore
from triggers.store import open_deliveries

COUNT = 120
PATIENCE = 60.0


@pytest.fixture
def another(shared_url: str) -> Iterator[Callable[[], DeliveryStore]]:
    opened: list[Database] = []

    def one_more() -> DeliveryStore:
        opened.append(connect(shared_url))
        return open_deliveries(opened[-1])

    yield one_more
    for one in opened:
        one.close()


def test_rivals_share_what_is_opened_meanwhile_and_keep_every_order(
    another: Callable[[], DeliveryStore],
) -> None:
    over, until = threading.Event(), time.monotonic() + PATIENCE
    held: Counter[str] = Counter()
    started: list[str] = []
    ended: list[str] = []
    problems: list[BaseException] = []
    lock = threading.Lock()

    def opener(store: DeliveryStore) -> None:
        for number in range(COUNT):
            order = f"k{number % 3}" if number % 2 else None
            store.open(a_delivery(str(number), order_key=order))

    def runner(store: DeliveryStore, name: str) -> None:
        while not over.is_set():
            assert time.monotonic() < until, "something waits for ever"
            claims = store.claim(name, now=NOW, ttl=TTL, most=4, per_place=99, busy={})
            with lock:
                held.update(one.uid for one in claims.taken)
                started.extend(one.key for one in claims.taken)
            done = [moved(one, Event.ACCEPTED) for one in claims.taken]
            with lock:
                ended.extend(one.key for one in claims.taken)
            assert all(store.record(done))

    def guarded(work: Callable[..., None], *words: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*words)
            except BaseException as problem:
                problems.append(problem)
                over.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    reader = another()
    threads = [guarded(opener, another())]
    threads += [guarded(runner, another(), name) for name in ("a", "b")]
    while reader.count(DeliveryFilter()) != {State.DELIVERED: COUNT} and not over.is_set():
        assert time.monotonic() < until, reader.count(DeliveryFilter())
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert problems == []
    assert set(held.values()) == {1}, "held by two"
    for order in range(3):
        keys = [key for key in started if int(key) % 2 and int(key) % 3 == order]
        assert keys == sorted(keys, key=int)
    assert len(ended) == COUNT
