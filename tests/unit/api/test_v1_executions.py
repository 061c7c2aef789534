"""Executions and tasks as v1 documents."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from jobrunner.api.v1 import execution_to_v1, task_to_v1
from jobrunner.core.outcome import EXIT_MESSAGE
from jobrunner.core.records import Counters, Execution, Task
from jobrunner.core.spec import Container, ExecutionTemplate, TaskTemplate, VpcAccess
from jobrunner.core.states import ExecutionState, TaskState

T0 = 1_746_093_600.0
DIGEST = "registry.local/team/app@sha256:" + "1" * 64
TEMPLATE = ExecutionTemplate(
    template=TaskTemplate(
        containers=(Container("app-1", "registry.local/team/app:1", limits={"cpu": "1000m"}),),
        max_retries=1,
        timeout=600.0,
        service_account="me@example.com",
        execution_environment="gen2",
        vpc_access=VpcAccess("c"),
    ),
    task_count=4,
)
EXECUTION = Execution(
    uid="0e5b7c1c",
    project="my-proj",
    region="us-central1",
    name="nightly-q5mr7",
    job_uid="j-1",
    job_name="nightly",
    job_generation=3,
    template=TEMPLATE,
    task_count=4,
    parallelism=2,
    backend="docker",
    state=ExecutionState.FAILED,
    counters=Counters(succeeded=3, failed=1, retried=1),
    labels={"team": "data"},
    annotations={"note": "x"},
    created_at=T0,
    started_at=T0 + 6.03,
    completed_at=T0 + 60,
    creator="me@example.com",
    image_digest=DIGEST,
    reason="NonZeroExitCode",
    message="Task nightly-q5mr7-task2 failed with exit code: 1 and message: " + EXIT_MESSAGE,
    resource_version=9,
)
SPEC = {
    "containers": [{"name": "app-1", "image": DIGEST, "resources": {"limits": {"cpu": "1000m"}}}],
    "maxRetries": 1,
    "timeoutSeconds": "600",
    "serviceAccountName": "me@example.com",
}


def test_a_failed_execution_is_written_as_the_contract_shows_it() -> None:
    started, ended = "2025-05-01T10:00:06.030000Z", "2025-05-01T10:01:00.000000Z"
    assert execution_to_v1(EXECUTION, namespace="123456789012", log_uri="https://logs") == {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Execution",
        "metadata": {
            "name": "nightly-q5mr7",
            "namespace": "123456789012",
            "selfLink": (
                "/apis/run.googleapis.com/v1/namespaces/123456789012/executions/nightly-q5mr7"
            ),
            "uid": "0e5b7c1c",
            "resourceVersion": "9",
            "generation": 1,
            "creationTimestamp": "2025-05-01T10:00:00.000000Z",
            "labels": {
                "team": "data",
                "run.googleapis.com/job": "nightly",
                "run.googleapis.com/jobUid": "j-1",
                "run.googleapis.com/jobGeneration": "3",
                "cloud.googleapis.com/location": "us-central1",
            },
            "annotations": {
                "note": "x",
                "run.googleapis.com/execution-environment": "gen2",
                "run.googleapis.com/vpc-access-connector": "c",
                "run.googleapis.com/creator": "me@example.com",
                "run.googleapis.com/lastModifier": "me@example.com",
            },
            "ownerReferences": [
                {
                    "apiVersion": "run.googleapis.com/v1",
                    "kind": "Job",
                    "name": "nightly",
                    "uid": "j-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"parallelism": 2, "taskCount": 4, "template": {"spec": SPEC}},
        "status": {
            "observedGeneration": 1,
            "startTime": started,
            "completionTime": ended,
            "succeededCount": 3,
            "failedCount": 1,
            "retriedCount": 1,
            "logUri": "https://logs",
            "conditions": [
                {
                    "type": "Completed",
                    "status": "False",
                    "reason": "NonZeroExitCode",
                    "message": EXECUTION.message,
                    "lastTransitionTime": ended,
                },
                {
                    "type": "ResourcesAvailable",
                    "status": "True",
                    "message": "Provisioned imported containers.",
                    "lastTransitionTime": started,
                },
                {
                    "type": "Started",
                    "status": "True",
                    "message": "Started deployed execution in 6.03s.",
                    "lastTransitionTime": started,
                },
                {
                    "type": "ContainerReady",
                    "status": "True",
                    "message": "Imported container image.",
                    "lastTransitionTime": started,
                },
            ],
        },
    }


def test_a_fresh_execution_leaves_out_what_is_zero() -> None:
    fresh = replace(
        EXECUTION,
        state=ExecutionState.PENDING,
        counters=Counters(),
        started_at=None,
        completed_at=None,
    )
    status: Any = execution_to_v1(fresh)["status"]
    assert set(status) == {"observedGeneration", "conditions"}


def test_a_rerun_shows_its_own_number_of_tasks() -> None:
    child = replace(EXECUTION, task_count=2, parallelism=2, indices=(1, 3), parent="nightly-aaaaa")
    spec: Any = execution_to_v1(child)["spec"]
    assert spec["taskCount"] == 2


def test_a_task_is_written_as_the_contract_shows_it() -> None:
    task = Task(
        "0e5b7c1c",
        2,
        TaskState.FAILED,
        attempts=2,
        counted=2,
        started_at=T0 + 7,
        completed_at=T0 + 50,
        reason="NonZeroExitCode",
        message=EXIT_MESSAGE,
        exit_code=1,
    )
    document: Any = task_to_v1(task, EXECUTION)
    assert document["kind"] == "Task"
    assert document["spec"] == SPEC
    assert document["metadata"] == {
        "name": "nightly-q5mr7-task2",
        "namespace": "my-proj",
        "selfLink": "/apis/run.googleapis.com/v1/namespaces/my-proj/tasks/nightly-q5mr7-task2",
        "resourceVersion": "9",
        "generation": 1,
        "creationTimestamp": "2025-05-01T10:00:00.000000Z",
        "labels": {
            "team": "data",
            "run.googleapis.com/job": "nightly",
            "run.googleapis.com/execution": "nightly-q5mr7",
            "run.googleapis.com/runningState": "Failed",
            "cloud.googleapis.com/location": "us-central1",
        },
        "annotations": {
            "note": "x",
            "run.googleapis.com/scheduled-time": "2025-05-01T10:00:00.000000Z",
        },
    }
    assert document["status"] == {
        "observedGeneration": 1,
        "index": 2,
        "retried": 1,
        "startTime": "2025-05-01T10:00:07.000000Z",
        "completionTime": "2025-05-01T10:00:50.000000Z",
        "lastAttemptResult": {"exitCode": 1, "status": {"code": 10, "message": EXIT_MESSAGE}},
        "conditions": [
            {
                "type": "Completed",
                "status": "False",
                "reason": "NonZeroExitCode",
                "message": EXIT_MESSAGE,
                "lastTransitionTime": "2025-05-01T10:00:50.000000Z",
            },
            {
                "type": "Started",
                "status": "True",
                "lastTransitionTime": "2025-05-01T10:00:07.000000Z",
            },
        ],
    }


@pytest.mark.parametrize(
    ("task", "result"),
    [
        (Task("u", 0, TaskState.SUCCEEDED, attempts=1, exit_code=0), {"status": {}}),
        (
            Task("u", 0, TaskState.FAILED, attempts=1, signal=9, message=EXIT_MESSAGE),
            {"status": {"code": 10, "message": EXIT_MESSAGE}},
        ),
        (Task("u", 0), None),
    ],
    ids=["success", "signal", "not yet"],
)
def test_a_result_always_has_a_status_object(task: Task, result: object) -> None:
    status: Any = task_to_v1(task, EXECUTION)["status"]
    assert status.get("lastAttemptResult") == result
    assert "index" not in status


def test_every_document_is_json() -> None:
    task = Task("u", 0)
    for document in (execution_to_v1(EXECUTION), task_to_v1(task, EXECUTION)):
        assert json.loads(json.dumps(document)) == document
