"""Conditions, in the contract's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobrunner.core.conditions import (
    Condition,
    LastResult,
    Status,
    completion_status,
    execution_conditions,
    job_conditions,
    last_result,
    task_conditions,
)
from jobrunner.core.outcome import CANCEL_MESSAGE, EXIT_MESSAGE, TIMEOUT_MESSAGE
from jobrunner.core.records import Abort, AbortKind, Counters, Execution, Job, Task
from jobrunner.core.spec import ExecutionTemplate, JobSpec
from jobrunner.core.states import ENDED_TASKS, SETTLED_EXECUTIONS, ExecutionState, TaskState

T, F, U = Status.TRUE, Status.FALSE, Status.UNKNOWN
E, S = ExecutionState, TaskState
DOCKER = Execution(
    uid="u",
    project="local",
    region="us-central1",
    name="nightly-abcde",
    job_uid="j",
    job_name="nightly",
    job_generation=1,
    template=ExecutionTemplate(),
    task_count=2,
    parallelism=2,
    backend="docker",
    created_at=100.0,
)
RUNNING = replace(DOCKER, state=E.RUNNING, started_at=156.03)
DONE = replace(RUNNING, state=E.SUCCEEDED, completed_at=168.33)
FAILED = replace(
    RUNNING, state=E.FAILED, completed_at=170.0, reason="NonZeroExitCode", message="Task … failed"
)


def said(execution: Execution) -> dict[str, tuple[Status, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in execution_conditions(execution)}


def test_an_execution_that_was_just_made_knows_nothing_yet() -> None:
    assert said(DOCKER) == {
        "Completed": (U, "", "Waiting for execution to complete."),
        "ResourcesAvailable": (U, "", "Provisioning imported containers."),
        "Started": (U, "", "Waiting for execution to complete."),
        "ContainerReady": (U, "", "Importing container image."),
    }


def test_a_running_execution_says_how_long_it_took_to_start() -> None:
    assert said(RUNNING) == {
        "Completed": (U, "", "Waiting for execution to complete."),
        "ResourcesAvailable": (T, "", "Provisioned imported containers."),
        "Started": (T, "", "Started deployed execution in 56.03s."),
        "ContainerReady": (T, "", "Imported container image."),
    }


def test_a_successful_execution_says_how_long_it_ran() -> None:
    assert said(DONE)["Completed"] == (T, "", "Execution completed successfully in 12.3s.")


def test_a_failed_execution_started_all_the_same() -> None:
    conditions = said(FAILED)
    assert conditions["Completed"] == (F, "NonZeroExitCode", "Task … failed")
    assert conditions["Started"][0] is T


def test_a_cancel_is_told_while_it_goes_on_and_when_it_is_done() -> None:
    abort = Abort(AbortKind.CANCEL, 160.0, CANCEL_MESSAGE)
    stopping = replace(RUNNING, state=E.STOPPING, abort=abort)
    assert said(stopping)["Completed"] == (
        U,
        "Cancelling",
        "Waiting for execution to be cancelled.",
    )
    over = replace(
        stopping,
        state=E.CANCELLED,
        completed_at=161.0,
        reason="Cancelled",
        message="Cancelled by user.",
    )
    assert said(over)["Completed"] == (F, "Cancelled", "Cancelled by user.")


def test_an_end_that_nobody_asked_for_is_not_called_a_cancel() -> None:
    stopping = replace(RUNNING, state=E.STOPPING, abort=Abort(AbortKind.FAIL_FAST, 160.0))
    assert said(stopping)["Completed"] == (U, "", "Waiting for execution to complete.")


def test_a_missing_image_is_told_by_every_condition() -> None:
    missing = replace(
        DOCKER,
        state=E.FAILED,
        completed_at=101.0,
        reason="ContainerMissing",
        message="Image 'x' not found.",
        abort=Abort(AbortKind.LAUNCH, 101.0),
    )
    told = (F, "ContainerMissing", "Image 'x' not found.")
    assert set(said(missing).values()) == {told}


def test_a_command_that_cannot_start_never_reads_as_started() -> None:
    broken = replace(FAILED, abort=Abort(AbortKind.LAUNCH, 101.0))
    assert said(broken)["Started"][0] is F
    late = replace(broken, counters=Counters(succeeded=1))
    assert said(late)["Started"][0] is T


def test_a_process_needs_no_image() -> None:
    process = replace(DOCKER, backend="process")
    assert said(process)["ContainerReady"] == (T, "", "No container image is needed.")


@pytest.mark.parametrize("backend", ["docker", "process"])
@pytest.mark.parametrize("state", sorted(SETTLED_EXECUTIONS))
@pytest.mark.parametrize("started_at", [None, 120.0])
def test_once_settled_nothing_is_unknown(
    state: ExecutionState, started_at: float | None, backend: str
) -> None:
    over = replace(DOCKER, state=state, started_at=started_at, completed_at=130.0, backend=backend)
    assert U not in {c.status for c in execution_conditions(over)}


def test_no_condition_has_a_severity_or_gcloud_would_print_it_as_a_warning() -> None:
    assert [c.severity for c in execution_conditions(RUNNING)] == [None] * 4


def test_times_are_those_of_the_last_change() -> None:
    assert [c.at for c in execution_conditions(DOCKER)] == [100.0] * 4
    assert [c.at for c in execution_conditions(DONE)] == [168.33, 156.03, 156.03, 156.03]


def test_a_stored_job_is_ready() -> None:
    job = Job(uid="u", project="p", region="r", name="n", spec=JobSpec(), updated_at=5.0)
    assert job_conditions(job) == (Condition("Ready", T, 5.0),)


def test_a_stopping_execution_still_counts_as_running_for_its_job() -> None:
    words = {state: completion_status(state).removeprefix("EXECUTION_") for state in E}
    assert words == {
        E.PENDING: "PENDING",
        E.RUNNING: "RUNNING",
        E.STOPPING: "RUNNING",
        E.SUCCEEDED: "SUCCEEDED",
        E.FAILED: "FAILED",
        E.CANCELLED: "CANCELLED",
    }


def task(state: TaskState, **fields: object) -> Task:
    return Task("u", 0, state, **fields)  # type: ignore[arg-type]


TRIED = {"attempts": 1, "started_at": 110.0}
ENDED = {**TRIED, "completed_at": 120.0}
EXIT = {"reason": "NonZeroExitCode", "message": EXIT_MESSAGE}


@pytest.mark.parametrize(
    ("made", "completed", "started"),
    [
        (task(S.PENDING), Condition("Completed", U, 100.0), U),
        (task(S.PENDING, **TRIED), Condition("Completed", U, 100.0), T),
        (task(S.RUNNING, **TRIED), Condition("Completed", U, 100.0), T),
        (task(S.SUCCEEDED, **ENDED), Condition("Completed", T, 120.0), T),
        (
            task(S.FAILED, **ENDED, **EXIT),
            Condition("Completed", F, 120.0, "NonZeroExitCode", EXIT_MESSAGE),
            T,
        ),
        (
            task(S.CANCELLED, **ENDED, message=CANCEL_MESSAGE),
            Condition("Completed", F, 120.0, "Cancelled", CANCEL_MESSAGE),
            T,
        ),
        (
            task(S.ABANDONED, completed_at=120.0, message=CANCEL_MESSAGE),
            Condition("Completed", F, 120.0, "Cancelled", CANCEL_MESSAGE),
            U,
        ),
    ],
    ids=str,
)
def test_a_task_says_whether_it_started_and_how_it_ended(
    made: Task, completed: Condition, started: Status
) -> None:
    first, second = task_conditions(made, created_at=100.0)
    assert first == completed
    assert (second.type, second.status) == ("Started", started)


@pytest.mark.parametrize(
    ("made", "result"),
    [
        (task(S.PENDING), None),
        (task(S.RUNNING, attempts=1), None),
        (task(S.SUCCEEDED, exit_code=0), LastResult()),
        (task(S.FAILED, exit_code=3, **EXIT), LastResult(3, None, 10, EXIT_MESSAGE)),
        (task(S.FAILED, signal=9, **EXIT), LastResult(None, 9, 10, EXIT_MESSAGE)),
        (
            task(S.FAILED, signal=15, message=TIMEOUT_MESSAGE),
            LastResult(None, None, 4, TIMEOUT_MESSAGE),
        ),
        (
            task(S.FAILED, exit_code=0, message=TIMEOUT_MESSAGE),
            LastResult(code=4, message=TIMEOUT_MESSAGE),
        ),
        (
            task(S.CANCELLED, signal=15, message=CANCEL_MESSAGE),
            LastResult(None, None, 1, CANCEL_MESSAGE),
        ),
        (task(S.PENDING, attempts=1, exit_code=3), LastResult(3, None, 10, EXIT_MESSAGE)),
        (task(S.ABANDONED, message=CANCEL_MESSAGE), None),
    ],
    ids=str,
)
def test_the_last_result_of_a_task_follows_the_contract(
    made: Task, result: LastResult | None
) -> None:
    assert last_result(made) == result


def test_every_ended_task_is_completed_one_way_or_the_other() -> None:
    for state in ENDED_TASKS:
        assert task_conditions(task(state), created_at=1.0)[0].status is not U
