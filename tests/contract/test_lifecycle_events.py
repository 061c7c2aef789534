"""What happens to executions becomes events, each once, over every store."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from jobrunner.ports import Store, Turn
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.deliveries import a_delivery
from tests.support.events import a_trigger, rooms
from tests.support.stores import NOW, a_job, an_execution, leased, settled
from triggers.core.event_triggers import EventFilter
from triggers.core.lifecycle_events import EXECUTION
from triggers.core.records import Delivery, SourceKind
from triggers.ports import DeliveryFilter
from triggers.service import lifecycle
from triggers.service.feeds import Read
from triggers.service.lifecycle import Lifecycle
from triggers.store import open_cursors

T = TypeVar("T")
OURS = ("succeeded", "failed", "created")


class Runner:
    """One reader of the feed, with a store of its own."""

    def __init__(self, store: Store) -> None:
        assert isinstance(store, SqlStore)
        self.store = store
        self.events, self.declared, self.deliveries = rooms(store.database)
        self.cursors = open_cursors(store.database)
        self.feed = Lifecycle(store, self.events, self.cursors, self.deliveries)

    def commit(self, work: Callable[[], T]) -> T:
        [answer] = self.store.group([work])
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    def read(self) -> Read:
        return self.commit(lambda: self.feed.read(NOW + 100))

    def listen(self, kind: str = "succeeded", name: str = "", **fields: Any) -> None:
        filters = (EventFilter("type", f"{EXECUTION}{kind}"),)
        fields = {"created_at": NOW, **fields}
        self.declared.triggers.create(a_trigger(name or kind, filters=filters, **fields))

    def run(self, name: str, at: float = NOW, state: str = "SUCCEEDED", **fields: Any) -> None:
        """From its creation to its end, at once."""
        execution = leased(an_execution(name, created_at=at, **fields))
        self.store.create_execution(execution)
        changes = [({"SUCCEEDED": "succeeded"}.get(state, "failed"), {"reason": "because"})]
        self.store.record(Turn(settled(execution, at, state), at=at, changes=changes))

    def told(self) -> list[Delivery]:
        wanted = DeliveryFilter(source=SourceKind.EVENT_TRIGGER)
        return list(self.deliveries.listing(wanted, oldest_first=True))


def subjects(found: list[Delivery]) -> list[str]:
    headers = [dict(one.payload.headers) for one in found if one.payload is not None]
    return [one["ce-subject"] for one in headers]


@pytest.fixture
def runner(store: Store) -> Runner:
    store.create_job(a_job())
    return Runner(store)


def test_every_change_that_somebody_waits_for_is_told_once(runner: Runner) -> None:
    runner.listen("succeeded")
    runner.listen("created")
    runner.run("job-1")
    runner.run("job-2", state="FAILED")
    assert runner.read().opened == 3
    assert subjects(runner.told()) == ["executions/job-1", "executions/job-1", "executions/job-2"]
    assert runner.read().opened == 0
    again = Runner(runner.store)
    assert again.read().opened == 0
    assert len(again.told()) == 3


def test_an_event_names_the_place_and_carries_what_the_change_says(runner: Runner) -> None:
    runner.listen("failed")
    runner.run("job-1", state="FAILED")
    runner.read()
    [delivery] = runner.told()
    assert delivery.payload is not None
    headers = dict(delivery.payload.headers)
    assert headers["ce-id"] == "uid-of-job-1-2"
    assert headers["ce-source"] == "//jobrunner.dev/projects/local/locations/us-central1/jobs/job"
    assert (headers["ce-job"], headers["ce-execution"]) == ("job", "job-1")
    assert b'"reason":"because"' in delivery.payload.body
    assert "ce-jobrunnerhops" not in headers


def test_what_happened_before_anybody_waited_is_nobodys(runner: Runner) -> None:
    runner.run("job-1", at=NOW - 10)
    runner.listen("succeeded")
    runner.run("job-2", at=NOW + 10)
    runner.read()
    assert subjects(runner.told()) == ["executions/job-2"]


def test_without_a_trigger_the_feed_is_not_read_and_the_reader_stands_at_its_end(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.run("job-1")
    monkeypatch.setattr(runner.store, "changes", None)
    assert runner.read() == Read(2)
    monkeypatch.undo()
    runner.listen("succeeded", created_at=NOW - 100)
    assert runner.read().opened == 0


def test_a_feed_that_was_emptied_is_at_its_end(runner: Runner) -> None:
    runner.listen("succeeded")
    runner.run("job-1")
    runner.store.prune_changes(NOW + 1)
    assert runner.read() == Read(2)
    assert runner.read() == Read(2)


def test_a_long_feed_is_read_bit_by_bit(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "BATCH", 3)
    runner.listen("succeeded")
    for number in range(4):
        runner.run(f"job-{number}")
    positions = [runner.read().position for _ in range(4)]
    assert positions == [3, 6, 8, 8]
    assert len(runner.told()) == 4


def test_an_execution_that_was_removed_is_still_told_of(runner: Runner) -> None:
    runner.listen("succeeded")
    runner.run("job-1")
    runner.store.delete_execution("uid-of-job-1")
    runner.read()
    assert subjects(runner.told()) == ["executions/job-1"]


def test_hops_are_one_more_than_those_of_the_delivery_that_started_it(runner: Runner) -> None:
    runner.listen("succeeded")
    opened = runner.deliveries.open(a_delivery("d", hops=8))
    runner.run("job-1", idempotency_key=f"{opened.uid}/0")
    tired = runner.deliveries.open(a_delivery("e", hops=7))
    runner.run("job-2", idempotency_key=f"{tired.uid}/3")
    runner.run("job-3", idempotency_key="somebody/else")
    runner.read()
    # More than eight of ours led to what the first one did.
    found = runner.told()
    assert subjects(found) == ["executions/job-2", "executions/job-3"]
    assert [one.hops for one in found] == [8, 0]


def test_a_trigger_that_is_damaged_does_not_keep_the_others_from_being_told(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.listen("succeeded")
    runner.run("job-1")
    runner.run("job-2")
    publish = runner.events.publish

    def broken(events: Any, **options: Any) -> Any:
        if events[0].subject == "executions/job-1":
            raise ValueError("damaged")
        return publish(events, **options)

    monkeypatch.setattr(runner.events, "publish", broken)
    assert runner.read() == Read(4, 1)
    assert subjects(runner.told()) == ["executions/job-2"]


def test_what_was_undone_is_told_again(runner: Runner) -> None:
    runner.listen("succeeded")
    runner.run("job-1")

    def breaks() -> None:
        runner.feed.read(NOW)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        runner.commit(breaks)
    assert runner.told() == []
    assert runner.read().opened == 1


@pytest.fixture
def second(fresh_postgres_url: str) -> Iterator[tuple[Runner, Runner]]:
    stores = [open_store(fresh_postgres_url) for _ in range(2)]
    stores[0].create_job(a_job())
    yield Runner(stores[0]), Runner(stores[1])
    for store in stores:
        store.close()


def test_of_two_runners_one_reads_at_a_time_and_each_change_is_told_once(
    second: tuple[Runner, Runner],
) -> None:
    one, other = second
    one.listen("succeeded")
    one.run("job-1")
    one.read()
    one.run("job-2")

    def both() -> tuple[Read, Read]:
        return one.feed.read(NOW), other.read()

    first, held = one.commit(both)
    assert (first.opened, held.position) == (1, None)
    assert other.read() == Read(4)
    assert len(one.told()) == 2
