"""What every store promises about operations, policies, tokens, the audit log and run keys."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from jobrunner.core.records import NO_POLICY_ETAG, AuditEntry, Execution, Lease, Policy, Scope
from jobrunner.errors import AlreadyExists, Conflict, NotFound, UsageError
from jobrunner.ports import Page, Store
from tests.support.stores import NOW, TTL, a_job, a_token, an_execution, an_operation, settled

HOME = Scope("local", "us-central1")
AWAY = Scope("local", "europe-west1")
DAY = 86400.0


def end(store: Store, execution: Execution, at: float) -> None:
    from jobrunner.ports import Turn

    claimed = store.claim(execution.uid, "runner", now=NOW, ttl=TTL)
    store.record(Turn(settled(claimed, at), at=at))


# ---------------------------------------------------------------------------------- operations


def test_an_operation_is_read_as_it_was_written_and_written_anew(store: Store) -> None:
    operation = an_operation(document='{"a": "ä"}')
    store.put_operation(operation)
    assert store.get_operation(HOME, "op-1") == operation
    done = replace(operation, done_at=NOW + 1, document="{}")
    store.put_operation(done)
    assert store.get_operation(HOME, "op-1") == done


def test_an_operation_is_found_in_its_own_place_only(store: Store) -> None:
    store.put_operation(an_operation())
    with pytest.raises(NotFound, match=r"There is no operation 'op-1' in project 'local', region"):
        store.get_operation(AWAY, "op-1")
    with pytest.raises(NotFound):
        store.delete_operation(AWAY, "op-1")
    assert list(store.list_operations(AWAY)) == []


def test_operations_are_listed_page_by_page_newest_first(store: Store) -> None:
    for i in range(5):
        store.put_operation(an_operation(f"op-{i}", created_at=NOW + i // 2))
    seen: list[str] = []
    after = None
    while page := store.list_operations(HOME, page=Page(limit=2, after=after)):
        seen += [operation.id for operation in page]
        after = seen[-1]
    assert seen == ["op-4", "op-3", "op-2", "op-1", "op-0"]
    with pytest.raises(UsageError, match="an operation that still exists"):
        store.list_operations(HOME, page=Page(after="nope"))


def test_a_deleted_operation_is_gone(store: Store) -> None:
    store.put_operation(an_operation())
    store.delete_operation(HOME, "op-1")
    with pytest.raises(NotFound):
        store.get_operation(HOME, "op-1")


def test_pruning_keeps_operations_of_executions_that_run_or_ended_lately(store: Store) -> None:
    store.create_job(a_job())
    for name in ("running", "recent", "old"):
        execution = store.create_execution(an_execution(name))
        store.put_operation(an_operation(name, target_uid=execution.uid))
        if name != "running":
            end(store, execution, NOW + (DAY if name == "old" else 10 * DAY))
    store.put_operation(an_operation("gone", target_uid="removed"))
    store.put_operation(an_operation("done", done_at=NOW + DAY))
    store.put_operation(an_operation("done late", done_at=NOW + 9 * DAY))
    store.put_operation(an_operation("new", created_at=NOW + 6 * DAY, target_uid="removed"))
    assert store.prune_operations(NOW + 5 * DAY) == 3
    kept = {operation.id for operation in store.list_operations(HOME)}
    assert kept == {"running", "recent", "done late", "new"}


# ------------------------------------------------------------------------------------ policies


def test_a_policy_that_was_never_set_is_none_and_one_of_no_job_is_not_found(store: Store) -> None:
    store.create_job(a_job())
    assert store.get_policy(HOME, "jobs/job") is None
    for scope, resource in ((HOME, "jobs/nope"), (AWAY, "jobs/job"), (HOME, "services/job")):
        with pytest.raises(NotFound, match="There is no resource"):
            store.get_policy(scope, resource)
        with pytest.raises(NotFound):
            store.set_policy(scope, resource, Policy("{}", "e"), expect_etag=None)


def test_a_policy_is_read_as_it_was_set_and_goes_with_its_job(store: Store) -> None:
    store.create_job(a_job())
    policy = Policy('{"bindings": []}', "etag-1", 3)
    assert store.set_policy(HOME, "jobs/job", policy, expect_etag=NO_POLICY_ETAG) == policy
    assert store.get_policy(HOME, "jobs/job") == policy
    store.delete_job(HOME, "job")
    store.create_job(a_job())
    assert store.get_policy(HOME, "jobs/job") is None


def test_a_policy_that_somebody_else_changed_is_not_overwritten(store: Store) -> None:
    store.create_job(a_job())
    one, two, three = (Policy("{}", f"etag-{i}") for i in range(3))
    with pytest.raises(Conflict):
        store.set_policy(HOME, "jobs/job", one, expect_etag="another")
    store.set_policy(HOME, "jobs/job", one, expect_etag=NO_POLICY_ETAG)
    with pytest.raises(Conflict, match="changed in the meantime"):
        store.set_policy(HOME, "jobs/job", two, expect_etag=NO_POLICY_ETAG)
    store.set_policy(HOME, "jobs/job", two, expect_etag="etag-0")
    with pytest.raises(Conflict):
        store.set_policy(HOME, "jobs/job", three, expect_etag="etag-0")
    store.set_policy(HOME, "jobs/job", three, expect_etag=None)
    assert store.get_policy(HOME, "jobs/job") == three


# -------------------------------------------------------------------------------------- tokens


def test_a_token_is_found_by_its_hash_as_it_was_written(store: Store) -> None:
    token = a_token(expires_at=NOW + 1, last_used_at=NOW)
    store.create_token(token)
    assert store.find_token("hash-of-ci") == token
    assert store.find_token("another") is None
    assert list(store.list_tokens()) == [token]


def test_a_name_belongs_to_one_living_token(store: Store) -> None:
    store.create_token(a_token())
    with pytest.raises(AlreadyExists, match="A token named 'ci' already exists"):
        store.create_token(a_token(id="2", hash="2"))
    revoked = store.revoke_token("ci", at=NOW + 1)
    assert revoked == a_token(revoked_at=NOW + 1)
    store.create_token(a_token(id="2", hash="2", created_at=NOW + 2, expires_at=NOW + 5))
    with pytest.raises(AlreadyExists):
        store.create_token(a_token(id="3", hash="3", created_at=NOW + 4))
    store.create_token(a_token(id="3", hash="3", created_at=NOW + 5))
    assert [t.revoked_at for t in store.list_tokens()] == [NOW + 1, NOW + 5, None]


def test_only_a_living_token_can_be_revoked(store: Store) -> None:
    with pytest.raises(NotFound, match="There is no living token named 'ci'"):
        store.revoke_token("ci", at=NOW)
    store.create_token(a_token())
    store.revoke_token("ci", at=NOW)
    with pytest.raises(NotFound):
        store.revoke_token("ci", at=NOW)


def test_the_last_use_of_a_token_only_moves_forward(store: Store) -> None:
    store.create_token(a_token())
    for at in (NOW + 5, NOW + 3):
        store.touch_token("id-of-ci", at=at)
    store.touch_token("nobody", at=NOW)
    [token] = store.list_tokens()
    assert token.last_used_at == NOW + 5


def test_a_token_shows_no_hash() -> None:
    assert "hash-of-ci" not in repr(a_token())


# ----------------------------------------------------------------------------------- audit log


def entry(i: int, at: float = NOW) -> AuditEntry:
    return AuditEntry(0, at, "me", "run.jobs.run", f"jobs/job-{i}", 200, "ok")


def test_audit_entries_get_growing_positions_and_are_listed_newest_first(store: Store) -> None:
    store.append_audit([entry(1), entry(2)])
    store.append_audit([])
    store.append_audit([entry(3)])
    assert store.list_audit() == [replace(entry(i), position=i) for i in (3, 2, 1)]
    assert store.list_audit(page=Page(limit=2, after="3")) == [
        replace(entry(i), position=i) for i in (2, 1)
    ]
    for bad in ("x", "-1", "9" * 30, "\N{ARABIC-INDIC DIGIT ONE}"):
        with pytest.raises(UsageError, match="the position of the last entry"):
            store.list_audit(page=Page(after=bad))


def test_old_audit_entries_go_and_their_positions_are_never_used_again(store: Store) -> None:
    store.append_audit([entry(1), entry(2, at=NOW + 1)])
    assert store.prune_audit(NOW + 1) == 1
    assert store.prune_audit(NOW + 2) == 1
    store.append_audit([entry(3)])
    assert [e.position for e in store.list_audit()] == [3]


def test_an_audit_entry_may_hold_any_text(store: Store) -> None:
    store.append_audit([replace(entry(1), resource="nul \0, lone \ud800", detail="\N{SNOWMAN}")])
    [stored] = store.list_audit()
    assert "nul" in stored.resource
    assert stored.detail == "\N{SNOWMAN}"


# ------------------------------------------------------------------------------------ run keys


def keyed(name: str, **fields: object) -> Execution:
    return an_execution(name, idempotency_key="key", **fields)


def test_a_key_answers_with_its_execution_for_as_long_as_that_is_there(store: Store) -> None:
    store.create_job(a_job())
    first = store.create_execution(keyed("job-1"))
    assert store.create_execution(keyed("job-2")) == first
    end(store, first, NOW + 1)
    assert store.prune_run_keys(NOW + 99 * DAY) == 0
    assert store.create_execution(keyed("job-2")).completed_at == NOW + 1


def test_a_key_whose_execution_was_removed_never_runs_again(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(keyed("job-1"))
    store.delete_execution("uid-of-job-1")
    with pytest.raises(AlreadyExists, match=r"'key' has opened execution 'job-1'.*been removed"):
        store.create_execution(keyed("job-2"))
    assert store.get_job(HOME, "job").execution_count == 1
    assert list(store.list_executions(HOME)) == []


def test_a_key_outlives_its_job(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(keyed("job-1"))
    store.delete_job(HOME, "job")
    store.create_job(a_job(uid="second life"))
    with pytest.raises(AlreadyExists, match="has been removed"):
        store.create_execution(keyed("job-2", job_uid="second life"))


def test_a_key_belongs_to_one_job_of_one_place(store: Store) -> None:
    store.create_job(a_job())
    store.create_job(a_job("other"))
    store.create_job(a_job(uid="away", region=AWAY.region))
    store.create_execution(keyed("job-1"))
    store.create_execution(keyed("other-1", job="other"))
    store.create_execution(keyed("job-3", job_uid="away", region=AWAY.region))
    assert len(store.list_executions(None)) == 3


def test_a_key_is_forgotten_when_it_is_old_and_its_execution_is_gone(store: Store) -> None:
    store.create_job(a_job())
    store.create_execution(keyed("job-1"))
    store.delete_execution("uid-of-job-1")
    assert store.prune_run_keys(NOW) == 0
    assert store.prune_run_keys(NOW + 1) == 1
    assert store.create_execution(keyed("job-2")).name == "job-2"


def test_of_many_that_use_one_key_at_once_one_opens_the_execution(
    open_another: Callable[[], Store],
) -> None:
    stores = [open_another() for _ in range(4)]
    stores[0].create_job(a_job())
    names: list[str] = []

    def run(store: Store, i: int) -> None:
        names.append(store.create_execution(keyed(f"job-{i}")).name)

    threads = [threading.Thread(target=run, args=(s, i)) for i, s in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 4
    assert len(set(names)) == 1
    assert stores[0].get_job(HOME, "job").execution_count == 1


# ------------------------------------------------------------------------- leases from the start


def test_an_execution_may_be_opened_under_a_lease_and_is_then_nobody_elses(store: Store) -> None:
    store.create_job(a_job())
    lease = Lease("command line", 1, NOW + TTL)
    store.create_execution(an_execution("job-1", lease=lease))
    assert store.get_execution(HOME, "job-1").lease == lease
    assert list(store.claimable(now=NOW)) == []
    assert list(store.claimable(now=NOW + TTL)) == ["uid-of-job-1"]
    assert store.claim("uid-of-job-1", "command line", now=NOW, ttl=TTL).lease == lease


def test_hidden_executions_are_claimed_by_nobody_but_by_name(store: Store) -> None:
    store.create_job(a_job(hidden=True))
    store.create_execution(an_execution("job-1"))
    assert list(store.claimable(now=NOW)) == []
    assert store.claim("uid-of-job-1", "me", now=NOW, ttl=TTL).lease is not None


# ------------------------------------------------------------------------------- many of a kind


def test_names_near_another_are_its_neighbours_and_never_very_many(store: Store) -> None:
    store.create_job(a_job())
    store.group(
        [lambda i=i: store.create_execution(an_execution(f"job-{i:03}")) for i in range(300)]  # type: ignore[misc]
    )
    near = store.execution_names(HOME, near="job-150x")
    assert list(near) == sorted(near)
    assert {"job-150", "job-151"} <= set(near)
    assert len(near) < 100
    assert len(store.execution_names(HOME)) == 300


def test_names_near_another_are_all_names_where_there_are_few(store: Store) -> None:
    for name in "abc":
        store.create_job(a_job(name))
    store.create_job(a_job("hidden", hidden=True))
    assert list(store.job_names(HOME, near="b")) == ["a", "b", "c"]
    assert list(store.job_names(AWAY, near="b")) == []


def test_re_runs_are_listed_by_their_parent(store: Store) -> None:
    store.create_job(a_job())
    for i, parent in enumerate((None, "job-0", "job-0", "job-1")):
        store.create_execution(an_execution(f"job-{i}", parent=parent, created_at=NOW + i))
    assert [e.name for e in store.list_executions(HOME, parent="job-0")] == ["job-2", "job-1"]


def test_executions_of_one_template_do_not_share_what_they_were_given(store: Store) -> None:
    store.create_job(a_job())
    one = store.create_execution(an_execution("job-1", labels={"a": "b"}))
    two = store.create_execution(
        an_execution("job-2", template=replace(one.template, task_count=9))
    )
    assert store.get_execution(HOME, "job-1").template.task_count is None
    assert store.get_execution(HOME, "job-2") == two
