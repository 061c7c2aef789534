"""Executions, their tasks and attempts, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jobrunner.cli.live.summary import ending_text, headline, task_text
from jobrunner.cli.output import pairs, table
from jobrunner.cli.words import age_text, duration_text, rfc3339, time_text
from jobrunner.core.indices import format_indices
from jobrunner.core.quantities import format_duration
from jobrunner.core.records import Attempt, Execution, Task
from jobrunner.core.states import SETTLED_EXECUTIONS, AttemptState, TaskState
from jobrunner.service.logs import is_interrupted

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened

Document = dict[str, Any]
SHOWN_FAILED = 20
MORE_THAN_ALL = 1_000_000


def execution_view(execution: Execution, *, interrupted: bool) -> Document:
    """One execution without its tasks."""
    c = execution.counters
    ended = c.succeeded + c.failed + c.cancelled
    abort = execution.abort
    return {
        "name": execution.name,
        "uid": execution.uid,
        "project": execution.project,
        "region": execution.region,
        "job": execution.job_name,
        "jobGeneration": execution.job_generation,
        "state": execution.state.value,
        "interrupted": interrupted,
        "reason": execution.reason,
        "message": execution.message,
        "createdAt": rfc3339(execution.created_at),
        "startedAt": rfc3339(execution.started_at),
        "completedAt": rfc3339(execution.completed_at),
        "creator": execution.creator,
        "backend": execution.backend,
        "imageDigest": execution.image_digest,
        "taskCount": execution.task_count,
        "parallelism": execution.parallelism,
        "maxRetries": execution.template.template.max_retries,
        "taskTimeoutSeconds": execution.template.template.timeout,
        "indices": None if execution.indices is None else format_indices(execution.indices),
        "rerunOf": execution.parent,
        "counters": {
            "pending": execution.task_count - ended - c.running,
            "running": c.running,
            "succeeded": c.succeeded,
            "failed": c.failed,
            "cancelled": c.cancelled,
            "retried": c.retried,
        },
        "abort": None
        if abort is None
        else {"kind": abort.kind, "at": rfc3339(abort.at), "message": abort.message},
        "labels": dict(execution.labels),
        "annotations": dict(execution.annotations),
    }


def task_view(task: Task) -> Document:
    return {
        "index": task.index,
        "state": task.state.name,
        "startedAt": rfc3339(task.started_at),
        "completedAt": rfc3339(task.completed_at),
        "exitCode": task.exit_code,
        "signal": task.signal,
        "reason": task.reason,
        "message": task.message,
        "attemptCount": task.attempts,
        "lostCount": task.lost,
    }


def attempt_view(attempt: Attempt) -> Document:
    usage = attempt.usage
    return {
        "number": attempt.number,
        "state": attempt.state.value,
        "claimedAt": rfc3339(attempt.claimed_at),
        "startedAt": rfc3339(attempt.launched_at),
        "stoppingAt": rfc3339(attempt.stopping_at),
        "endedAt": rfc3339(attempt.ended_at),
        "exitCode": attempt.exit_code,
        "signal": attempt.signal,
        "timedOut": attempt.state is AttemptState.TIMED_OUT,
        "lost": attempt.state is AttemptState.LOST,
        "outOfMemory": attempt.oom,
        "reason": attempt.reason,
        "message": attempt.message,
        "usage": {
            "userSeconds": usage.user,
            "systemSeconds": usage.system,
            "maxRssBytes": usage.max_rss,
        },
        "outputBytes": attempt.output,
    }


def task_documents(tasks: Iterable[Task], attempts: Iterable[Attempt]) -> list[Document]:
    """Tasks with all of their attempts."""
    by_index: dict[int, list[Document]] = {}
    for attempt in attempts:
        by_index.setdefault(attempt.index, []).append(attempt_view(attempt))
    return [{**task_view(task), "attempts": by_index.get(task.index, [])} for task in tasks]


def full_view(app: Opened, execution: Execution) -> Document:
    """An execution with every attempt of every task, and its re-runs."""
    executions = app.service.executions
    every = all_tasks(app, execution)
    return {
        **execution_view(execution, interrupted=interrupted(app, execution)),
        "reruns": [child.name for child in executions.children(execution)],
        "tasks": task_documents(every, executions.attempts(execution)),
    }


def all_tasks(
    app: Opened, execution: Execution, states: Sequence[TaskState] | None = None
) -> Sequence[Task]:
    from jobrunner.ports import Page

    return app.service.executions.tasks(execution, states=states, page=Page(limit=MORE_THAN_ALL))


def interrupted(app: Opened, execution: Execution) -> bool:
    """Whether the execution waits for somebody to continue it."""
    return is_interrupted(execution, app.clock.now(), driven=app.is_driven(execution))


def state_text(app: Opened, execution: Execution) -> str:
    """The state in a word for tables."""
    return "interrupted" if interrupted(app, execution) else execution.state.value.lower()


def took(started: float | None, ended: float | None, now: float) -> str:
    return "" if started is None else duration_text((ended if ended is not None else now) - started)


def executions_table(app: Opened, executions: Sequence[Execution]) -> str:
    now = app.clock.now()
    rows = []
    for e in executions:
        c = e.counters
        done = c.succeeded + c.failed + c.cancelled
        settled = e.state in SETTLED_EXECUTIONS
        rows.append(
            [
                e.name,
                e.job_name,
                state_text(app, e),
                f"{done}/{e.task_count}",
                str(c.failed) if c.failed else "",
                f"{age_text(now - e.created_at)} ago",
                took(e.started_at, e.completed_at, now if not settled else e.created_at),
            ]
        )
    return table(["EXECUTION", "JOB", "STATE", "DONE", "FAILED", "CREATED", "TOOK"], rows)


def execution_text(app: Opened, execution: Execution) -> str:
    """One execution for people, with the tasks that failed."""
    now = app.clock.now()
    e, t = execution, execution.template.template
    container = t.containers[0] if t.containers else None
    state = state_text(app, e)
    if state == "interrupted":
        state += f"; continue with: jobrunner executions continue {e.name}"
    command = ""
    if container is not None:
        import shlex

        command = shlex.join([*container.command, *container.args])
    rows = [
        ("Execution", e.name),
        ("Job", e.job_name),
        ("State", state),
        ("Message", e.message),
        ("Image", (container.image or "") if container is not None else ""),
        ("Digest", e.image_digest or ""),
        ("Command", command),
        ("Backend", e.backend),
        ("Tasks", headline(e).removeprefix(f"{e.name}: ")),
        ("Indices", "" if e.indices is None else format_indices(e.indices)),
        ("Parallelism", str(e.parallelism)),
        ("Max retries", "" if t.max_retries is None else str(t.max_retries)),
        ("Task timeout", "none" if t.timeout is None else format_duration(t.timeout)),
        ("Created", f"{time_text(e.created_at)} by {e.creator}" if e.creator else ""),
        ("Started", "" if e.started_at is None else time_text(e.started_at)),
        ("Completed", "" if e.completed_at is None else time_text(e.completed_at)),
        ("Re-run of", e.parent or ""),
        ("Re-run by", ", ".join(child.name for child in app.service.executions.children(e))),
    ]
    text = pairs(rows)
    if e.counters.failed:
        from jobrunner.ports import Page

        failed = app.service.executions.tasks(
            e, states=[TaskState.FAILED], page=Page(limit=SHOWN_FAILED)
        )
        text += "\nFailed tasks:\n" + tasks_table(failed, now)
        if e.counters.failed > len(failed):
            text += f"and {e.counters.failed - len(failed):,} more\n"
    return text


def tasks_table(tasks: Sequence[Task], now: float) -> str:
    rows = [
        [
            str(task.index),
            task.state.value.lower(),
            str(task.attempts),
            "" if task.started_at is None else time_text(task.started_at),
            took(task.started_at, task.completed_at, now),
            task_text(task) if task.state is TaskState.FAILED else "",
        ]
        for task in tasks
    ]
    return table(["INDEX", "STATE", "ATTEMPTS", "STARTED", "TOOK", "ENDING"], rows)


def task_page(execution: Execution, task: Task, attempts: Sequence[Attempt], now: float) -> str:
    """One task for people, with its attempts."""
    rows = [
        ("Execution", execution.name),
        ("Index", str(task.index)),
        ("State", task.state.value.lower()),
        ("Message", task.message),
        ("Started", "" if task.started_at is None else time_text(task.started_at)),
        ("Completed", "" if task.completed_at is None else time_text(task.completed_at)),
        ("Logs", f"jobrunner executions logs {execution.name} --index {task.index}"),
    ]
    text = pairs(rows)
    if attempts:
        text += "\n" + table(
            ["ATTEMPT", "STATE", "STARTED", "TOOK", "CPU", "MAX RSS", "ENDING"],
            [attempt_row(attempt, now) for attempt in attempts],
        )
    return text


def attempt_row(attempt: Attempt, now: float) -> list[str]:
    from jobrunner.cli.words import size_text
    from jobrunner.core.states import ENDED

    usage = attempt.usage
    cpu = None if usage.user is None else usage.user + (usage.system or 0.0)
    over = attempt.state in ENDED and attempt.state is not AttemptState.SUCCEEDED
    return [
        str(attempt.number),
        attempt.state.value.lower(),
        "" if attempt.launched_at is None else time_text(attempt.launched_at),
        took(attempt.launched_at, attempt.ended_at, now),
        "" if cpu is None else f"{cpu:.2f}s",
        "" if usage.max_rss is None else size_text(usage.max_rss),
        ending_text(attempt) if over else "",
    ]
