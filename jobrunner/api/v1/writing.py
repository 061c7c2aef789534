"""Jobs, executions and tasks as v1 documents.

``namespace`` is the project's number as text; without one, that of the default project, or the
project's id.
"""

from __future__ import annotations

from dataclasses import replace

from jobrunner.api.v1 import keys
from jobrunner.api.v1.templates import (
    execution_spec,
    job_annotations,
    job_spec,
    task_annotations,
    task_spec,
)
from jobrunner.core.conditions import (
    Condition,
    completion_status,
    execution_conditions,
    job_conditions,
    last_result,
    task_conditions,
)
from jobrunner.core.documents import Document, filled
from jobrunner.core.names import task_name
from jobrunner.core.records import (
    DEFAULT_PROJECT,
    DEFAULT_PROJECT_NUMBER,
    Execution,
    ExecutionRef,
    Job,
    Task,
)
from jobrunner.core.spec import TaskTemplate
from jobrunner.core.timestamps import format_time


def namespace_of(project: str) -> str:
    return str(DEFAULT_PROJECT_NUMBER) if project == DEFAULT_PROJECT else project


def job_to_v1(
    job: Job,
    *,
    namespace: str | None = None,
    conditions: tuple[Condition, ...] | None = None,
    operation_id: str = "",
) -> Document:
    space = namespace or namespace_of(job.project)
    metadata = {
        "name": job.name,
        "namespace": space,
        "selfLink": _self_link(space, "jobs", job.name),
        "uid": job.uid,
        "resourceVersion": str(job.resource_version),
        "generation": job.generation,
        "creationTimestamp": format_time(job.created_at),
        "labels": {
            **job.spec.labels,
            keys.LOCATION: job.region,
            keys.LAST_UPDATED: format_time(job.updated_at),
        },
        **filled(
            annotations={
                **job_annotations(job.spec),
                **filled_texts(
                    (keys.CREATOR, job.creator),
                    (keys.LAST_MODIFIER, job.last_modifier),
                    (keys.OPERATION_ID, operation_id),
                ),
            }
        ),
    }
    status = {
        "observedGeneration": job.generation,
        "conditions": _conditions(job_conditions(job) if conditions is None else conditions),
        **filled(
            executionCount=job.execution_count,
            latestCreatedExecution=_latest(job.latest_execution),
        ),
    }
    return _envelope("Job", metadata, job_spec(job.spec, whole=True), status)


def execution_to_v1(
    execution: Execution,
    *,
    namespace: str | None = None,
    conditions: tuple[Condition, ...] | None = None,
    log_uri: str = "",
    operation_id: str = "",
) -> Document:
    space = namespace or namespace_of(execution.project)
    template = execution.template
    metadata = {
        "name": execution.name,
        "namespace": space,
        "selfLink": _self_link(space, "executions", execution.name),
        "uid": execution.uid,
        "resourceVersion": str(execution.resource_version),
        "generation": execution.generation,
        "creationTimestamp": format_time(execution.created_at),
        "labels": {
            **execution.labels,
            keys.JOB: execution.job_name,
            keys.JOB_UID: execution.job_uid,
            keys.JOB_GENERATION: str(execution.job_generation),
            keys.LOCATION: execution.region,
        },
        **filled(
            annotations={
                **execution.annotations,
                **task_annotations(template.template),
                **filled_texts(
                    (keys.CREATOR, execution.creator),
                    (keys.LAST_MODIFIER, execution.creator),
                    (keys.OPERATION_ID, operation_id),
                ),
            }
        ),
        "ownerReferences": [
            {
                "apiVersion": keys.API_VERSION,
                "kind": "Job",
                "name": execution.job_name,
                "uid": execution.job_uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    effective = replace(
        template,
        parallelism=execution.parallelism,
        task_count=execution.task_count,
        template=pinned(execution),
    )
    counters = execution.counters
    shown = execution_conditions(execution) if conditions is None else conditions
    status = {
        "observedGeneration": execution.generation,
        "conditions": _conditions(shown),
        **filled(
            startTime=_time(execution.started_at),
            completionTime=_time(execution.completed_at),
            runningCount=counters.running,
            succeededCount=counters.succeeded,
            failedCount=counters.failed,
            cancelledCount=counters.cancelled,
            retriedCount=counters.retried,
            logUri=log_uri,
        ),
    }
    return _envelope("Execution", metadata, execution_spec(effective), status)


def task_to_v1(
    task: Task,
    execution: Execution,
    *,
    namespace: str | None = None,
    conditions: tuple[Condition, ...] | None = None,
    log_uri: str = "",
) -> Document:
    space = namespace or namespace_of(execution.project)
    name = task_name(execution.name, task.index)
    created = format_time(execution.created_at)
    metadata: Document = {
        "name": name,
        "namespace": space,
        "selfLink": _self_link(space, "tasks", name),
        "resourceVersion": str(execution.resource_version),
        "generation": 1,
        "creationTimestamp": created,
        "labels": {
            **execution.labels,
            keys.JOB: execution.job_name,
            keys.EXECUTION: execution.name,
            keys.RUNNING_STATE: task.state.value,
            keys.LOCATION: execution.region,
        },
        "annotations": {**execution.annotations, keys.SCHEDULED: created},
    }
    shown = conditions
    if shown is None:
        shown = task_conditions(task, created_at=execution.created_at)
    result = last_result(task)
    status = {
        "observedGeneration": 1,
        "conditions": _conditions(shown),
        **filled(
            index=task.index,
            retried=max(0, task.attempts - 1),
            startTime=_time(task.started_at),
            completionTime=_time(task.completed_at),
            logUri=log_uri,
        ),
    }
    if result is not None:
        # Clients read .status.message without looking whether there is a status.
        status["lastAttemptResult"] = {
            **filled(exitCode=result.exit_code),
            "status": filled(code=result.code, message=result.message),
        }
    return _envelope("Task", metadata, task_spec(pinned(execution)), status)


def pinned(execution: Execution) -> TaskTemplate:
    """The template with the image that the attempts really use."""
    template = execution.template.template
    if not execution.image_digest or not template.containers:
        return template
    first, *others = template.containers
    return replace(template, containers=(replace(first, image=execution.image_digest), *others))


def filled_texts(*pairs: tuple[str, str]) -> dict[str, str]:
    return {key: value for key, value in pairs if value}


def _envelope(kind: str, metadata: object, spec: object, status: object) -> Document:
    return {
        "apiVersion": keys.API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def _self_link(namespace: str, collection: str, name: str) -> str:
    return f"/apis/{keys.API_VERSION}/namespaces/{namespace}/{collection}/{name}"


def _time(at: float | None) -> str:
    return "" if at is None else format_time(at)


def _conditions(conditions: tuple[Condition, ...]) -> list[Document]:
    return [
        {
            "type": one.type,
            "status": one.status.value,
            **filled(
                reason=one.reason,
                message=one.message,
                severity=one.severity.value if one.severity else None,
            ),
            "lastTransitionTime": format_time(one.at),
        }
        for one in conditions
    ]


def _latest(reference: ExecutionRef | None) -> Document | None:
    if reference is None:
        return None
    return filled(
        name=reference.name,
        creationTimestamp=format_time(reference.created_at),
        completionTimestamp=_time(reference.completed_at),
        completionStatus=completion_status(reference.state),
    )
