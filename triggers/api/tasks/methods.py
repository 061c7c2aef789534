"""The Cloud Tasks API as a table of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.calls import Call, Handler, Method, Role
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places
from triggers.api.policies import PolicyMethods
from triggers.api.tasks.batches import BatchMethods
from triggers.api.tasks.frame import Frame
from triggers.api.tasks.items import TaskMethods
from triggers.api.tasks.names import SERVICE
from triggers.api.tasks.queues import QueueMethods
from triggers.service.policies import Policies
from triggers.service.queues import Queues

EVERY = "/v2/projects/{project}/locations/{location}/queues"
ONE = f"{EVERY}/{{queue}}"
TASKS = f"{ONE}/tasks"
TASK = f"{TASKS}/{{task}}"

PERMISSIONS = {
    **{f"cloudtasks.queues.{verb}": Role.VIEWER for verb in ("get", "list", "getIamPolicy")},
    **{
        f"cloudtasks.queues.{verb}": Role.ADMIN
        for verb in ("create", "update", "delete", "pause", "resume", "purge", "setIamPolicy")
    },
    **{f"cloudtasks.tasks.{verb}": Role.VIEWER for verb in ("get", "list", "fullView")},
    "cloudtasks.tasks.run": Role.INVOKER,
    "cloudtasks.tasks.create": Role.ADMIN,
    "cloudtasks.tasks.delete": Role.ADMIN,
}
"""What each role holds. To create a task is to have this server call whatever one likes."""


def tasks_methods(
    queues: Queues, policies: Policies, parts: Parts, changed: Callable[[], None]
) -> Sequence[Method]:
    """``changed`` tells the dispatcher that there is something new."""
    frame = Frame(queues, parts, Places(parts.service.store), changed)
    queue, task = QueueMethods(frame), TaskMethods(frame)
    batch = BatchMethods(frame, task)

    def owner(call: Call) -> tuple[str, str]:
        found = queues.get(frame.scope(call), call.params["queue"])
        return found.uid, found.name

    policy = PolicyMethods(policies, parts.commit, owner, PERMISSIONS)
    return [
        _method("queues.list", "ListQueues", "GET", EVERY, queue.list, "Lists queues",
                query=("filter", "pageSize", "pageToken", "readMask")),
        _method("queues.create", "CreateQueue", "POST", EVERY, queue.create, "Creates a queue",
                about=_named_queue),
        _method("queues.get", "GetQueue", "GET", ONE, queue.get, "Shows a queue",
                query=("readMask",)),
        _method("queues.update", "UpdateQueue", "PATCH", ONE, queue.patch,
                "Changes a queue, or makes it", query=("updateMask",)),
        _method("queues.delete", "DeleteQueue", "DELETE", ONE, queue.delete,
                "Removes a queue with its tasks"),
        _method("queues.pause", "PauseQueue", "POST", f"{ONE}:pause", queue.pause,
                "Pauses a queue"),
        _method("queues.resume", "ResumeQueue", "POST", f"{ONE}:resume", queue.resume,
                "Resumes a queue"),
        _method("queues.purge", "PurgeQueue", "POST", f"{ONE}:purge", queue.purge,
                "Removes all tasks of a queue"),
        _method("queues.getIamPolicy", "GetIamPolicy", "POST", f"{ONE}:getIamPolicy", policy.get,
                "Shows the policy of a queue"),
        _method("queues.setIamPolicy", "SetIamPolicy", "POST", f"{ONE}:setIamPolicy", policy.put,
                "Replaces the policy of a queue"),
        _method("queues.get", "TestIamPermissions", "POST", f"{ONE}:testIamPermissions",
                policy.test, "Tries the policy of a queue"),
        _method("tasks.list", "ListTasks", "GET", TASKS, task.list, "Lists the tasks of a queue",
                query=("responseView", "pageSize", "pageToken")),
        _method("tasks.create", "CreateTask", "POST", TASKS, task.create, "Creates a task",
                about=_named_task),
        _method("tasks.create", "BatchCreateTasks", "POST", f"{TASKS}:batchCreate", batch.create,
                "Creates up to 100 tasks"),
        _method("tasks.delete", "BatchDeleteTasks", "POST", f"{TASKS}:batchDelete", batch.delete,
                "Removes up to 1000 tasks"),
        _method("tasks.get", "GetTask", "GET", TASK, task.get, "Shows a task",
                query=("responseView",)),
        _method("tasks.delete", "DeleteTask", "DELETE", TASK, task.delete, "Removes a task"),
        _method("tasks.run", "RunTask", "POST", f"{TASK}:run", task.run, "Runs a task now"),
        *(
            _method("tasks.create", "", "POST", path, task.buffer,
                    "Creates a task whose body is the body of the call", raw=True)
            for path in (f"{TASK}:buffer", f"{TASKS}/:buffer", f"{TASKS}:buffer")
        ),
    ]  # fmt: skip


def _method(
    name: str,
    rpc: str,
    verb: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    query: tuple[str, ...] = (),
    about: Callable[[Call], str] | None = None,
    raw: bool = False,
) -> Method:
    full = f"cloudtasks.{name}"
    role = PERMISSIONS[full]
    return Method(
        full,
        verb,
        path,
        handler,
        role,
        changes=role is not Role.VIEWER,
        grpc=f"{SERVICE}/{rpc}" if rpc else "",
        summary=summary,
        query=query,
        about=about,
        raw=raw,
    )


def _named_queue(call: Call) -> str:
    name = call.body.get("name") if isinstance(call.body, dict) else None
    return name if isinstance(name, str) else ""


def _named_task(call: Call) -> str:
    task = call.body.get("task") if isinstance(call.body, dict) else None
    name = task.get("name") if isinstance(task, dict) else None
    return name if isinstance(name, str) else ""
