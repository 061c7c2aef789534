"""What was read before and has not changed is the very same value; the rest is read anew."""

from dataclasses import replace

import pytest

from jobrunner.core.records import Abort, Execution, Scope
from jobrunner.core.spec import Container, ExecutionTemplate, TaskTemplate
from jobrunner.ports import Page, Store, Turn
from jobrunner.store import recall
from tests.support.stores import NOW, TTL, a_job, an_execution, settled

HOME = Scope("local", "us-central1")
UID = "uid-of-job-1"


def listed(store: Store) -> Execution:
    (execution,) = store.list_executions(HOME, page=Page(limit=10))
    return execution


@pytest.fixture(autouse=True)
def opened(store: Store) -> Execution:
    store.create_job(a_job())
    return store.create_execution(an_execution())


def test_an_unchanged_execution_is_the_same_value_in_every_list(store: Store) -> None:
    first = listed(store)
    assert listed(store) is first
    (other,) = store.list_executions(HOME, job="job", page=Page(limit=5))
    assert other is first


def test_a_lease_a_wish_and_a_turn_are_seen_at_once(store: Store) -> None:
    assert listed(store).lease is None
    claimed = store.claim(UID, "runner", now=NOW, ttl=TTL)
    assert listed(store) == claimed
    store.heartbeat("runner", now=NOW + 5, ttl=TTL)
    assert listed(store) == store.get_execution_by_uid(UID) != claimed
    store.request_abort(UID, Abort("cancel", NOW))
    assert listed(store).abort == Abort("cancel", NOW)
    store.record(Turn(settled(store.get_execution_by_uid(UID), NOW)))
    assert listed(store) == store.get_execution_by_uid(UID)
    store.delete_execution(UID)
    assert store.list_executions(HOME, page=Page(limit=10)) == []


def test_what_a_group_has_undone_is_not_remembered(store: Store) -> None:
    def undone() -> None:
        store.request_abort(UID, Abort("cancel", NOW, message="undone"))
        assert listed(store).abort is not None
        raise ValueError("no")

    before = listed(store)
    store.group([undone])
    assert listed(store) is before
    store.request_abort(UID, Abort("timeout", NOW))
    assert listed(store).abort == Abort("timeout", NOW)


def test_an_unchanged_job_is_the_same_value_and_a_run_changes_it(store: Store) -> None:
    job = store.get_job(HOME, "job")
    assert store.get_job(HOME, "job") is job
    assert store.list_jobs(HOME, page=Page(limit=10))[0] is job
    store.create_execution(an_execution("job-2"))
    assert store.get_job(HOME, "job").execution_count == job.execution_count + 1


def test_only_so_many_and_only_small_ones_are_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "MOST_EXECUTIONS", 3)
    large = ExecutionTemplate(template=TaskTemplate((Container(args=("x" * 20_000,)),)))
    store.create_execution(replace(an_execution("job-2"), template=large))
    for number in range(3, 9):
        store.create_execution(an_execution(f"job-{number}"))
    for _ in range(2):
        rows = store.list_executions(HOME, page=Page(limit=10))
        assert rows == store.list_executions(HOME)
