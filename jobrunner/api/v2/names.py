"""Full names of resources, and etags."""

from __future__ import annotations

import base64

from jobrunner.core.names import task_name
from jobrunner.core.records import Execution, Operation, Scope


def location(scope: Scope) -> str:
    return f"projects/{scope.project}/locations/{scope.region}"


def job_path(scope: Scope, job: str) -> str:
    return f"{location(scope)}/jobs/{job}"


def execution_path(execution: Execution) -> str:
    return f"{job_path(execution.scope, execution.job_name)}/executions/{execution.name}"


def task_path(execution: Execution, index: int) -> str:
    return f"{execution_path(execution)}/tasks/{task_name(execution.name, index)}"


def operation_path(operation: Operation) -> str:
    return f"{location(operation.scope)}/operations/{operation.id}"


def etag(version: int) -> str:
    """A text for a resource version. The quotes are part of it, as in HTTP."""
    size = max(1, (version.bit_length() + 7) // 8)
    return f'"{base64.urlsafe_b64encode(version.to_bytes(size, "big")).decode().rstrip("=")}"'
