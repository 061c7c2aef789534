"""What the planner promises about one execution."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.core.planner import plan
from jobrunner.core.retry import RetryAction, RetryCause, RetryPolicy, RetryRule
from jobrunner.core.states import AttemptState, ExecutionState, StopReason, TaskState
from tests.support.simulation import NOW, Simulation, simulate


def states(sim: Simulation) -> list[TaskState]:
    return [task.state for task in sim.snapshot.tasks.values()]


def finish(sim: Simulation, codes: dict[int, int] | None = None) -> None:
    """Lets every attempt end with its task's code (0 if not named) until nothing is left."""
    for _ in range(10_000):
        if sim.snapshot.settled:
            return
        sim.launch_all()
        for key in list(sim.running):
            sim.exited(key, (codes or {}).get(key.index, 0))
    raise AssertionError("the execution does not come to an end")


def test_no_more_than_parallelism_attempts_are_started() -> None:
    sim = simulate(10, 3)
    assert [key.index for key in sim.launching] == [0, 1, 2]


def test_no_more_than_the_free_slots_are_used() -> None:
    assert len(simulate(10, slots=4).launching) == 4


def test_with_parallelism_one_tasks_run_in_the_order_of_their_index() -> None:
    sim = simulate(4, 1)
    seen = []
    while not sim.snapshot.settled:
        seen += [key.index for key in sim.launching]
        sim.launch_all()
        sim.exited(sim.running[0])
    assert seen == [0, 1, 2, 3]


def test_one_failed_task_does_not_keep_the_others_from_being_tried() -> None:
    sim = simulate(5, 1)
    finish(sim, {0: 1})
    assert states(sim) == [TaskState.FAILED] + [TaskState.SUCCEEDED] * 4
    assert sim.snapshot.execution.state is ExecutionState.FAILED


def test_the_message_names_the_first_failed_task_its_code_and_the_reason() -> None:
    sim = simulate(3, 1)
    finish(sim, {1: 7, 2: 8})
    execution = sim.snapshot.execution
    assert execution.reason == "NonZeroExitCode"
    assert execution.message == (
        "Task job-abcde-task1 failed with exit code: 7 and message: "
        "The container exited with an error."
    )


def test_max_retries_zero_means_exactly_one_attempt() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=0))
    finish(sim, {0: 1})
    assert sim.opened[0] == 1


def test_every_task_has_its_own_budget_of_one_and_max_retries_attempts() -> None:
    sim = simulate(3, policy=RetryPolicy(max_retries=2))
    finish(sim, {0: 1, 2: 1})
    assert (sim.opened[0], sim.opened[1], sim.opened[2]) == (3, 1, 3)
    assert sim.snapshot.counters().retried == 2


def test_a_success_on_a_later_attempt_makes_the_task_succeed() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=3))
    sim.launch_all()
    sim.exited(sim.running[0], 1)
    finish(sim)
    assert states(sim) == [TaskState.SUCCEEDED]
    assert sim.snapshot.execution.state is ExecutionState.SUCCEEDED


def test_a_lost_attempt_does_not_count_against_the_budget() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=1))
    for _ in range(3):
        sim.launch_all()
        sim.vanished(sim.running[0])
    sim.launch_all()
    sim.exited(sim.running[0], 1)
    finish(sim, {0: 1})
    assert sim.opened[0] == 5
    task = sim.snapshot.tasks[0]
    assert (task.lost, task.counted, task.state) == (3, 2, TaskState.FAILED)


def test_a_task_is_given_up_when_it_was_lost_a_fourth_time() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=1))
    for _ in range(4):
        sim.launch_all()
        sim.vanished(sim.running[0])
    assert states(sim) == [TaskState.FAILED]
    assert sim.snapshot.tasks[0].reason == "Lost"


def test_with_max_retries_zero_a_lost_task_is_never_started_again() -> None:
    sim = simulate(1)
    sim.launch_all()
    sim.vanished(sim.running[0])
    assert sim.opened[0] == 1
    assert sim.snapshot.tasks[0].reason == "Lost"
    assert sim.snapshot.execution.state is ExecutionState.FAILED


def test_an_attempt_is_stopped_at_its_timeout_and_each_retry_gets_the_whole_time() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=1), timeout=60)
    for attempt in range(2):
        sim.launch_all()
        sim.now += 59.9
        assert sim.turn() is None
        sim.now += 0.1
        sim.turn()
        assert sim.stopping == {sim.running[0]}
        assert sim.snapshot.live[0].state is AttemptState.STOPPING
        sim.exited(sim.running[0], 0)
        assert sim.counted[0] == attempt + 1
    assert sim.snapshot.tasks[0].message == "The configured timeout was reached."
    assert states(sim) == [TaskState.FAILED]


def test_time_in_the_launch_is_not_time_of_the_attempt() -> None:
    sim = simulate(1, timeout=60)
    sim.now += 120
    assert sim.turn() is None
    sim.launch_all()
    assert sim.snapshot.wake_at() == sim.now + 60


def test_an_end_that_the_backend_enforced_by_itself_is_a_timeout_too() -> None:
    sim = simulate(1, timeout=60)
    sim.launch_all()
    sim.exited(sim.running[0], None, signal=15, stopped=StopReason.TIMEOUT)
    assert sim.turns[-1].moved[0].attempt.state is AttemptState.TIMED_OUT


def test_cancel_stops_what_runs_starts_nothing_and_keeps_finished_results() -> None:
    sim = simulate(6, 2)
    sim.launch_all()
    sim.exited(sim.running[0])
    sim.launch_all()
    sim.abort()
    assert sim.stopping == set(sim.running)
    for key in list(sim.running):
        sim.exited(key, None, signal=15)
    assert states(sim) == [
        TaskState.SUCCEEDED,
        TaskState.CANCELLED,
        TaskState.CANCELLED,
        TaskState.ABANDONED,
        TaskState.ABANDONED,
        TaskState.ABANDONED,
    ]
    execution = sim.snapshot.execution
    assert (execution.state, execution.reason, execution.message) == (
        ExecutionState.CANCELLED,
        "Cancelled",
        "Cancelled by user.",
    )
    assert execution.counters.cancelled == 5


def test_an_attempt_cancelled_in_its_launch_is_stopped_as_soon_as_it_is_launched() -> None:
    sim = simulate(1)
    key = sim.launching[0]
    sim.abort()
    assert sim.stopping == set()
    sim.launched(key)
    assert sim.stopping == {key}
    sim.exited(key, 0)
    assert states(sim) == [TaskState.CANCELLED]


def test_a_cancel_that_comes_after_every_task_succeeded_changes_nothing() -> None:
    sim = simulate(1)
    finish(sim)
    sim.abort()
    assert sim.snapshot.execution.state is ExecutionState.SUCCEEDED


def test_fail_fast_stops_the_rest_at_the_first_failed_task() -> None:
    sim = simulate(5, 2, fail_fast=True)
    sim.launch_all()
    sim.exited(sim.running[0], 3)
    assert sim.stopping == set(sim.running)
    sim.exited(sim.running[0], None, signal=15)
    execution = sim.snapshot.execution
    assert execution.state is ExecutionState.FAILED
    assert "task0 failed with exit code: 3" in execution.message
    assert execution.counters.cancelled == 4


def test_the_deadline_of_the_execution_ends_it_as_failed() -> None:
    sim = simulate(3, 1, deadline=NOW + 100)
    sim.launch_all()
    sim.now = NOW + 100
    sim.turn()
    sim.exited(sim.running[0], None, signal=15)
    execution = sim.snapshot.execution
    assert (execution.state, execution.reason) == (ExecutionState.FAILED, "DeadlineExceeded")


def test_a_deadline_that_passes_when_everything_has_ended_changes_nothing() -> None:
    sim = simulate(1, deadline=NOW + 100)
    sim.launch_all()
    sim.now = NOW + 101
    sim.exited(sim.running[0], 0)
    execution = sim.snapshot.execution
    assert execution.state is ExecutionState.SUCCEEDED
    assert execution.abort is None


def test_a_launch_that_can_never_work_fails_the_execution_at_once() -> None:
    sim = simulate(100, 1, policy=RetryPolicy(max_retries=3))
    sim.launch_failed(sim.launching[0], permanent=True)
    assert sim.snapshot.execution.state is ExecutionState.FAILED
    assert sum(sim.opened.values()) == 1


def test_what_runs_when_nothing_more_can_be_started_runs_to_its_own_end() -> None:
    sim = simulate(10, 2, timeout=60)
    first, second = sim.launching
    sim.launched(first)
    sim.launch_failed(second, permanent=True)
    assert sim.stopping == set()
    sim.exited(first, 0)
    execution = sim.snapshot.execution
    assert execution.state is ExecutionState.FAILED
    assert (execution.counters.succeeded, execution.counters.failed) == (1, 1)
    assert execution.counters.cancelled == 8


def test_the_timeout_holds_for_what_runs_when_nothing_more_can_be_started() -> None:
    sim = simulate(2, timeout=60)
    first, second = sim.launching
    sim.launched(first)
    sim.launch_failed(second, permanent=True)
    sim.now += 60
    sim.turn()
    assert sim.stopping == {first}


def test_a_launch_that_failed_for_now_is_tried_again_within_the_budget() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=1))
    sim.launch_failed(sim.launching[0])
    assert len(sim.launching) == 1
    sim.launch_failed(sim.launching[0])
    assert states(sim) == [TaskState.FAILED]


def test_back_off_doubles_from_the_first_wait_to_the_longest() -> None:
    policy = RetryPolicy(max_retries=4, backoff=5, max_backoff=12)
    sim = simulate(1, policy=policy)
    waits = []
    for _ in range(4):
        sim.launch_all()
        sim.exited(sim.running[0], 1)
        assert sim.launching == []
        wake = sim.snapshot.wake_at()
        assert wake is not None
        waits.append(wake - sim.now)
        sim.now = wake
        sim.turn()
    assert waits == [5, 10, 12, 12]


def rule(action: RetryAction, **fields: object) -> RetryRule:
    return RetryRule(action=action, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "ending", "attempts"),
    [
        ((rule(RetryAction.FAIL_TASK, codes=((3, 3),)),), {"code": 3}, 1),
        ((rule(RetryAction.FAIL_TASK, codes=((3, 3),)),), {"code": 4}, 3),
        ((rule(RetryAction.FAIL_TASK, codes=((10, 20),)),), {"code": 15}, 1),
        ((rule(RetryAction.FAIL_TASK, signals=(9,)),), {"code": None, "signal": 9}, 1),
        ((rule(RetryAction.FAIL_TASK, signals=(9,)),), {"code": None, "signal": 15}, 3),
        (
            (rule(RetryAction.FAIL_TASK, on=RetryCause.OOM),),
            {"code": None, "signal": 9, "oom": True},
            1,
        ),
        (
            (
                rule(RetryAction.RETRY, codes=((3, 3),)),
                rule(RetryAction.FAIL_TASK, codes=((1, 9),)),
            ),
            {"code": 3},
            3,
        ),
    ],
)
def test_the_first_rule_that_matches_decides(
    rules: tuple[RetryRule, ...], ending: dict[str, object], attempts: int
) -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=2, rules=rules))
    while not sim.snapshot.settled:
        sim.launch_all()
        sim.exited(sim.running[0], **ending)  # type: ignore[arg-type]
    assert sim.opened[0] == attempts


def test_a_rule_may_fail_the_whole_execution() -> None:
    rules = (rule(RetryAction.FAIL_EXECUTION, codes=((42, 42),)),)
    sim = simulate(10, 1, policy=RetryPolicy(max_retries=2, rules=rules))
    sim.launch_all()
    sim.exited(sim.running[0], 42)
    assert sim.snapshot.execution.state is ExecutionState.FAILED
    assert sum(sim.opened.values()) == 1


def test_a_timeout_and_an_exit_code_rule_both_apply() -> None:
    rules = (rule(RetryAction.FAIL_TASK, on=RetryCause.TIMEOUT),)
    sim = simulate(1, policy=RetryPolicy(max_retries=2, rules=rules), timeout=10)
    sim.launch_all()
    sim.exited(sim.running[0], 1)
    sim.launch_all()
    sim.now += 10
    sim.turn()
    sim.exited(sim.running[0], 1)
    assert sim.opened[0] == 2
    assert states(sim) == [TaskState.FAILED]


def test_a_settled_execution_plans_nothing() -> None:
    sim = simulate(2)
    finish(sim)
    assert plan(sim.snapshot, sim.now + 1e6, 64) == []


def test_words_about_an_attempt_that_has_ended_change_nothing() -> None:
    sim = simulate(1, policy=RetryPolicy(max_retries=1))
    sim.launch_all()
    first = sim.running[0]
    sim.exited(first, 1)
    before = (dict(sim.snapshot.tasks), dict(sim.snapshot.live))
    sim.running.append(first)
    assert sim.exited(first, 0) is None
    assert (sim.snapshot.tasks, sim.snapshot.live) == before


ACTIONS = ("launch", "fail-launch", "exit0", "exit1", "signal", "vanish", "abort", "time", "late")


@settings(max_examples=200)
@given(
    tasks=st.integers(1, 8),
    parallelism=st.integers(1, 8),
    retries=st.integers(0, 3),
    backoff=st.sampled_from([0.0, 5.0]),
    timeout=st.sampled_from([None, 10.0]),
    fail_fast=st.booleans(),
    history=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), max_size=60),
)
def test_every_history_keeps_the_invariants_and_can_be_brought_to_an_end(
    tasks: int,
    parallelism: int,
    retries: int,
    backoff: float,
    timeout: float | None,
    fail_fast: bool,
    history: list[tuple[str, int]],
) -> None:
    sim = simulate(
        tasks,
        parallelism,
        policy=RetryPolicy(max_retries=retries, backoff=backoff),
        timeout=timeout,
        fail_fast=fail_fast,
        slots=5,
    )
    for action, pick in history:
        play(sim, action, pick)
        assert plan(sim.snapshot, sim.now, 5 - len(sim.snapshot.live)) == []
    for _ in range(500):
        if sim.snapshot.settled:
            break
        sim.launch_all()
        for key in list(sim.running):
            sim.exited(key, 0)
        sim.now += 100
        sim.turn()
    assert sim.snapshot.settled
    assert sim.snapshot.open_tasks == 0
    assert not sim.snapshot.live
    assert sum(1 for turn in sim.turns if turn.execution.completed_at) >= 1


def play(sim: Simulation, action: str, pick: int) -> None:
    if action in ("launch", "fail-launch") and sim.launching:
        key = sim.launching[pick % len(sim.launching)]
        sim.launched(key) if action == "launch" else sim.launch_failed(key)
    elif action in ("exit0", "exit1", "signal", "vanish") and sim.running:
        key = sim.running[pick % len(sim.running)]
        if action == "vanish":
            sim.vanished(key)
        elif action == "signal":
            sim.exited(key, None, signal=9)
        else:
            sim.exited(key, 0 if action == "exit0" else 1)
    elif action == "abort" and pick == 0:
        sim.abort()
    elif action == "time":
        sim.now += pick
        sim.turn()
    elif action == "late":
        sim.turn()
