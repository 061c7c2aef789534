"""Jobs, executions and tasks as v2 documents.

A resource is shown under its full name; the names of a job or an execution that another resource
mentions are short.
"""

from __future__ import annotations

from jobrunner.api.v1.writing import pinned
from jobrunner.api.v2 import names
from jobrunner.api.v2.conditions import condition, in_order
from jobrunner.api.v2.templates import job_spec, task_template, users
from jobrunner.core.conditions import (
    Status,
    completion_status,
    execution_conditions,
    job_conditions,
    last_result,
    task_conditions,
)
from jobrunner.core.documents import Document, filled
from jobrunner.core.records import Execution, ExecutionRef, Job, Task
from jobrunner.core.states import SETTLED_EXECUTIONS, ExecutionState
from jobrunner.core.timestamps import format_time

EXECUTION_STAGE = "GA"


def job_to_v2(job: Job, *, deleted_at: float | None = None) -> Document:
    (ready,) = job_conditions(job)
    return {
        "name": names.job_path(job.scope, job.name),
        "uid": job.uid,
        "generation": str(job.generation),
        "createTime": format_time(job.created_at),
        "updateTime": format_time(job.updated_at),
        **_deleted(deleted_at),
        **filled(creator=job.creator, lastModifier=job.last_modifier),
        **job_spec(job.spec),
        "observedGeneration": str(job.generation),
        "terminalCondition": condition(ready, begun=True),
        **filled(
            executionCount=job.execution_count,
            latestCreatedExecution=_latest(job.latest_execution),
            reconciling=ready.status is Status.UNKNOWN,
        ),
        "etag": names.etag(job.resource_version),
    }


def execution_to_v2(
    execution: Execution, *, log_uri: str = "", deleted_at: float | None = None
) -> Document:
    counters = execution.counters
    template = execution.template
    settled = execution.state in SETTLED_EXECUTIONS
    begun = execution.state is not ExecutionState.PENDING
    return {
        "name": names.execution_path(execution),
        "uid": execution.uid,
        **filled(creator=execution.creator),
        "generation": str(execution.generation),
        **filled(labels=users(execution.labels), annotations=users(execution.annotations)),
        "createTime": format_time(execution.created_at),
        **filled(
            startTime=_time(execution.started_at), completionTime=_time(execution.completed_at)
        ),
        "updateTime": format_time(_changed(execution)),
        **_deleted(deleted_at),
        "launchStage": EXECUTION_STAGE,
        "job": execution.job_name,
        "parallelism": execution.parallelism,
        "taskCount": execution.task_count,
        "template": task_template(pinned(execution), template.annotations),
        **filled(reconciling=not settled),
        "conditions": [
            condition(one, begun=begun) for one in in_order(execution_conditions(execution))
        ],
        "observedGeneration": str(execution.generation),
        **filled(
            runningCount=counters.running,
            succeededCount=counters.succeeded,
            failedCount=counters.failed,
            cancelledCount=counters.cancelled,
            retriedCount=counters.retried,
            logUri=log_uri,
        ),
        "etag": names.etag(execution.resource_version),
    }


def task_to_v2(task: Task, execution: Execution, *, log_uri: str = "") -> Document:
    created = format_time(execution.created_at)
    conditions = task_conditions(task, created_at=execution.created_at)
    result = last_result(task)
    begun = task.started_at is not None
    ended = task.completed_at is not None
    document: Document = {
        "name": names.task_path(execution, task.index),
        "uid": f"{execution.uid}-{task.index}",
        "generation": "1",
        **filled(labels=users(execution.labels), annotations=users(execution.annotations)),
        "createTime": created,
        "scheduledTime": created,
        **filled(startTime=_time(task.started_at), completionTime=_time(task.completed_at)),
        "updateTime": format_time(task.completed_at or task.started_at or execution.created_at),
        "job": execution.job_name,
        "execution": execution.name,
        **task_template(pinned(execution), execution.template.annotations),
        **filled(reconciling=not ended),
        "conditions": [condition(one, begun=begun) for one in in_order(conditions)],
        "observedGeneration": "1",
        **filled(index=task.index, retried=max(0, task.attempts - 1), logUri=log_uri),
        "etag": names.etag(task.attempts * 2 + ended + 1),
    }
    if result is not None:
        document["lastAttemptResult"] = {
            "status": filled(code=result.code, message=result.message),
            **filled(exitCode=result.exit_code, termSignal=result.signal),
        }
    return document


def _latest(reference: ExecutionRef | None) -> Document | None:
    if reference is None:
        return None
    return filled(
        name=reference.name,
        createTime=format_time(reference.created_at),
        completionTime=_time(reference.completed_at),
        completionStatus=completion_status(reference.state),
    )


def _changed(execution: Execution) -> float:
    known = (execution.completed_at, execution.started_at, execution.created_at)
    return max(at for at in known if at is not None)


def _deleted(at: float | None) -> Document:
    return {} if at is None else {"deleteTime": format_time(at), "expireTime": format_time(at)}


def _time(at: float | None) -> str:
    return "" if at is None else format_time(at)
