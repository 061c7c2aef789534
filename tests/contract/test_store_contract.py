"""What every store promises, over SQLite in a file, SQLite in memory and PostgreSQL."""

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from jobrunner.core.records import (
    DEFAULT_PROJECT_NUMBER,
    Abort,
    Attempt,
    AttemptKey,
    Counters,
    Execution,
    Lease,
    Scope,
    Task,
    Usage,
)
from jobrunner.core.spec import JobSpec
from jobrunner.core.states import AttemptState, ExecutionState, StopReason, TaskState
from jobrunner.errors import (
    AlreadyExists,
    Conflict,
    InvalidSpec,
    NotFound,
    Refused,
    StaleWrite,
    UsageError,
)
from jobrunner.lib.database.postgres import PostgresDatabase
from jobrunner.ports import Move, Page, Retention, Store, Turn
from jobrunner.store.revisions import HEAD
from jobrunner.store.sql import SqlStore
from tests.support.stores import (
    NOW,
    TTL,
    a_job,
    an_execution,
    an_intent,
    answer,
    leased,
    settled,
    start_python,
    tell,
)

HOME = Scope("local", "us-central1")


def running(store: Store, tasks: int = 3, name: str = "job-1") -> Execution:
    """A job with one execution that ``runner`` drives."""
    with contextlib.suppress(AlreadyExists):
        store.create_job(a_job())
    store.create_execution(an_execution(name, tasks=tasks))
    claimed = store.claim(f"uid-of-{name}", "runner", now=NOW, ttl=TTL)
    return replace(claimed, state=ExecutionState.RUNNING, started_at=NOW)


# ---------------------------------------------------------------------------------------- jobs


def test_a_job_is_read_as_it_was_written(store: Store) -> None:
    job = a_job(generation=3, resource_version=1_750_000_000_123_456, hidden=True)
    store.create_job(job)
    assert store.get_job(HOME, "job") == job


def test_a_name_is_taken_once_per_project_and_region(store: Store) -> None:
    store.create_job(a_job())
    store.create_job(a_job(uid="2", region="europe-west1"))
    store.create_job(a_job(uid="3", project="other"))
    with pytest.raises(AlreadyExists, match="'job' already exists in project 'local'"):
        store.create_job(a_job(uid="4"))


def test_an_unknown_job_is_not_found_by_its_name_and_place(store: Store) -> None:
    with pytest.raises(NotFound, match="no job named 'nope' in project 'local'"):
        store.get_job(HOME, "nope")
    with pytest.raises(NotFound):
        store.delete_job(HOME, "nope")
    with pytest.raises(NotFound):
        store.replace_job(a_job("nope", resource_version=2), expect_version=1)


def test_replacing_a_job_keeps_what_its_executions_wrote(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution())
    new = a_job(
        spec=JobSpec(labels={"new": "yes"}), generation=2, resource_version=2, last_modifier="you"
    )
    store.replace_job(new, expect_version=1)
    stored = store.get_job(HOME, "job")
    assert (stored.spec, stored.generation, stored.resource_version) == (new.spec, 2, 2)
    assert stored.last_modifier == "you"
    assert stored.creator == "me"
    assert stored.execution_count == 1
    assert stored.latest_execution is not None
    assert stored.latest_execution.name == "job-1"


def test_of_two_replacements_of_one_version_the_second_conflicts(store: Store) -> None:
    store.create_job(a_job())
    store.replace_job(a_job(resource_version=2, last_modifier="you"), expect_version=1)
    with pytest.raises(Conflict, match="changed by you in the meantime"):
        store.replace_job(a_job(resource_version=3), expect_version=1)
    assert store.get_job(HOME, "job").resource_version == 2


def test_jobs_are_listed_by_name_page_by_page_without_hidden_ones(store: Store) -> None:
    for name in ("d", "a", "c", "b"):
        store.create_job(a_job(name, hidden=name == "c"))
    store.create_job(a_job("a2", region="europe-west1"))
    first = store.list_jobs(HOME, page=Page(limit=2))
    second = store.list_jobs(HOME, page=Page(limit=2, after=first[-1].name))
    assert [job.name for job in first] == ["a", "b"]
    assert [job.name for job in second] == ["d"]
    assert [job.name for job in store.list_jobs(HOME, hidden=True)] == ["a", "b", "c", "d"]
    assert store.job_names(HOME) == ["a", "b", "d"]


def test_the_regions_of_a_project_are_those_of_its_jobs(store: Store) -> None:
    assert store.regions("local") == []
    for number, region in enumerate(("us-west1", "asia-east1", "us-west1")):
        store.create_job(a_job(f"j{number}", region=region))
    store.create_job(a_job("k", project="other", region="eu-west1"))
    assert store.regions("local") == ["asia-east1", "us-west1"]


def test_a_listing_of_all_places_pages_by_place_and_name(store: Store) -> None:
    places = [("local", "r1"), ("local", "r2"), ("other", "r1")]
    for project, region in places:
        store.create_job(a_job(uid=project + region, project=project, region=region))
    seen: list[tuple[str, str]] = []
    after = None
    while page := store.list_jobs(None, page=Page(limit=1, after=after)):
        seen.append(page[0].scope)
        after = f"{page[0].project}/{page[0].region}/{page[0].name}"
    assert seen == places
    with pytest.raises(UsageError, match="PROJECT/REGION/NAME"):
        store.list_jobs(None, page=Page(after="job"))


def test_deleting_a_job_takes_its_executions_but_not_the_feed(store: Store) -> None:
    running(store)
    before = store.changes(0)
    assert store.delete_job(HOME, "job").name == "job"
    with pytest.raises(NotFound):
        store.get_execution(HOME, "job-1")
    assert store.list_tasks("uid-of-job-1") == []
    assert store.changes(0) == before


# ---------------------------------------------------------------------------------- executions


def test_an_execution_is_read_as_it_was_written(store: Store) -> None:
    store.create_job(a_job())
    execution = an_execution(
        labels={"a": "b"},
        annotations={"c": "d \N{SNOWMAN}"},
        parent="job-0",
        image_digest="sha256:abc",
        indices=(1, 5, 2),
        env_task_count=10,
        abort=Abort("cancel", NOW, "stop", "Cancelled"),
        lease=Lease("runner", 1, NOW + TTL),
        failed_index=5,
        started_at=NOW + 0.25,
        counters=Counters(1, 2, 3, 4, 5),
        idempotency_key="key",
        resource_version=1_750_000_000_123_456,
    )
    assert store.create_execution(execution) == execution
    assert store.get_execution(HOME, "job-1") == execution
    assert store.get_execution_by_uid("uid-of-job-1") == execution


def test_an_execution_begins_with_all_of_its_tasks_pending(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution("job-1", tasks=3))
    store.create_execution(an_execution("job-2", tasks=3, indices=(2, 7, 9)))
    assert store.list_tasks("uid-of-job-1") == [Task("uid-of-job-1", i) for i in range(3)]
    assert store.list_tasks("uid-of-job-2") == [Task("uid-of-job-2", i) for i in (2, 7, 9)]


def test_a_job_counts_its_executions_and_knows_the_latest(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution("job-1"))
    store.create_execution(an_execution("job-2", created_at=NOW + 1))
    job = store.get_job(HOME, "job")
    assert job.execution_count == 2
    assert job.latest_execution is not None
    assert (job.latest_execution.name, job.latest_execution.created_at) == ("job-2", NOW + 1)
    assert job.latest_execution.state is ExecutionState.PENDING


def test_the_latest_execution_of_a_job_shows_its_present_state(store: Store) -> None:
    execution = running(store)
    store.record(Turn(settled(execution, NOW + 9), at=NOW + 9))
    [job] = store.list_jobs(HOME)
    assert job.latest_execution is not None
    assert job.latest_execution.state is ExecutionState.SUCCEEDED
    assert job.latest_execution.completed_at == NOW + 9


def test_when_the_latest_execution_goes_the_one_before_is_the_latest(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution("job-1"))
    store.create_execution(an_execution("job-2", created_at=NOW + 1))
    store.delete_execution("uid-of-job-2")
    job = store.get_job(HOME, "job")
    assert job.latest_execution is not None
    assert job.latest_execution.name == "job-1"
    assert job.execution_count == 2
    store.delete_execution("uid-of-job-1")
    assert store.get_job(HOME, "job").latest_execution is None


def test_an_execution_of_a_hidden_job_is_hidden_and_its_job_goes_with_the_last_one(
    store: Store,
) -> None:
    store.create_job(a_job(hidden=True))
    created = store.create_execution(an_execution("job-1"))
    store.create_execution(an_execution("job-2"))
    assert created.hidden
    assert store.list_executions(HOME) == []
    assert len(store.list_executions(HOME, hidden=True)) == 2
    assert set(store.execution_names(HOME)) == {"job-1", "job-2"}
    store.delete_execution("uid-of-job-1")
    assert store.list_jobs(HOME, hidden=True)
    store.delete_execution("uid-of-job-2")
    assert not store.list_jobs(HOME, hidden=True)


def test_an_execution_needs_its_job_and_a_free_name(store: Store) -> None:
    with pytest.raises(NotFound, match="'job' does not exist"):
        store.create_execution(an_execution())
    store.create_job(a_job())
    store.create_execution(an_execution())
    with pytest.raises(AlreadyExists, match="'job-1'"):
        store.create_execution(an_execution(uid="another"))
    assert store.get_job(HOME, "job").execution_count == 1
    assert len(store.changes(0)) == 1


def test_an_idempotency_key_opens_one_execution_per_job(store: Store) -> None:
    store.create_job(a_job())
    store.create_job(a_job("other"))
    first = store.create_execution(an_execution("job-1", idempotency_key="k"))
    again = store.create_execution(an_execution("job-2", idempotency_key="k"))
    assert again == first
    assert store.get_job(HOME, "job").execution_count == 1
    assert len(store.changes(0)) == 1
    other = store.create_execution(an_execution("other-1", job="other", idempotency_key="k"))
    assert other.name == "other-1"
    store.create_execution(an_execution("job-3"))
    store.create_execution(an_execution("job-4"))
    assert store.get_job(HOME, "job").execution_count == 3


def test_executions_are_listed_newest_first_page_by_page(store: Store) -> None:
    store.create_job(a_job())
    store.create_job(a_job("other"))
    for number in range(5):
        # Two of them at the same instant.
        store.create_execution(an_execution(f"job-{number}", created_at=NOW + number // 2))
    store.create_execution(an_execution("other-1", job="other", created_at=NOW + 9))
    everything = [e.name for e in store.list_executions(HOME)]
    assert everything == ["other-1", "job-4", "job-3", "job-2", "job-1", "job-0"]
    paged: list[str] = []
    after = None
    while page := store.list_executions(None, job="job", page=Page(limit=2, after=after)):
        paged += [e.name for e in page]
        after = page[-1].uid
    assert paged == everything[1:]
    assert store.list_executions(Scope("local", "nowhere")) == []
    with pytest.raises(UsageError, match="page token 'gone'"):
        store.list_executions(HOME, page=Page(after="gone"))


def test_text_that_is_no_unicode_is_refused_in_a_spec_and_repaired_in_a_message(
    store: Store,
) -> None:
    with pytest.raises(InvalidSpec, match="not valid Unicode"):
        store.create_job(a_job(spec=JobSpec(labels={"a": "\udcff"})))
    execution = running(store)
    store.record(Turn(replace(execution, message="a\0b\udcffc"), at=NOW))
    assert store.get_execution(HOME, "job-1").message == "a\N{REPLACEMENT CHARACTER}b?c"


# --------------------------------------------------------------------------------- abort wishes


def test_the_first_abort_wish_wins(store: Store) -> None:
    running(store)
    first = Abort("cancel", NOW + 1, "by hand", "Cancelled")
    assert store.request_abort("uid-of-job-1", first).abort == first
    assert store.request_abort("uid-of-job-1", Abort("delete", NOW + 2)).abort == first
    assert store.aborts_for("runner") == [("uid-of-job-1", first)]
    assert store.aborts_for("another") == []


def test_a_settled_execution_takes_no_abort_wish(store: Store) -> None:
    execution = running(store)
    store.record(Turn(settled(execution, NOW + 1), at=NOW + 1))
    with pytest.raises(Refused, match=r"'job-1' has ended already \(SUCCEEDED\)"):
        store.request_abort("uid-of-job-1", Abort("cancel", NOW))
    with pytest.raises(NotFound):
        store.request_abort("nobody", Abort("cancel", NOW))
    assert store.aborts_for("runner") == []


def test_an_abort_wish_survives_a_turn_of_a_runner_that_has_not_seen_it(store: Store) -> None:
    execution = running(store)
    wish = Abort("cancel", NOW + 1)
    store.request_abort("uid-of-job-1", wish)
    store.record(Turn(replace(execution, counters=Counters(running=1)), at=NOW + 2))
    stored = store.get_execution(HOME, "job-1")
    assert stored.abort == wish
    assert stored.counters.running == 1


def test_a_runners_own_abort_is_stored_unless_a_wish_came_first(store: Store) -> None:
    execution = running(store)
    own = Abort("launch", NOW + 3, "task 1 failed", "ContainerMissing")
    store.record(Turn(replace(execution, abort=own), at=NOW + 3))
    assert store.get_execution(HOME, "job-1").abort == own
    second = running(store, name="job-2")
    store.request_abort("uid-of-job-2", Abort("cancel", NOW, "by hand"))
    store.record(Turn(replace(second, abort=own), at=NOW + 3))
    assert store.get_execution(HOME, "job-2").abort == Abort("cancel", NOW, "by hand")


# -------------------------------------------------------------------------------------- leases


def test_the_epoch_grows_with_each_new_owner_and_stays_for_the_same(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution())
    uid = "uid-of-job-1"
    assert store.claim(uid, "a", now=NOW, ttl=TTL).lease == Lease("a", 1, NOW + TTL)
    assert store.claim(uid, "a", now=NOW + 5, ttl=TTL).lease == Lease("a", 1, NOW + 5 + TTL)
    with pytest.raises(Refused, match="driven by a, whose lease runs for another 14 s"):
        store.claim(uid, "b", now=NOW + 6, ttl=TTL)
    assert store.claim(uid, "b", now=NOW + 5 + TTL, ttl=TTL).lease == Lease("b", 2, NOW + 20 + TTL)
    store.release(uid, "a")
    assert store.get_execution_by_uid(uid).lease == Lease("b", 2, NOW + 20 + TTL)
    store.release(uid, "b")
    assert store.get_execution_by_uid(uid).lease is None
    claimed = store.claim(uid, "b", now=NOW, ttl=TTL)
    assert claimed.lease is not None
    assert claimed.lease.epoch == 3


def test_only_unsettled_executions_without_a_living_lease_are_claimable(store: Store) -> None:
    store.create_job(a_job())
    for number in range(4):
        store.create_execution(an_execution(f"job-{number}", created_at=NOW - number))
    uid = "uid-of-job-{}".format
    store.claim(uid(0), "a", now=NOW, ttl=TTL)
    done = store.claim(uid(1), "a", now=NOW, ttl=TTL)
    store.record(Turn(settled(done, NOW + 1), at=NOW + 1))
    assert store.claimable(now=NOW) == [uid(3), uid(2)]
    assert store.claimable(now=NOW, limit=1) == [uid(3)]
    assert store.claimable(now=NOW + TTL) == [uid(3), uid(2), uid(0)]
    with pytest.raises(Refused, match="has ended already"):
        store.claim(uid(1), "a", now=NOW, ttl=TTL)
    with pytest.raises(NotFound):
        store.claim("nobody", "a", now=NOW, ttl=TTL)


def test_a_heartbeat_prolongs_what_the_owner_holds_and_nothing_else(store: Store) -> None:
    running(store, name="job-1")
    running(store, name="job-2")
    done = running(store, name="job-3")
    store.record(Turn(settled(done, NOW + 1), at=NOW + 1))
    assert store.heartbeat("runner", now=NOW + 10, ttl=TTL) == 2
    assert store.heartbeat("another", now=NOW + 10, ttl=TTL) == 0
    lease = store.get_execution(HOME, "job-1").lease
    assert lease is not None
    assert lease.until == NOW + 10 + TTL
    # A clock that was set back takes nothing away.
    store.heartbeat("runner", now=NOW - 100, ttl=TTL)
    assert store.get_execution(HOME, "job-1").lease == lease


def test_a_turn_moves_the_end_of_a_lease_forward_only(store: Store) -> None:
    execution = running(store)
    store.heartbeat("runner", now=NOW + 10, ttl=TTL)
    store.record(Turn(execution, at=NOW + 11))
    assert store.get_execution(HOME, "job-1").lease == Lease("runner", 1, NOW + 10 + TTL)


# --------------------------------------------------------------------------------------- turns


def an_end(intent: Attempt, **fields: object) -> Attempt:
    values: dict[str, object] = {
        "state": AttemptState.SUCCEEDED,
        "handle": "h",
        "launched_at": NOW + 1,
        "ended_at": NOW + 2,
        "exit_code": 0,
        "usage": Usage(0.5, 0.25, 2**33),
        "output": 2**40,
    }
    return replace(intent, **(values | fields))  # type: ignore[arg-type]


def test_a_turn_stores_intents_then_launches_then_ends(store: Store) -> None:
    execution = running(store)
    intent = an_intent(execution, 0)
    task = Task(execution.uid, 0, TaskState.RUNNING, attempts=1, counted=1, started_at=NOW)
    store.record(Turn(execution, opened=[intent], tasks=[task], at=NOW))
    assert store.list_attempts(execution.uid) == [intent]
    assert store.get_task(execution.uid, 0) == task
    assert store.load(execution.uid).live == [intent]

    launched = replace(intent, state=AttemptState.RUNNING, handle="h", launched_at=NOW + 1)
    store.record(Turn(execution, moved=[Move(AttemptState.STARTING, launched)], at=NOW + 1))
    assert store.list_attempts(execution.uid, index=0) == [launched]

    stopping = replace(
        launched,
        state=AttemptState.STOPPING,
        stop_reason=StopReason.TIMEOUT,
        stopping_at=NOW + 2,
    )
    store.record(Turn(execution, moved=[Move(AttemptState.RUNNING, stopping)], at=NOW + 2))
    assert store.list_attempts(execution.uid) == [stopping]

    ended = an_end(
        stopping,
        state=AttemptState.TIMED_OUT,
        exit_code=None,
        signal=15,
        oom=True,
        reason="Timeout",
        message="too long",
    )
    over = replace(
        task, state=TaskState.FAILED, completed_at=NOW + 3, signal=15, reason="r", message="m"
    )
    store.record(Turn(execution, moved=[Move(AttemptState.STOPPING, ended)], tasks=[over], at=NOW))
    assert store.list_attempts(execution.uid) == [ended]
    assert store.get_task(execution.uid, 0) == over
    assert store.load(execution.uid).live == []


def test_one_turn_may_end_an_attempt_and_open_the_next(store: Store) -> None:
    execution = running(store)
    first, second = an_intent(execution, 0, 0), an_intent(execution, 0, 1)
    store.record(Turn(execution, opened=[first], at=NOW))
    failed = an_end(first, state=AttemptState.FAILED, exit_code=3)
    store.record(
        Turn(execution, opened=[second], moved=[Move(AttemptState.STARTING, failed)], at=NOW)
    )
    assert store.list_attempts(execution.uid) == [failed, second]
    assert store.load(execution.uid).live == [second]


def test_one_turn_may_open_an_attempt_and_stop_it(store: Store) -> None:
    execution = running(store)
    intent = an_intent(execution, 0)
    stopping = replace(
        intent, state=AttemptState.STOPPING, stop_reason=StopReason.CANCEL, stopping_at=NOW
    )
    moves = [Move(AttemptState.STARTING, stopping)]
    store.record(Turn(execution, opened=[intent], moved=moves, at=NOW))
    assert store.list_attempts(execution.uid) == [stopping]


def test_a_turn_keeps_the_executions_own_columns(store: Store) -> None:
    execution = running(store)
    ended = replace(
        settled(execution, NOW + 5, "FAILED"),
        counters=Counters(0, 1, 2, 0, 1),
        reason="NonZeroExitCode",
        message="Task 2 failed",
        failed_index=2,
        image_digest="sha256:1",
    )
    store.record(Turn(ended, at=NOW + 5))
    stored = store.get_execution(HOME, "job-1")
    assert stored.resource_version > ended.resource_version
    assert replace(stored, resource_version=ended.resource_version) == ended


def nothing_changed(store: Store, before: tuple[object, ...], execution: Execution) -> None:
    assert picture(store, execution) == before


def picture(store: Store, execution: Execution) -> tuple[object, ...]:
    uid = execution.uid
    return (
        store.get_execution_by_uid(uid),
        store.list_tasks(uid),
        store.list_attempts(uid),
        store.changes(0),
    )


def a_whole_turn(execution: Execution, expect: AttemptState, number: int = 1) -> Turn:
    """Touches everything a turn can touch."""
    return Turn(
        replace(execution, counters=Counters(running=1)),
        opened=[an_intent(execution, 1, number)],
        moved=[Move(expect, an_end(an_intent(execution, 0)))],
        tasks=[Task(execution.uid, 0, TaskState.SUCCEEDED)],
        abandoned=TaskState.ABANDONED,
        at=NOW,
        changes=[("started", {})],
    )


def test_a_move_that_finds_another_state_undoes_the_whole_turn(store: Store) -> None:
    execution = running(store)
    store.record(Turn(execution, opened=[an_intent(execution, 0)], at=NOW))
    before = picture(store, execution)
    with pytest.raises(StaleWrite, match="uid-of-job-1/0/0 is STARTING, expected RUNNING"):
        store.record(a_whole_turn(execution, AttemptState.RUNNING))
    nothing_changed(store, before, execution)
    store.record(a_whole_turn(execution, AttemptState.STARTING))
    assert picture(store, execution) != before


def test_a_turn_under_a_lease_that_is_gone_writes_nothing(store: Store) -> None:
    execution = running(store)
    store.record(Turn(execution, opened=[an_intent(execution, 0)], at=NOW))
    stolen = store.claim(execution.uid, "thief", now=NOW + TTL, ttl=TTL)
    before = picture(store, stolen)
    wrong = [
        execution,
        replace(execution, lease=None),
        leased(execution, "thief", epoch=1),
        leased(execution, "runner", epoch=2),
        replace(leased(execution, "thief", epoch=2), uid="nobody"),
    ]
    for one in wrong:
        with pytest.raises(StaleWrite):
            store.record(a_whole_turn(one, AttemptState.STARTING))
        nothing_changed(store, before, stolen)
    store.record(a_whole_turn(stolen, AttemptState.STARTING))
    assert picture(store, stolen) != before


def test_an_attempt_is_opened_once(store: Store) -> None:
    execution = running(store)
    store.record(Turn(execution, opened=[an_intent(execution, 0)], at=NOW))
    before = picture(store, execution)
    opened = [an_intent(execution, 1), an_intent(execution, 0, at=NOW + 9)]
    with pytest.raises(StaleWrite, match="opened by somebody else"):
        store.record(Turn(execution, opened=opened, at=NOW))
    nothing_changed(store, before, execution)


def test_a_task_that_does_not_exist_undoes_the_turn(store: Store) -> None:
    execution = running(store)
    before = picture(store, execution)
    tasks = [Task(execution.uid, 0, TaskState.FAILED), Task(execution.uid, 99, TaskState.FAILED)]
    with pytest.raises(StaleWrite, match="task"):
        store.record(Turn(execution, tasks=tasks, at=NOW))
    nothing_changed(store, before, execution)


def test_a_settled_execution_is_final(store: Store) -> None:
    execution = running(store)
    store.record(Turn(settled(execution, NOW + 1), at=NOW + 1))
    before = picture(store, execution)
    with pytest.raises(StaleWrite):
        store.record(Turn(execution, opened=[an_intent(execution, 0)], at=NOW + 2))
    with pytest.raises(StaleWrite):
        store.record(Turn(settled(execution, NOW + 3, "FAILED"), at=NOW + 3))
    nothing_changed(store, before, execution)


@pytest.mark.parametrize(
    ("state", "completed_at"), [(ExecutionState.SUCCEEDED, None), (ExecutionState.RUNNING, NOW)]
)
def test_a_state_and_an_end_that_disagree_are_a_bug_of_the_caller(
    store: Store, state: ExecutionState, completed_at: float | None
) -> None:
    execution = running(store)
    with pytest.raises(ValueError, match="disagree"):
        store.record(Turn(replace(execution, state=state, completed_at=completed_at)))


def test_what_is_abandoned_is_pending_and_has_no_live_attempt(store: Store) -> None:
    execution = running(store, tasks=6)
    uid = execution.uid
    store.record(
        Turn(
            execution,
            opened=[an_intent(execution, i) for i in (0, 1, 2)],
            tasks=[Task(uid, 0, TaskState.RUNNING, attempts=1), Task(uid, 3, TaskState.FAILED)],
            at=NOW,
        )
    )
    ended = an_end(an_intent(execution, 2), state=AttemptState.FAILED)
    store.record(
        Turn(
            execution,
            moved=[Move(AttemptState.STARTING, ended)],
            abandoned=TaskState.ABANDONED,
            at=NOW + 7,
        )
    )
    states = {task.index: task.state for task in store.list_tasks(uid)}
    assert states == {
        0: TaskState.RUNNING,
        1: TaskState.PENDING,
        2: TaskState.ABANDONED,
        3: TaskState.FAILED,
        4: TaskState.ABANDONED,
        5: TaskState.ABANDONED,
    }
    assert store.get_task(uid, 4).completed_at == NOW + 7


# --------------------------------------------------------------------------------------- reads


def test_what_is_loaded_is_the_execution_its_tasks_and_its_live_attempts(store: Store) -> None:
    execution = running(store)
    intents = [an_intent(execution, i) for i in range(3)]
    store.record(Turn(execution, opened=intents, at=NOW))
    moves = [Move(AttemptState.STARTING, an_end(intents[1]))]
    store.record(Turn(execution, moved=moves, at=NOW))
    loaded = store.load(execution.uid)
    assert loaded.execution == store.get_execution(HOME, "job-1")
    assert [task.index for task in loaded.tasks] == [0, 1, 2]
    assert [attempt.index for attempt in loaded.live] == [0, 2]
    with pytest.raises(NotFound):
        store.load("nobody")


def test_tasks_are_listed_by_index_by_state_and_by_page(store: Store) -> None:
    execution = running(store, tasks=12)
    uid = execution.uid
    failed = [Task(uid, i, TaskState.FAILED) for i in (3, 10, 11)]
    store.record(Turn(execution, tasks=failed, at=NOW))
    assert store.list_tasks(uid, states=[TaskState.FAILED]) == failed
    assert store.list_tasks(uid, states=[]) == []
    assert len(store.list_tasks(uid, states=iter([TaskState.FAILED, TaskState.PENDING]))) == 12
    page = store.list_tasks(uid, page=Page(limit=3, after="8"))
    assert [task.index for task in page] == [9, 10, 11]
    with pytest.raises(UsageError, match="page token 'x'"):
        store.list_tasks(uid, page=Page(after="x"))
    with pytest.raises(UsageError, match="0 items"):
        store.list_tasks(uid, page=Page(limit=0))
    with pytest.raises(NotFound, match="no task 12"):
        store.get_task(uid, 12)


def test_attempts_are_listed_by_index_and_number(store: Store) -> None:
    execution = running(store)
    keys = [(1, 1), (0, 0), (1, 0), (2, 0)]
    store.record(Turn(execution, opened=[an_intent(execution, i, n) for i, n in keys], at=NOW))
    found = [attempt.key for attempt in store.list_attempts(execution.uid)]
    assert found == [AttemptKey(execution.uid, i, n) for i, n in sorted(keys)]
    assert [a.number for a in store.list_attempts(execution.uid, index=1)] == [0, 1]


# ---------------------------------------------------------------------------------------- feed


def test_the_feed_numbers_each_execution_and_the_whole_without_gaps(store: Store) -> None:
    one, two = running(store, name="job-1"), running(store, name="job-2")
    store.record(Turn(one, at=NOW + 1, changes=[("started", {"a": "b"}), ("stopping", {})]))
    store.record(Turn(two, at=NOW + 2, changes=[("started", {})]))
    store.record(Turn(settled(one, NOW + 3), at=NOW + 3, changes=[("succeeded", {})]))
    feed = store.changes(0)
    assert [change.position for change in feed] == [1, 2, 3, 4, 5, 6]
    assert [(c.execution[-1], c.sequence, c.kind) for c in feed] == [
        ("1", 1, "created"),
        ("2", 1, "created"),
        ("1", 2, "started"),
        ("1", 3, "stopping"),
        ("2", 2, "started"),
        ("1", 4, "succeeded"),
    ]
    assert feed[0].data == {
        "project": "local", "region": "us-central1", "job": "job", "name": "job-1",
    }  # fmt: skip
    assert (feed[2].data, feed[2].at) == ({"a": "b"}, NOW + 1)
    assert [change.position for change in store.changes(4)] == [5, 6]
    assert [change.position for change in store.changes(1, limit=2)] == [2, 3]


def test_positions_of_the_feed_are_not_used_again_after_pruning(store: Store) -> None:
    execution = running(store)
    store.record(Turn(execution, at=NOW + 1, changes=[("started", {})]))
    assert store.prune_changes(NOW + 1) == 1
    assert [change.position for change in store.changes(0)] == [2]
    assert store.prune_changes(NOW + 100) == 1
    store.record(Turn(execution, at=NOW + 200, changes=[("stopping", {})]))
    assert [(c.position, c.sequence) for c in store.changes(0)] == [(3, 3)]


# --------------------------------------------------------------------------------- keeping house


def test_a_project_has_one_number_for_ever(store: Store) -> None:
    assert store.project_number("local") == DEFAULT_PROJECT_NUMBER
    numbers = [store.project_number(name) for name in ("a", "b", "a", "local")]
    assert len(set(numbers)) == 3
    assert numbers[0] == numbers[2]
    assert all(10**12 < number < 10**13 for number in numbers)
    assert [store.project_of(number) for number in numbers] == ["a", "b", "a", "local"]
    for nobodys in (1, 10**12, 10**18):
        with pytest.raises(NotFound, match="No project has the number"):
            store.project_of(nobodys)


def finished(store: Store, job: str, count: int, first: float) -> None:
    store.create_job(a_job(job))
    for number in range(count):
        name = f"{job}-{number}"
        store.create_execution(an_execution(name, job=job, created_at=first + number))
        execution = store.claim(f"uid-of-{name}", "runner", now=first, ttl=TTL)
        store.record(Turn(settled(execution, first + number), at=first + number))


def test_executions_that_ended_before_can_be_left_out(store: Store) -> None:
    finished(store, "old", 3, NOW)
    running(store)
    for bound, count in ((NOW - 1, 4), (NOW, 3), (NOW + 1.5, 2), (math.inf, 1), (None, 4)):
        assert len(store.list_executions(HOME, ended_after=bound)) == count
    page = Page(limit=1)
    assert [e.name for e in store.list_executions(None, job="old", ended_after=NOW, page=page)] == [
        "old-2"
    ]


def test_what_may_go_is_over_count_or_over_age_and_has_ended(store: Store) -> None:
    finished(store, "many", 5, NOW)
    finished(store, "few", 2, NOW + 2)
    running(store)
    by_count = store.expired(Retention(executions_per_job=3, max_age=1000), now=NOW + 10)
    assert [execution.name for execution in by_count] == ["many-0", "many-1"]
    by_age = store.expired(Retention(max_age=10), now=NOW + 12.5)
    assert [e.name for e in by_age] == ["many-0", "many-1", "few-0", "many-2"]
    assert store.expired(Retention(max_age=1000), now=NOW + 10) == []
    oldest = store.settled_oldest_first(limit=3)
    assert [execution.name for execution in oldest] == ["many-0", "many-1", "few-0"]


def test_deleting_an_execution_takes_its_tasks_and_attempts_and_nothing_else(
    store: Store,
) -> None:
    one, two = running(store, name="job-1"), running(store, name="job-2")
    for execution in (one, two):
        store.record(Turn(execution, opened=[an_intent(execution, 0)], at=NOW))
    store.delete_execution(one.uid)
    assert store.list_tasks(one.uid) == []
    assert store.list_attempts(one.uid) == []
    assert len(store.list_tasks(two.uid)) == 3
    assert len(store.list_attempts(two.uid)) == 1
    with pytest.raises(NotFound):
        store.delete_execution(one.uid)


def test_facts_name_kind_place_size_and_schema(store: Store) -> None:
    facts = store.facts()
    assert facts["kind"] in ("SQLite", "PostgreSQL")
    assert facts["schema"] == HEAD
    assert int(facts["size"]) >= 0
    assert facts["place"]
    if facts["kind"] == "SQLite" and facts["place"] != ":memory:":
        assert facts["journal_mode"] == "wal"
        assert int(facts["size"]) > 4096


# --------------------------------------------------------------------------------------- scale


def spent(store: Store) -> float:
    """Seconds of a processor, here and in the server: what else is busy on the machine has little
    to do with them."""
    assert isinstance(store, SqlStore)
    seconds = time.thread_time()
    if isinstance(store.database, PostgresDatabase):
        server = procfs(store.database._connection.info.backend_pid)
        seconds += sum(map(int, server[11:13])) / os.sysconf("SC_CLK_TCK")
    return seconds


def procfs(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cost(store: Store, work: Callable[[], object]) -> float:
    before = spent(store)
    work()
    return spent(store) - before


def test_ten_thousand_tasks_are_created_in_one_go(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(an_execution("all", tasks=10_000))
    chosen = tuple(range(0, 20_000, 2))
    store.create_execution(
        an_execution("some", tasks=10_000, indices=chosen, env_task_count=20_000)
    )
    assert len(store.list_tasks("uid-of-all")) == 10_000
    assert [task.index for task in store.list_tasks("uid-of-some")] == list(chosen)


def drive(store: Store, name: str, count: int) -> None:
    """Every task of an execution through its whole life, in turns of 50; then reads and goes."""
    execution = running(store, tasks=count, name=name)
    uid = execution.uid
    for first in range(0, count, 50):
        intents = [an_intent(execution, i) for i in range(first, first + 50)]
        store.record(Turn(execution, opened=intents, at=NOW))
        store.record(
            Turn(
                execution,
                moved=[Move(AttemptState.STARTING, an_end(intent)) for intent in intents],
                tasks=[Task(uid, intent.index, TaskState.SUCCEEDED) for intent in intents],
                at=NOW,
            )
        )
    store.record(Turn(execution, abandoned=TaskState.ABANDONED, at=NOW))
    store.load(uid)
    store.list_tasks(uid, states=[TaskState.FAILED])
    store.list_attempts(uid)
    store.delete_execution(uid)


def test_a_task_of_ten_thousand_costs_what_a_task_of_a_thousand_costs(store: Store) -> None:
    drive(store, "warm-up", 500)

    def ratio(number: int) -> float:
        small = min(
            cost(store, partial(drive, store, f"small-{number}-{turn}", 1000)) for turn in range(3)
        )
        return cost(store, partial(drive, store, f"large-{number}", 10_000)) / 10 / small

    # What is quadratic is ten times as slow every time; a busy machine is not slow three times.
    assert any(ratio(number) < 2 for number in range(3))


# ------------------------------------------------------------------------------ several at once

CLAIM = """
import sys
from jobrunner.errors import Refused
from jobrunner.store import open_store
from jobrunner.store.revisions import HEAD
store = open_store(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    try:
        store.claim(line.strip(), sys.argv[2], now=1e9, ttl=15)
        print("won", flush=True)
    except Refused:
        print("lost", flush=True)
"""


def test_of_two_processes_that_claim_at_once_exactly_one_wins(
    shared_url: str, open_another: Callable[[], Store]
) -> None:
    store = open_another()
    store.create_job(a_job())
    names = [f"job-{number}" for number in range(30)]
    for name in names:
        store.create_execution(an_execution(name, tasks=1))
    runners = [start_python(CLAIM, shared_url, owner) for owner in ("a", "b")]
    try:
        assert [answer(runner) for runner in runners] == ["ready", "ready"]
        for name in names:
            for runner in runners:
                tell(runner, f"uid-of-{name}")
            answers = [answer(runner) for runner in runners]
            assert sorted(answers) == ["lost", "won"]
            lease = store.get_execution(HOME, name).lease
            assert lease is not None
            assert lease.owner == "ab"[answers.index("won")]
            assert lease.epoch == 1
    finally:
        for runner in runners:
            runner.communicate()


CREATE = """
import sys
from jobrunner.store import open_store
from jobrunner.store.revisions import HEAD
from jobrunner.store.sql import SqlStore
from tests.support.stores import an_execution
store = open_store(sys.argv[1])
print("ready", flush=True)
for number, key in enumerate(sys.stdin):
    name = f"job-{sys.argv[2]}-{number}"
    print(store.create_execution(an_execution(name, idempotency_key=key.strip())).name, flush=True)
"""


def test_creators_at_once_with_one_idempotency_key_open_one_execution(
    shared_url: str, open_another: Callable[[], Store]
) -> None:
    store = open_another()
    store.create_job(a_job())
    creators = [start_python(CREATE, shared_url, name) for name in "abc"]
    try:
        assert {answer(creator) for creator in creators} == {"ready"}
        for number in range(20):
            for creator in creators:
                tell(creator, f"key-{number}")
            assert len({answer(creator) for creator in creators}) == 1
    finally:
        for creator in creators:
            creator.communicate()
    assert len(store.list_executions(HOME)) == 20
    assert store.get_job(HOME, "job").execution_count == 20
    assert [change.position for change in store.changes(0)] == list(range(1, 21))


HOLD = """
import sys
from jobrunner.store import open_store, turns
from jobrunner.core.records import Task
from jobrunner.core.states import TaskState
from jobrunner.ports import Turn
from tests.support.stores import NOW, TTL, an_intent
store = open_store(sys.argv[1])
execution = store.claim("uid-of-job-1", "runner", now=NOW, ttl=TTL)
def hold(session):
    turns.record(session, Turn(
        execution,
        opened=[an_intent(execution, 0)],
        tasks=[Task(execution.uid, 0, TaskState.RUNNING)],
        at=NOW, changes=[("started", {})],
    ))
    print("written", flush=True)
    sys.stdin.readline()
store._database.write(hold)
"""


def test_a_writer_that_is_killed_in_its_transaction_leaves_the_state_before(
    shared_url: str, open_another: Callable[[], Store]
) -> None:
    store = open_another()
    store.create_job(a_job())
    store.create_execution(an_execution())
    before = (store.list_tasks("uid-of-job-1"), store.list_attempts("uid-of-job-1"))
    feed = store.changes(0)
    writer = start_python(HOLD, shared_url)
    assert answer(writer) == "written"
    writer.kill()
    writer.communicate()
    # The next writer gets through, and finds the claim but nothing of the open transaction.
    stolen = store.claim("uid-of-job-1", "next", now=NOW + TTL, ttl=TTL)
    assert stolen.lease == Lease("next", 2, NOW + 2 * TTL)
    assert (store.list_tasks("uid-of-job-1"), store.list_attempts("uid-of-job-1")) == before
    assert store.changes(0) == feed
    reopened = open_another()
    assert reopened.list_attempts("uid-of-job-1") == []


def test_a_writer_waits_for_another_and_a_reader_does_not(
    shared_url: str, open_another: Callable[[], Store]
) -> None:
    store = open_another()
    store.create_job(a_job())
    store.create_execution(an_execution())
    holder = start_python(HOLD, shared_url)
    assert answer(holder) == "written"
    assert store.list_attempts("uid-of-job-1") == []
    done = threading.Event()
    wish = Abort("cancel", NOW)

    def write() -> None:
        store.request_abort("uid-of-job-1", wish)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not done.wait(0.2)
    tell(holder)
    holder.communicate()
    writer.join(60)
    assert done.is_set()
    assert store.get_execution(HOME, "job-1").abort == wish
    assert len(store.list_attempts("uid-of-job-1")) == 1


def test_one_store_serves_several_threads(store: Store) -> None:
    store.create_job(a_job())
    problems: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(10):
                name = f"job-{thread}-{number}"
                created = store.create_execution(an_execution(name))
                execution = store.claim(created.uid, "runner", now=NOW, ttl=TTL)
                store.record(Turn(execution, opened=[an_intent(execution, 0)], at=NOW))
                assert len(store.load(created.uid).live) == 1
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert store.get_job(HOME, "job").execution_count == 40
    assert [change.position for change in store.changes(0)] == list(range(1, 41))


def test_writers_of_different_executions_do_not_deadlock(
    open_another: Callable[[], Store],
) -> None:
    stores = [open_another() for _ in range(3)]
    stores[0].create_job(a_job())
    problems: list[BaseException] = []

    def work(store: Store, owner: str) -> None:
        try:
            for number in range(15):
                name = f"job-{owner}-{number}"
                execution = store.create_execution(leased(an_execution(name), owner))
                store.heartbeat(owner, now=NOW, ttl=TTL)
                store.record(Turn(execution, at=NOW, changes=[("started", {})]))
                store.record(Turn(settled(execution, NOW), at=NOW, changes=[("succeeded", {})]))
                if number % 2:
                    store.delete_execution(execution.uid)
        except BaseException as problem:
            problems.append(problem)

    threads = [
        threading.Thread(target=work, args=(store, owner))
        for store, owner in zip(stores, "abc", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [c.position for c in stores[0].changes(0)] == list(range(1, 136))
    assert len(stores[0].list_executions(HOME)) == 24


def test_the_port_has_no_method_that_the_store_lacks(store: Store) -> None:
    promised = {name for name in vars(Store) if not name.startswith("_")}
    assert promised <= set(dir(store))
