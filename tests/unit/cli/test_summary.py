"""What is said when an execution has ended."""

from dataclasses import replace

import pytest

from jobrunner.cli.live.summary import (
    FailedTask,
    ending_text,
    last_lines,
    summary_lines,
    task_end_line,
)
from jobrunner.core.records import Abort, AbortKind, Attempt, Counters, Execution, Task
from jobrunner.core.spec import ExecutionTemplate
from jobrunner.core.states import AttemptState, ExecutionState, TaskState

DONE = Execution(
    uid="e", project="p", region="r", name="run-1", job_uid="j", job_name="run", job_generation=1,
    template=ExecutionTemplate(), task_count=12, parallelism=2, backend="process",
    state=ExecutionState.SUCCEEDED, counters=Counters(succeeded=12), started_at=10.0,
    completed_at=22.4,
)  # fmt: skip


def failed(index: int, tail: bytes = b"") -> FailedTask:
    task = Task("e", index, TaskState.FAILED, attempts=2, exit_code=7)
    return FailedTask(task, Attempt("e", index, 1, AttemptState.FAILED, exit_code=7), tail)


def test_success_is_one_line() -> None:
    assert summary_lines(DONE, [], 0) == ["run-1: 12 tasks: 12 succeeded in 12.4s"]


def test_a_failed_task_is_told_with_its_end_its_last_lines_and_the_command_that_shows_more() -> (
    None
):
    ended = replace(
        DONE, state=ExecutionState.FAILED, counters=Counters(succeeded=11, failed=1, retried=1)
    )
    assert summary_lines(ended, [failed(3, b"one\ntwo\n")], 1) == [
        "run-1: 12 tasks: 11 succeeded, 1 failed, 1 retried in 12.4s",
        "  task 3 failed: exit code 7, 2 attempts",
        "    | one",
        "    | two",
        "    more: jobrunner executions logs run-1 --index 3",
        "  try them again: jobrunner executions rerun run-1 --failed",
    ]


def test_after_five_failed_tasks_the_rest_is_counted() -> None:
    ended = replace(DONE, state=ExecutionState.FAILED, counters=Counters(failed=12))
    lines = summary_lines(ended, [failed(index) for index in range(5)], 12)
    assert sum("failed: exit code 7" in line for line in lines) == 5
    assert "  and 7 more: jobrunner tasks list --execution run-1 --state failed" in lines


def test_an_early_end_says_why() -> None:
    abort = Abort(AbortKind.CANCEL, 12.0, "Cancelled by user.")
    ended = replace(
        DONE, state=ExecutionState.CANCELLED, counters=Counters(cancelled=12), abort=abort
    )
    assert "  stopped early: Cancelled by user." in summary_lines(ended, [], 0)


def test_what_stopped_a_launch_is_told_once() -> None:
    abort = Abort(AbortKind.LAUNCH, 12.0, "Task run-1-task0 failed with message: No such secret.")
    ended = replace(DONE, state=ExecutionState.FAILED, counters=Counters(failed=1), abort=abort)
    task = Task("e", 0, TaskState.FAILED, attempts=1, message="No such secret.")
    assert summary_lines(ended, [FailedTask(task, None)], 1)[1:3] == [
        "  task 0 failed: No such secret, 1 attempt",
        "    more: jobrunner tasks describe 0 --execution run-1",
    ]


def test_a_sentence_and_a_time_do_not_run_into_each_other() -> None:
    task = Task("e", 0, TaskState.FAILED, attempts=1, started_at=1.0, completed_at=1.005)
    cases = {
        "run-1: task 0 failed: exit code 7 in 5ms": replace(task, exit_code=7),
        "run-1: task 0 failed: the command 'x' does not exist (after 5ms)": replace(
            task, message="the command 'x' does not exist."
        ),
    }
    for line, ended in cases.items():
        assert task_end_line(DONE, ended) == line


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ({"state": AttemptState.FAILED, "exit_code": 3}, "exit code 3"),
        ({"state": AttemptState.FAILED, "signal": 9}, "killed by signal 9 (SIGKILL)"),
        ({"state": AttemptState.FAILED, "signal": 63}, "killed by signal 63"),
        ({"state": AttemptState.FAILED, "signal": 9, "oom": True}, "killed: out of memory"),
        ({"state": AttemptState.TIMED_OUT, "signal": 15}, "timed out"),
        ({"state": AttemptState.LOST}, "lost (nobody can say how it ended)"),
        ({"state": AttemptState.CANCELLED, "exit_code": 0}, "cancelled"),
        ({"state": AttemptState.FAILED, "message": "no such command"}, "no such command"),
    ],
)
def test_every_way_to_end_has_its_words(attempt: dict[str, object], words: str) -> None:
    assert ending_text(Attempt("e", 0, 0, **attempt)) == words  # type: ignore[arg-type]


def test_last_lines_cannot_move_the_cursor_or_flood_the_screen() -> None:
    lines = last_lines(
        b"\n".join([b"line %d" % n for n in range(9)] + [b"\x1b[2J\x07red", b"x" * 999])
    )
    assert lines[:3] == ["line 6", "line 7", "line 8"]
    assert lines[3] == "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}red"
    assert len(lines[4]) == 200


def test_tasks_cancelled_because_nothing_can_be_started_are_explained_in_one_line() -> None:
    abort = Abort(AbortKind.LAUNCH, 12.0, "Task run-1-task0 failed with message: No such command.")
    counters = Counters(failed=2, cancelled=3)
    ended = replace(DONE, state=ExecutionState.FAILED, counters=counters, abort=abort)
    said = [line for line in summary_lines(ended, [failed(0), failed(1)], 2) if "stopped" in line]
    assert len(said) == 1
    assert "no further task was tried" in said[0]
