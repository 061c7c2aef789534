"""Calls that change something become events, each once, over every store."""

import pytest

from jobrunner.core.records import AuditEntry
from jobrunner.ports import Store
from jobrunner.store.sql import SqlStore
from tests.support.events import HERE, a_trigger, rooms
from triggers.core.event_triggers import EventFilter
from triggers.core.google_events import AUDIT
from triggers.ports import DeliveryFilter
from triggers.service import audit_feed
from triggers.service.audit_feed import AuditFeed
from triggers.service.feeds import Read
from triggers.store import open_cursors

NOW = 1_750_000_000.0
JOB = "/v2/projects/local/locations/us-central1/jobs"


def called(name: str, at: float = NOW, method: str = "run.jobs.run") -> AuditEntry:
    return AuditEntry(0, at, "ann", method, f"{JOB}/{name}:run", 200)


class Log:
    """An audit log and whoever reads it."""

    def __init__(self, store: Store) -> None:
        assert isinstance(store, SqlStore)
        self.store = store
        self.events, self.declared, self.deliveries = rooms(store.database)
        self.feed = AuditFeed(store, self.events, open_cursors(store.database), HERE)

    def listen(self, *more: EventFilter) -> None:
        wanted = (
            EventFilter("type", AUDIT),
            EventFilter("serviceName", "run.googleapis.com"),
            EventFilter("methodName", "google.cloud.run.v2.Jobs.RunJob"),
        )
        trigger = a_trigger("audit", filters=(*wanted, *more), created_at=NOW)
        self.declared.triggers.create(trigger)

    def read(self) -> Read:
        [answer] = self.store.group([lambda: self.feed.read(NOW + 9)])
        assert isinstance(answer, Read)
        return answer

    def subjects(self) -> list[str]:
        found = self.deliveries.listing(DeliveryFilter(), oldest_first=True)
        headers = [dict(one.payload.headers) for one in found if one.payload is not None]
        return [one["ce-subject"].rpartition("/")[2] for one in headers]


@pytest.fixture
def log(store: Store) -> Log:
    return Log(store)


def test_a_call_is_told_once_to_those_who_wait_for_its_method(log: Log) -> None:
    log.listen()
    log.store.append_audit([called("a"), called("b", method="run.jobs.delete"), called("c")])
    assert log.read() == Read(3, 2)
    assert log.read() == Read(3)
    assert log.subjects() == ["a", "c"]


def test_a_pattern_chooses_by_the_resource(log: Log) -> None:
    pattern = "projects/*/locations/*/jobs/nightly-*"
    log.listen(EventFilter("resourceName", pattern, "match-path-pattern"))
    log.store.append_audit([called("nightly-a"), called("daily")])
    assert log.read().opened == 1
    assert log.subjects() == ["nightly-a"]


def test_what_was_called_before_anybody_waited_is_nobodys(log: Log) -> None:
    log.store.append_audit([called("a")])
    assert log.read() == Read(1)
    log.listen()
    log.store.append_audit([called("b", at=NOW - 1), called("c")])
    assert log.read() == Read(3, 1)
    assert log.subjects() == ["c"]


def test_a_long_log_is_read_bit_by_bit_and_an_emptied_one_is_at_its_end(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_feed, "BATCH", 2)
    log.listen()
    log.store.append_audit([called(f"j{number}") for number in range(3)])
    assert [log.read().position for _ in range(3)] == [2, 3, 3]
    log.store.append_audit([called("late")])
    log.store.prune_audit(NOW + 1)
    assert log.read() == Read(4)


def test_projects_have_their_own(log: Log) -> None:
    log.listen()
    number = log.store.project_number("other")
    elsewhere = JOB.replace("local", str(number))
    log.store.append_audit([AuditEntry(0, NOW, "ann", "run.jobs.run", f"{elsewhere}/a:run", 200)])
    assert log.read() == Read(1)
    [entry] = log.events._kept.listing("other")
    assert entry.scope.project == "other"
