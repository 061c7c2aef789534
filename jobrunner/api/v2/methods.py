"""The Cloud Run Admin API v2, as far as jobs go: one table, for HTTP and for gRPC.

How the message of a gRPC request becomes a call, which is what Google's HTTP annotations say, so
that whoever carries it needs to know the messages and nothing of the methods:

* the field with the resource name (``parent`` of create and list, ``job.name`` of update, ``name``
  of everything else) fills the variables of the path; a list's path has the collection after it;
* the field ``job`` of create and update is the body; all fields but the name are the body of
  ``:run``, ``:cancel`` and ``:wait``;
* every other field is a parameter as text, under its camelCase name in JSON (``jobId``,
  ``validateOnly``, ``pageToken``); truth values are ``true`` and ``false``.

The answer is the JSON of the response message, and has no member that the message has not.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.api.audit import child, http_path
from jobrunner.api.shapes import V2_CANCEL, V2_JOB, V2_RUN, WAIT
from jobrunner.api.v2.executions import ExecutionMethods
from jobrunner.api.v2.frame import Frame
from jobrunner.api.v2.jobs import JobMethods
from jobrunner.api.v2.ledger import Ledger
from jobrunner.api.v2.operations import OperationMethods
from jobrunner.calls import Call, Handler, Method, Role
from jobrunner.service.parts import Parts

LOCATION = "/v2/projects/{project}/locations/{location}"
JOBS, JOB = f"{LOCATION}/jobs", f"{LOCATION}/jobs/{{job}}"
EXECUTIONS, EXECUTION = f"{JOB}/executions", f"{JOB}/executions/{{execution}}"
TASKS, TASK = f"{EXECUTION}/tasks", f"{EXECUTION}/tasks/{{task}}"
OPERATIONS = f"{LOCATION}/operations"

LIST = ("pageSize", "pageToken", "showDeleted")
REMOVE = ("etag", "validateOnly")

_RUN = "google.cloud.run.v2."
_LRO = "google.longrunning.Operations/"


def methods(parts: Parts) -> Sequence[Method]:
    service = parts.service
    ledger = Ledger(service.store, parts.clock, parts.ids)
    frame = Frame(parts)
    jobs, executions = JobMethods(frame, ledger), ExecutionMethods(frame, ledger)
    operations = OperationMethods(frame, ledger)
    return [
        _read("run.jobs.list", JOBS, jobs.list, f"{_RUN}Jobs/ListJobs", "Lists jobs", LIST),
        _read("run.jobs.get", JOB, jobs.get, f"{_RUN}Jobs/GetJob", "Shows a job"),
        Method(
            "run.jobs.create", "POST", JOBS, jobs.create, Role.ADMIN, True,
            f"{_RUN}Jobs/CreateJob", "Makes a job", ("jobId", "validateOnly"), V2_JOB, _made,
        ),
        Method(
            "run.jobs.update", "PATCH", JOB, jobs.update, Role.ADMIN, True,
            f"{_RUN}Jobs/UpdateJob", "Replaces a job, or makes it",
            ("validateOnly", "allowMissing"), V2_JOB,
        ),
        Method(
            "run.jobs.delete", "DELETE", JOB, jobs.delete, Role.ADMIN, True,
            f"{_RUN}Jobs/DeleteJob", "Ends what runs of a job, and removes all of it", REMOVE,
        ),
        Method(
            "run.jobs.run", "POST", f"{JOB}:run", jobs.run, Role.INVOKER, True,
            f"{_RUN}Jobs/RunJob", "Opens an execution", (), V2_RUN,
        ),
        _read(
            "run.executions.list", EXECUTIONS, executions.list,
            f"{_RUN}Executions/ListExecutions", "Lists executions", LIST,
        ),
        _read(
            "run.executions.get", EXECUTION, executions.get,
            f"{_RUN}Executions/GetExecution", "Shows an execution",
        ),
        Method(
            "run.executions.delete", "DELETE", EXECUTION, executions.delete, Role.ADMIN, True,
            f"{_RUN}Executions/DeleteExecution", "Ends an execution if it runs, and removes it",
            REMOVE,
        ),
        Method(
            "run.executions.cancel", "POST", f"{EXECUTION}:cancel", executions.cancel,
            Role.INVOKER, True, f"{_RUN}Executions/CancelExecution", "Stops an execution",
            (), V2_CANCEL,
        ),
        _read("run.tasks.list", TASKS, executions.list_tasks, f"{_RUN}Tasks/ListTasks",
              "Lists tasks", LIST),
        _read("run.tasks.get", TASK, executions.get_task, f"{_RUN}Tasks/GetTask", "Shows a task"),
        *_operations(OPERATIONS, operations, operations.list, _LRO),
        # Version 1 knows the same operations by the same names, and lists those of other APIs.
        *_operations(
            OPERATIONS.replace("/v2/", "/v1/", 1), operations, operations.list_others, ""
        ),
    ]  # fmt: skip


def _operations(
    path: str, operations: OperationMethods, listed: Handler, grpc: str
) -> Sequence[Method]:
    """``grpc`` is the service with a slash behind it, or empty for none."""
    one = f"{path}/{{operation}}"

    def rpc(name: str) -> str:
        return f"{grpc}{name}" if grpc else ""

    return [
        _read("run.operations.list", path, listed, rpc("ListOperations"), "Lists operations",
              ("filter", "pageSize", "pageToken")),
        _read("run.operations.get", one, operations.get, rpc("GetOperation"),
              "Shows an operation"),
        Method(
            "run.operations.delete", "DELETE", one, operations.delete, Role.ADMIN, True,
            rpc("DeleteOperation"), "Forgets an operation; what it is about goes on", (),
        ),
        Method(
            "run.operations.wait", "POST", f"{one}:wait", operations.wait, Role.VIEWER,
            False, rpc("WaitOperation"), "Waits for the end of an operation, for a while",
            (), WAIT,
        ),
    ]  # fmt: skip


def _made(call: Call) -> str:
    return child(http_path(JOBS, call.params), call.params.get("jobId"))


def _read(
    name: str, path: str, handler: Handler, grpc: str, summary: str, query: tuple[str, ...] = ()
) -> Method:
    return Method(name, "GET", path, handler, Role.VIEWER, False, grpc, summary, query)
